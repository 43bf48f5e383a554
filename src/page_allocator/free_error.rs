//! Why a block was not freed.

use core::error::Error;
use core::fmt;

use crate::base::{FrameKind, Order, Pfn, PfnRange};

/// Why a block was not freed. It is as it was before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum FreeError {
    /// The order is above the geometry's largest.
    OrderTooLarge {
        /// What was given.
        order: Order,
        /// The largest order there is.
        max: Order,
    },
    /// No block of this order starts at this frame.
    Unaligned {
        /// What was given.
        pfn: Pfn,
        /// What was given.
        order: Order,
    },
    /// The frame lies outside every zone.
    Foreign {
        /// What was given.
        pfn: Pfn,
    },
    /// The frame is a hole in the memory map.
    Hole {
        /// What was given.
        pfn: Pfn,
    },
    /// The frame is memory that the allocator does not manage now: reserved or offline.
    NotManaged {
        /// What was given.
        pfn: Pfn,
        /// What the frame is.
        kind: FrameKind,
    },
    /// The block is free already.
    DoubleFree {
        /// What was given.
        pfn: Pfn,
    },
    /// The block was allocated with another order.
    WrongOrder {
        /// What was given.
        pfn: Pfn,
        /// What was given.
        given: Order,
        /// The order that the block has.
        allocated: Order,
    },
    /// The frame lies inside an allocated block, not at its head.
    NotHead {
        /// What was given.
        pfn: Pfn,
        /// The head of the block.
        head: Pfn,
    },
    /// The frame belongs to a contiguous allocation, which is freed as a range.
    Contig {
        /// What was given.
        pfn: Pfn,
    },
    /// The frame is not part of a contiguous allocation, or the range holds such a frame.
    NotContig {
        /// The first such frame.
        pfn: Pfn,
        /// What it is.
        kind: FrameKind,
    },
    /// The frame belongs to a range of a CMA area, which only that area may free.
    OfCmaArea {
        /// The first such frame.
        pfn: Pfn,
    },
    /// The range is empty, or reaches over the end of a zone.
    BadRange {
        /// What was given.
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
            Self::NotContig { pfn, kind } => write!(f, "{pfn} is in no contiguous allocation: it is {kind}"),
            Self::OfCmaArea { pfn } => write!(f, "{pfn} belongs to a CMA area: free it there"),
            Self::BadRange { range } => write!(f, "{range} is empty or in no single zone"),
        }
    }
}

impl Error for FreeError {}
