//! Why a contiguous range was not allocated.

use core::error::Error;
use core::fmt;

use crate::base::{Obstacle, Order, Pfn, ZoneKind};
use crate::isolation::IsolateError;
use crate::page_allocator::AllocError;

/// Why a range was not allocated. It is unchanged, but pages of it may have migrated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ContigError {
    /// The range was not isolated.
    Isolate(IsolateError),
    /// A frame of the range did not become free.
    Busy {
        /// The first such frame.
        pfn: Pfn,
        /// Why it did not become free.
        reason: Obstacle,
        /// How many times the range was tried.
        attempts: u32,
    },
    /// Every range of that length has a page that cannot be migrated.
    NoPlace {
        /// The length of the range, in pages.
        pages: usize,
    },
    /// No frame other than frame 0 has this alignment.
    AlignTooLarge {
        /// The alignment that was asked for.
        align: Order,
        /// The largest that there can be: frame numbers have 40 bits.
        max: Order,
    },
    /// The alignment that was given, in bytes, is not a power of two.
    BadAlignment {
        /// The alignment.
        bytes: u64,
    },
    /// A frame of the range is in movable-only memory, which a contiguous allocation would keep
    /// from going offline.
    MovableOnly {
        /// The first such frame.
        pfn: Pfn,
    },
    /// The zone would keep fewer free pages than
    /// [`ContigOptions::depth`](crate::ContigOptions::depth) allows. Nothing was migrated.
    BelowMark {
        /// The zone of the range.
        zone: ZoneKind,
        /// The pages that it would keep.
        left: usize,
        /// The pages that it must keep.
        floor: usize,
    },
    /// There was no memory for the target of a migration.
    NoMemory {
        /// The frame that was not migrated.
        pfn: Pfn,
        /// The error of the allocation of the target.
        error: AllocError,
    },
}

impl fmt::Display for ContigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Isolate(error) => error.fmt(f),
            Self::Busy { pfn, reason, attempts } => {
                write!(f, "{pfn} is still busy after {attempts} attempts: {reason}")
            }
            Self::NoPlace { pages } => write!(f, "every range of {pages} pages has unmovable pages"),
            Self::AlignTooLarge { align, max } => {
                write!(f, "an alignment of {align} is above the largest, {max}")
            }
            Self::BadAlignment { bytes } => write!(f, "an alignment of {bytes} bytes is not a power of two"),
            Self::MovableOnly { pfn } => write!(f, "{pfn} is in movable-only memory"),
            Self::BelowMark { zone, left, floor } => {
                write!(f, "zone {zone} would keep {left} free pages and must keep {floor}")
            }
            Self::NoMemory { pfn, error } => write!(f, "no target to migrate {pfn} to: {error}"),
        }
    }
}

impl Error for ContigError {}

impl From<IsolateError> for ContigError {
    fn from(error: IsolateError) -> Self {
        Self::Isolate(error)
    }
}
