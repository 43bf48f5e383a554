//! Why a CMA area was not set up, or gave no range.

use core::fmt;

use crate::base::{NotFree, Order, Pfn, PfnRange};
use crate::contig::ContigError;
use crate::isolation::IsolateError;
use crate::page_allocator::FreeError;

/// Why an area was not set up, or gave no range.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum CmaError {
    /// The area does not start and end at pageblocks, or is empty.
    Unaligned {
        /// What was given.
        range: PfnRange,
        /// The order of a pageblock.
        pageblock: Order,
    },
    /// A pageblock is in a CMA area already.
    Taken {
        /// The first frame of the first such pageblock.
        pfn: Pfn,
    },
    /// No zone has such a stretch of free memory.
    NoRoom {
        /// What was asked for: pages.
        pages: usize,
        /// The longest stretch of whole free pageblocks there is: pages.
        longest: usize,
    },
    /// The area's frames cannot be isolated.
    Isolate(IsolateError),
    /// A frame of the area is not free.
    NotFree(NotFree),
    /// The bitmap memory is too small.
    BitmapTooSmall {
        /// What was given: words.
        given: usize,
        /// What is needed: words.
        needed: usize,
    },
    /// The allocator is not the one that the area was made with.
    OtherAllocator {
        /// The area's frames.
        area: PfnRange,
    },
    /// A request for no pages.
    Empty,
    /// No run of the area that is not handed out is long enough.
    Full {
        /// What was asked for: pages.
        pages: usize,
        /// The longest run left: pages.
        longest: usize,
    },
    /// Every run that is long enough has a frame in the way. This is the last one's.
    Busy(ContigError),
    /// The range was not handed out by this area, in whole or in part.
    NotOurs {
        /// What was given.
        range: PfnRange,
    },
    /// The range was not freed.
    Free(FreeError),
}

impl fmt::Display for CmaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unaligned { range, pageblock } => {
                write!(f, "{range} is not whole pageblocks of {pageblock}")
            }
            Self::Taken { pfn } => write!(f, "the pageblock at {pfn} is in a CMA area already"),
            Self::NoRoom { pages, longest } => {
                write!(f, "no stretch of {pages} free pages for a CMA area: the longest has {longest}")
            }
            Self::Isolate(error) => error.fmt(f),
            Self::NotFree(error) => error.fmt(f),
            Self::BitmapTooSmall { given, needed } => {
                write!(f, "the bitmap needs {needed} words, {given} were given")
            }
            Self::OtherAllocator { area } => write!(f, "the CMA area {area} belongs to another allocator"),
            Self::Empty => f.write_str("no pages were asked for"),
            Self::Full { pages, longest } => {
                write!(f, "no run of {pages} pages is left in the area: the longest has {longest}")
            }
            Self::Busy(error) => error.fmt(f),
            Self::NotOurs { range } => write!(f, "{range} was not handed out by this area"),
            Self::Free(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for CmaError {}
