//! Why a CMA area was not made, or a range of it not allocated or freed.

use core::fmt;

use crate::base::{NotFree, Order, Pfn, PfnRange};
use crate::contig::ContigError;
use crate::isolation::IsolateError;
use crate::page_allocator::FreeError;

/// Why a CMA area was not made, or a range of it not allocated or freed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum CmaError {
    /// The area is empty or does not consist of whole pageblocks.
    Unaligned {
        /// The range that was given.
        range: PfnRange,
        /// The order of a pageblock.
        pageblock: Order,
    },
    /// A pageblock of the range is in a CMA area already.
    Taken {
        /// The first frame of the first such pageblock.
        pfn: Pfn,
    },
    /// A pageblock of the range is movable-only memory, which a range of an area would keep from
    /// going offline.
    MovableOnly {
        /// The first frame of the first such pageblock.
        pfn: Pfn,
    },
    /// No zone has so many free pageblocks in a row.
    NoRoom {
        /// The size of the area, in pages, rounded up to whole pageblocks.
        pages: usize,
        /// The longest run of free pageblocks, in pages.
        longest: usize,
    },
    /// The frames of the area were not isolated.
    Isolate(IsolateError),
    /// A frame of the area is not free.
    NotFree(NotFree),
    /// The memory for the bitmap is too small.
    BitmapTooSmall {
        /// The size that was given, in words.
        given: usize,
        /// The size that is needed, in words.
        needed: usize,
    },
    /// The allocator is not the one that the area was made with.
    OtherAllocator {
        /// The frames of the area.
        area: PfnRange,
    },
    /// No frame number but 0 is so aligned.
    AlignTooLarge {
        /// The alignment that was asked for.
        align: Order,
        /// The largest alignment.
        max: Order,
    },
    /// The alignment that was given, in bytes, is not a power of two.
    BadAlignment {
        /// The alignment.
        bytes: u64,
    },
    /// The part of the area that the device can reach is shorter than the buffer.
    BeyondLimit {
        /// The length of the buffer, in pages.
        pages: usize,
        /// The frames of the area.
        area: PfnRange,
        /// The first frame that the device cannot reach.
        below: Pfn,
    },
    /// No part of the area that the device can reach and that is not allocated is long enough.
    FullBelow {
        /// The length of the buffer, in pages.
        pages: usize,
        /// The first frame that the device cannot reach.
        below: Pfn,
    },
    /// The request is for 0 pages.
    Empty,
    /// No part of the area that is not allocated is long enough.
    Full {
        /// The length of the range, in pages.
        pages: usize,
        /// The longest part that is not allocated, in pages.
        longest: usize,
    },
    /// No part that is long enough became free. This is the error for the last one.
    Busy(ContigError),
    /// The range, or a part of it, is not allocated in this area.
    NotOurs {
        /// The range that was given.
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
            Self::AlignTooLarge { align, max } => {
                write!(f, "an alignment of {align} is above the largest, {max}")
            }
            Self::BadAlignment { bytes } => write!(f, "an alignment of {bytes} bytes is not a power of two"),
            Self::BeyondLimit { pages, area, below } => {
                write!(f, "the CMA area {area} has no {pages} pages below {below}, where the device reaches")
            }
            Self::FullBelow { pages, below } => {
                write!(f, "no run of {pages} pages is left in the area below {below}")
            }
            Self::MovableOnly { pfn } => write!(f, "the pageblock at {pfn} is movable-only memory"),
            Self::Taken { pfn } => write!(f, "the pageblock at {pfn} is in a CMA area already"),
            Self::NoRoom { pages, longest } => {
                write!(f, "no run of {pages} free pages for a CMA area: the longest has {longest}")
            }
            Self::Isolate(error) => error.fmt(f),
            Self::NotFree(error) => error.fmt(f),
            Self::BitmapTooSmall { given, needed } => {
                write!(f, "the bitmap needs {needed} words, {given} were given")
            }
            Self::OtherAllocator { area } => write!(f, "the CMA area {area} belongs to another allocator"),
            Self::Empty => f.write_str("the request is for 0 pages"),
            Self::Full { pages, longest } => {
                write!(f, "no run of {pages} pages is left in the area: the longest has {longest}")
            }
            Self::Busy(error) => error.fmt(f),
            Self::NotOurs { range } => write!(f, "{range} is not allocated in this area"),
            Self::Free(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for CmaError {}
