//! The kind of a page frame, as errors and reports name it.

use core::fmt;

/// The kind of a page frame. A block has the kind of its first frame, its head.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
#[repr(u8)]
pub enum FrameKind {
    /// A frame of a block that is not its head. The value is 0, so that zeroed records are tails.
    Tail = 0,
    /// Memory that the allocator does not manage, because the memory map or the kernel reserved it.
    Reserved = 1,
    /// A hole in the memory map.
    Hole = 2,
    /// Head of a block on a buddy list.
    Free = 3,
    /// Head of a block on a pcplist.
    Cached = 4,
    /// Head of an allocated block.
    Allocated = 5,
    /// Head of one of the blocks that a contiguous allocation consists of.
    Contig = 6,
    /// Head of a guard block, which is neither free nor allocated.
    Guard = 7,
    /// Head of an offline block.
    Offline = 8,
    /// Head of a block that was freed while its pageblock was being isolated. It occurs only under
    /// the experimental design `Parked` (feature `designs`).
    Parked = 9,
    /// A bad frame that is retired, a block of its own. See
    /// [`PageAllocator::soft_offline_page`](crate::PageAllocator::soft_offline_page).
    HwPoison = 10,
    /// Head of a block that is being reported to the host. See
    /// [`PageAllocator::report_free_pages`](crate::PageAllocator::report_free_pages).
    Reporting = 12,
}

impl FrameKind {
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
            Self::HwPoison => "a bad frame, which is retired",
            Self::Reporting => "being reported to the host",
        })
    }
}
