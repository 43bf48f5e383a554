//! Errors: one enum for each operation, each carrying the value that offended.
//!
//! An operation that returns an error has changed nothing. None of these is ever a panic, whatever the caller
//! did.

use core::error::Error;
use core::fmt;

use crate::frame::state::FrameKind;
use crate::memory_map::MapFull;
use crate::migrate::MigrateError;
use crate::migratetype::Mobility;
use crate::order::Order;
use crate::pfn::{Pfn, PfnRange};
use crate::request::ZoneKind;

/// Why nothing was allocated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum AllocError {
    /// The order is above the geometry's largest.
    OrderTooLarge {
        /// What was asked for.
        order: Order,
        /// The largest order there is.
        max: Order,
    },
    /// No zone that the request may use has such a block above its watermark.
    NoMemory {
        /// What was asked for.
        order: Order,
        /// For whom.
        mobility: Mobility,
        /// From which zone down.
        highest_zone: ZoneKind,
    },
}

impl fmt::Display for AllocError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OrderTooLarge { order, max } => write!(f, "{order} is above the largest, {max}"),
            Self::NoMemory { order, mobility, highest_zone } => {
                write!(f, "no {mobility} block of {order} in zone {highest_zone} or below")
            }
        }
    }
}

impl Error for AllocError {}

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
            Self::BadRange { range } => write!(f, "{range} is empty or in no single zone"),
        }
    }
}

impl Error for FreeError {}

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

/// Why a range could not be isolated. Nothing of it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum IsolateError {
    /// The range makes no sense.
    Range(RangeError),
    /// Someone else has isolated a part of the range.
    Overlap {
        /// What was asked for.
        range: PfnRange,
        /// The range that is isolated.
        with: PfnRange,
    },
    /// The zone has as many isolations at a time as it can keep track of.
    TooMany {
        /// How many that is.
        limit: usize,
    },
    /// A frame of the range is owned by someone who cannot move it.
    Unmovable {
        /// The first such frame.
        pfn: Pfn,
        /// Why it cannot be moved.
        reason: BlockReason,
    },
}

impl fmt::Display for IsolateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Range(error) => error.fmt(f),
            Self::Overlap { range, with } => write!(f, "{range} overlaps {with}, which is isolated"),
            Self::TooMany { limit } => write!(f, "the zone has {limit} isolations already"),
            Self::Unmovable { pfn, reason } => write!(f, "{pfn} blocks the range: {reason}"),
        }
    }
}

impl Error for IsolateError {}

impl From<RangeError> for IsolateError {
    fn from(error: RangeError) -> Self {
        Self::Range(error)
    }
}

/// Why a frame keeps a range from becoming free.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum BlockReason {
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

impl fmt::Display for BlockReason {
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

/// Why a range was not allocated. What could be moved out of it may have been moved; everything else is as it was.
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
        reason: BlockReason,
        /// How often it was tried.
        attempts: u32,
    },
    /// No range of that length is free of pages that cannot move.
    NoPlace {
        /// What was asked for: pages.
        pages: usize,
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
