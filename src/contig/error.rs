//! Why a contiguous range was not allocated.

use core::error::Error;
use core::fmt;

use crate::base::{Obstacle, Pfn, ZoneKind};
use crate::isolation::IsolateError;
use crate::page_allocator::AllocError;

/// Why a range was not allocated. What could be moved out of it may have been moved; everything
/// else is as it was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ContigError {
    /// The range could not be isolated.
    Isolate(IsolateError),
    /// A frame of the range did not become free.
    Busy {
        /// The first such frame.
        pfn: Pfn,
        /// Why not.
        reason: Obstacle,
        /// How often it was tried.
        attempts: u32,
    },
    /// No range of that length is free of pages that cannot move.
    NoPlace {
        /// What was asked for: pages.
        pages: usize,
    },
    /// The zone would keep fewer free pages than [`ContigOptions::depth`](crate::ContigOptions::depth)
    /// allows. Nothing was moved.
    BelowMark {
        /// The zone of the range.
        zone: ZoneKind,
        /// The pages that it would keep.
        left: usize,
        /// The pages that it must keep.
        floor: usize,
    },
    /// There was no memory to move pages to.
    NoMemory {
        /// The frame that could not be moved.
        pfn: Pfn,
        /// The error of that allocation.
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
            Self::NoPlace { pages } => write!(f, "no range of {pages} pages is without unmovable ones"),
            Self::BelowMark { zone, left, floor } => {
                write!(f, "zone {zone} would keep {left} free pages and must keep {floor}")
            }
            Self::NoMemory { pfn, error } => write!(f, "nowhere to move {pfn} to: {error}"),
        }
    }
}

impl Error for ContigError {}

impl From<IsolateError> for ContigError {
    fn from(error: IsolateError) -> Self {
        Self::Isolate(error)
    }
}
