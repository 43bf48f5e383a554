//! Errors that several floors share. An error of one operation stands beside that operation.
//!
//! Each carries the offending value. An operation that returns an error has changed nothing unless
//! it says otherwise, and none of these is ever a panic, whatever the caller did.

use core::error::Error;
use core::fmt;

use crate::base::frame_kind::FrameKind;
use crate::base::migrate::MigrateError;
use crate::base::migratetype::Mobility;
use crate::base::pfn::{Pfn, PfnRange};

/// What is wrong with a range before anything is tried.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum RangeError {
    /// The range holds no frame.
    Empty {
        /// What was given.
        range: PfnRange,
    },
    /// The range holds a frame outside every zone.
    Foreign {
        /// The first such frame.
        pfn: Pfn,
    },
    /// The range reaches from one zone into another.
    CrossesZones {
        /// What was given.
        range: PfnRange,
        /// The first frame of the second zone.
        border: Pfn,
    },
    /// The range holds a hole in the memory map, or memory that the allocator does not manage.
    NotManaged {
        /// The first such frame.
        pfn: Pfn,
        /// What it is.
        kind: FrameKind,
    },
}

impl fmt::Display for RangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty { range } => write!(f, "{range} is empty"),
            Self::Foreign { pfn } => write!(f, "{pfn} lies outside every zone"),
            Self::CrossesZones { range, border } => {
                write!(f, "{range} reaches into another zone at {border}")
            }
            Self::NotManaged { pfn, kind } => write!(f, "{pfn} is not managed: it is {kind}"),
        }
    }
}

impl Error for RangeError {}

/// Why a frame keeps a range from becoming free.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Obstacle {
    /// It is allocated and its owner cannot move it.
    Allocated(Mobility),
    /// It is part of another contiguous allocation.
    Contig,
    /// It is no memory, or is not managed.
    NotManaged(FrameKind),
    /// Its owner was asked to move it and did not.
    NotMigrated(MigrateError),
    /// Someone else is moving it.
    Moving,
    /// It is on a pcplist.
    Cached,
    /// It is a guard whose buddy is in use.
    Guard,
    /// It is free, but on a list that is not isolated.
    NotIsolated,
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Allocated(mobility) => write!(f, "allocated, {mobility}"),
            Self::Contig => f.write_str("part of a contiguous allocation"),
            Self::NotManaged(kind) => write!(f, "{kind}"),
            Self::NotMigrated(error) => write!(f, "not migrated, {error}"),
            Self::Moving => f.write_str("being moved by someone else"),
            Self::Cached => f.write_str("on a pcplist"),
            Self::Guard => f.write_str("a guard page"),
            Self::NotIsolated => f.write_str("free but not isolated"),
        }
    }
}

/// What keeps a range from being free.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotFree {
    /// The first frame that is not free.
    pub pfn: Pfn,
    /// Why it is not.
    pub reason: Obstacle,
}

impl fmt::Display for NotFree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is not free: {}", self.pfn, self.reason)
    }
}

impl Error for NotFree {}

/// The memory map holds as many separate ranges as it has room for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MapFull {
    /// How many ranges that is: the `N` of [`MemoryMap`](crate::MemoryMap).
    pub capacity: usize,
}

impl fmt::Display for MapFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the memory map holds {} separate ranges already", self.capacity)
    }
}

impl Error for MapFull {}

/// Why no allocator was built.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum InitError {
    /// The memory map has no usable frame.
    EmptyMap,
    /// The map's regions are not in ascending order.
    Unsorted {
        /// The index of the first region that lies below its predecessor.
        index: usize,
    },
    /// Two regions of the map share a frame.
    Overlap {
        /// The index of the second one.
        index: usize,
    },
    /// The map spans more frames than a descriptor link can name.
    TooLarge {
        /// Frames from the first usable to the last.
        frames: usize,
        /// How many can be named.
        limit: usize,
    },
    /// The metadata is smaller than the map and the CPUs need.
    MetadataTooSmall {
        /// What was given: bytes.
        given: usize,
        /// What is needed: bytes.
        needed: usize,
    },
    /// No CPU was given.
    NoCpus,
    /// The map has more separate ranges than it can hold.
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
                write!(f, "the memory map spans {frames} frames, {limit} can be managed")
            }
            Self::MetadataTooSmall { given, needed } => {
                write!(f, "the metadata needs {needed} bytes, {given} were given")
            }
            Self::NoCpus => f.write_str("at least one CPU is needed"),
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
