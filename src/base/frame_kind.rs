//! What a page frame can be, as callers see it in errors and reports.

use core::fmt;

/// What a frame is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
#[repr(u8)]
pub enum FrameKind {
    /// Inside a block whose head lies below. Zero, so that zeroed records are tails.
    Tail = 0,
    /// Memory that was kept out of the allocator.
    Reserved = 1,
    /// No memory that the allocator knows of: a hole in the memory map.
    Hole = 2,
    /// Head of a block on a buddy list.
    Free = 3,
    /// Head of a block on a pcplist.
    Cached = 4,
    /// Head of a block that someone owns.
    Allocated = 5,
    /// Head of a part of a contiguous allocation.
    Contig = 6,
    /// Head of a guard block: neither free nor owned.
    Guard = 7,
    /// Head of a block that was taken offline.
    Offline = 8,
    /// Head of a block that was freed while its pageblock was being isolated. Exists only under the
    /// experimental accounting design `Parked` of the feature `designs`.
    Parked = 9,
}

impl FrameKind {
    /// Whether a frame of this kind heads a block that has an order.
    pub(crate) const fn is_head(self) -> bool {
        !matches!(self, Self::Hole | Self::Reserved | Self::Tail)
    }
}

impl fmt::Display for FrameKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Hole => "a hole in the memory map",
            Self::Reserved => "reserved",
            Self::Tail => "inside a block",
            Self::Free => "free",
            Self::Cached => "on a pcplist",
            Self::Allocated => "allocated",
            Self::Contig => "part of a contiguous allocation",
            Self::Guard => "a guard page",
            Self::Offline => "offline",
            Self::Parked => "parked",
        })
    }
}
