//! Why a block was not freed.

use core::error::Error;
use core::fmt;

use crate::base::{FrameKind, Order, Pfn, PfnRange};

/// Why a block or a range was not freed. Its state is unchanged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum FreeError {
    /// The order is above the largest order of the geometry.
    OrderTooLarge {
        /// The order that was given.
        order: Order,
        /// The largest order.
        max: Order,
    },
    /// The frame is not a multiple of the block size, so that no such block starts there.
    Unaligned {
        /// The frame that was given.
        pfn: Pfn,
        /// The order that was given.
        order: Order,
    },
    /// A frame is outside the span of the frame table.
    Foreign {
        /// The frame.
        pfn: Pfn,
    },
    /// The frame is a hole in the memory map.
    Hole {
        /// The frame.
        pfn: Pfn,
    },
    /// The frame is reserved, offline or retired.
    NotManaged {
        /// The frame.
        pfn: Pfn,
        /// Its kind: reserved, offline or retired.
        kind: FrameKind,
    },
    /// The block is free already: on a free list, on a pcplist, or part of a guard.
    DoubleFree {
        /// The frame.
        pfn: Pfn,
    },
    /// The frame is the first one of an allocated block of another order.
    WrongOrder {
        /// The first frame of the block.
        pfn: Pfn,
        /// The order that was given.
        given: Order,
        /// The order of the block.
        allocated: Order,
    },
    /// The frame is not the first frame of its block.
    NotHead {
        /// The frame.
        pfn: Pfn,
        /// The first frame of the block.
        head: Pfn,
    },
    /// The frame is part of a contiguous allocation, which is freed with
    /// [`free_range`](crate::PageAllocator::free_range) or
    /// [`free_contig`](crate::PageAllocator::free_contig).
    Contig {
        /// The frame.
        pfn: Pfn,
    },
    /// The frame is part of a contiguous allocation that is pinned, because a device accesses it.
    Pinned {
        /// The frame.
        pfn: Pfn,
    },
    /// A frame of the range is not part of a contiguous allocation.
    NotContig {
        /// The first such frame.
        pfn: Pfn,
        /// The kind of that frame.
        kind: FrameKind,
    },
    /// The frame belongs to a range of a CMA area, which only that area may free.
    OfCmaArea {
        /// The first such frame.
        pfn: Pfn,
    },
    /// A part of the block was to be freed or split off while the block is being migrated. It is
    /// possible again when the migration has ended.
    Migrating {
        /// The first frame of the block.
        pfn: Pfn,
    },
    /// The range is empty or not in one zone.
    BadRange {
        /// The range that was given.
        range: PfnRange,
    },
}

impl fmt::Display for FreeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OrderTooLarge { order, max } => write!(f, "{order} is above the largest, {max}"),
            Self::Unaligned { pfn, order } => write!(f, "{pfn} is not aligned to {order}"),
            Self::Foreign { pfn } => write!(f, "{pfn} lies outside every zone"),
            Self::Hole { pfn } => write!(f, "{pfn} is a hole in the memory map"),
            Self::NotManaged { pfn, kind } => write!(f, "{pfn} is not managed: it is {kind}"),
            Self::DoubleFree { pfn } => write!(f, "{pfn} is free already"),
            Self::WrongOrder { pfn, given, allocated } => {
                write!(f, "{pfn} was given with {given} but was allocated with {allocated}")
            }
            Self::NotHead { pfn, head } => write!(f, "{pfn} lies inside the block that starts at {head}"),
            Self::Contig { pfn } => write!(f, "{pfn} belongs to a contiguous allocation: free the range"),
            Self::Pinned { pfn } => write!(f, "{pfn} is pinned, because a device accesses it"),
            Self::NotContig { pfn, kind } => write!(f, "{pfn} is in no contiguous allocation: it is {kind}"),
            Self::OfCmaArea { pfn } => write!(f, "{pfn} belongs to a CMA area: free it there"),
            Self::Migrating { pfn } => write!(f, "{pfn} is being migrated, so that it cannot be split now"),
            Self::BadRange { range } => write!(f, "{range} is empty or not in one zone"),
        }
    }
}

impl Error for FreeError {}

/// A block of [`free_bulk`](crate::PageAllocator::free_bulk) was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct FreeBulkError {
    /// The blocks that were freed before, which is the index of the refused block.
    pub freed: usize,
    /// Why it was refused.
    pub error: FreeError,
}

impl fmt::Display for FreeBulkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "block {} was not freed: {}", self.freed, self.error)
    }
}

impl Error for FreeBulkError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.error)
    }
}
