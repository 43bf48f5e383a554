//! Errors that several floors share. The error of one operation is defined beside that operation.
//!
//! Each error has the offending value. An operation that returns an error has changed nothing,
//! unless its documentation says otherwise.

use core::error::Error;
use core::fmt;

use crate::base::frame_kind::FrameKind;
use crate::base::migrate::MigrateError;
use crate::base::migratetype::Mobility;
use crate::base::order::Order;
use crate::base::pfn::{Pfn, PfnRange};

/// Why a range of frames is not valid for an operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum RangeError {
    /// The range has no frame.
    Empty {
        /// The range that was given.
        range: PfnRange,
    },
    /// A frame of the range has no record: it is outside the memory that the records cover.
    Foreign {
        /// The first such frame.
        pfn: Pfn,
    },
    /// The range is in more than one zone.
    CrossesZones {
        /// The range that was given.
        range: PfnRange,
        /// The first frame of the second zone.
        border: Pfn,
    },
    /// A frame of the range is a hole in the memory map, or reserved.
    NotManaged {
        /// The first such frame.
        pfn: Pfn,
        /// The kind of that frame.
        kind: FrameKind,
    },
}

impl fmt::Display for RangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty { range } => write!(f, "{range} is empty"),
            Self::Foreign { pfn } => write!(f, "{pfn} lies outside every zone"),
            Self::CrossesZones { range, border } => {
                write!(f, "{range} crosses into another zone at {border}")
            }
            Self::NotManaged { pfn, kind } => write!(f, "{pfn} is not managed: it is {kind}"),
        }
    }
}

impl Error for RangeError {}

/// Why a frame is not free, or cannot become free.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Obstacle {
    /// It is allocated with a mobility that cannot be migrated.
    Allocated(Mobility),
    /// It is part of another contiguous allocation.
    Contig,
    /// It is part of a contiguous allocation that is pinned, because a device accesses it
    /// ([`PageAllocator::pin_range`](crate::PageAllocator::pin_range)).
    Pinned,
    /// It is a hole, reserved or offline.
    NotManaged(FrameKind),
    /// It is movable, and [`Migrate::migrate`](crate::Migrate::migrate) failed.
    NotMigrated(MigrateError),
    /// It is movable, and there was no memory for the target of its migration.
    NoTarget,
    /// Another call is migrating it.
    Moving,
    /// It is on a pcplist.
    Cached,
    /// It is a guard, which becomes free only together with its buddy.
    Guard,
    /// It is free, but not on an isolated list.
    NotIsolated,
    /// It is a bad frame, which is retired.
    HwPoison,
    /// It is being reported to the host, which has not acknowledged it yet.
    Reporting,
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Allocated(mobility) => write!(f, "allocated, {mobility}"),
            Self::Contig => f.write_str("part of a contiguous allocation"),
            Self::Pinned => f.write_str("pinned, because a device accesses it"),
            Self::NotManaged(kind) => write!(f, "{kind}"),
            Self::NotMigrated(error) => write!(f, "not migrated, {error}"),
            Self::NoTarget => f.write_str("not migrated, no memory for the target"),
            Self::Moving => f.write_str("being migrated by another call"),
            Self::Cached => f.write_str("on a pcplist"),
            Self::Guard => f.write_str("a guard page"),
            Self::NotIsolated => f.write_str("free but not isolated"),
            Self::HwPoison => f.write_str("a bad frame"),
            Self::Reporting => f.write_str("being reported to the host"),
        }
    }
}

/// A frame that is not free, and the reason.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotFree {
    /// The frame; of a range, the first one that is not free.
    pub pfn: Pfn,
    /// The reason.
    pub reason: Obstacle,
}

impl fmt::Display for NotFree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is not free: {}", self.pfn, self.reason)
    }
}

impl Error for NotFree {}

/// The memory map has no entry left for another separate range.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MapFull {
    /// The number of ranges that it can hold: the `N` of [`MemoryMap`](crate::MemoryMap).
    pub capacity: usize,
}

impl fmt::Display for MapFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the memory map holds {} separate ranges already", self.capacity)
    }
}

impl Error for MapFull {}

/// Why a memory map, the metadata or an allocator was not made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum InitError {
    /// The memory map has no usable frame.
    EmptyMap,
    /// The map's regions are not in ascending order.
    Unsorted {
        /// The index of the first region that starts below the one before it.
        index: usize,
    },
    /// Two regions of the map overlap.
    Overlap {
        /// The index of the second of the two.
        index: usize,
    },
    /// The map has more memory than the frame table can index, 16 TiB.
    TooLarge {
        /// The frames of the map that need a record.
        frames: usize,
        /// The most frames that the table can index.
        limit: usize,
    },
    /// The metadata is smaller than the map and the CPUs need.
    MetadataTooSmall {
        /// The size of the memory that was given, in bytes.
        given: usize,
        /// The size that is needed, in bytes.
        needed: usize,
    },
    /// The CPU count is 0.
    NoCpus,
    /// The CPU count is larger than the records of frames can distinguish.
    TooManyCpus {
        /// The CPU count that was given.
        given: usize,
        /// The largest CPU count.
        limit: usize,
    },
    /// The metadata is for fewer CPUs than the platform has, in owner-only mode.
    TooFewCpus {
        /// The CPU count that the metadata was made for.
        given: usize,
        /// The CPU count of the platform.
        needed: usize,
    },
    /// Guards of this order would leave no block to allocate.
    GuardOrderTooLarge {
        /// The order that [`Tuning::guard_below`](crate::Tuning::guard_below) was given.
        order: Order,
        /// The largest order that it accepts.
        max: Order,
    },
    /// The map has no range of usable memory of this length that ends at or below this frame.
    NoRoomBelow {
        /// The length that was asked for, in pages.
        pages: usize,
        /// The first frame that the range must not include.
        limit: Pfn,
    },
    /// The static allocator has been initialised already.
    AlreadyInitialized,
    /// The map has no entry left for another separate range.
    MapFull(MapFull),
}

impl fmt::Display for InitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EmptyMap => f.write_str("the memory map has no usable frame"),
            Self::Unsorted { index } => {
                write!(f, "region {index} of the memory map lies below the one before it")
            }
            Self::Overlap { index } => {
                write!(f, "region {index} of the memory map overlaps the one before it")
            }
            Self::TooLarge { frames, limit } => {
                write!(f, "the memory map has {frames} frames, {limit} can be managed")
            }
            Self::MetadataTooSmall { given, needed } => {
                write!(f, "the metadata needs {needed} bytes, {given} were given")
            }
            Self::NoCpus => f.write_str("at least one CPU is needed"),
            Self::TooManyCpus { given, limit } => {
                write!(f, "{given} CPUs are more than the largest count, {limit}")
            }
            Self::TooFewCpus { given, needed } => {
                write!(f, "the metadata is for {given} CPUs, the platform has {needed}")
            }
            Self::GuardOrderTooLarge { order, max } => {
                write!(f, "guards below {order} leave no block to allocate: the largest is {max}")
            }
            Self::NoRoomBelow { pages, limit } => {
                write!(f, "the memory map has no {pages} usable frames in a row below {limit}")
            }
            Self::AlreadyInitialized => f.write_str("the page allocator has been initialised already"),
            Self::MapFull(error) => error.fmt(f),
        }
    }
}

impl From<MapFull> for InitError {
    fn from(error: MapFull) -> Self {
        Self::MapFull(error)
    }
}

impl Error for InitError {}
