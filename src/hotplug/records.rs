//! Makes records for memory that the machine did not have at boot, and removes them again.
//!
//! The records come from memory that the kernel gives, or from the memory that they are for. Memory
//! that is taken away keeps its records, and needs no new ones when it comes back, unless the
//! kernel removes them: it has to if they are in that memory.

#![expect(unsafe_code, reason = "the kernel promises that physical memory is mapped")]

use core::alloc::Layout;
use core::fmt;
use core::mem::MaybeUninit;
use core::slice;

use crate::base::{Checked, FrameKind, Geometry, PAGE_SIZE, Pfn, PfnRange, Platform};
use crate::boot::{chunk_layout, make_chunk};
use crate::page_allocator::PageAllocator;
use crate::records::{Added, Directory, Extent, FrameIndex, Withdrawn};

/// Why no records were made, or removed. Nothing has changed then.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum RecordsError {
    /// The range has no frame.
    Empty {
        /// The range that was given.
        range: PfnRange,
    },
    /// Frames of the range have records already, and what is left is not one range.
    Recorded {
        /// The first frame of the range that has a record, after those at its start.
        pfn: Pfn,
    },
    /// More frames would have a record than can be indexed, 16 TiB.
    TooLarge {
        /// The frames that would have a record.
        frames: usize,
        /// The most frames that can be indexed.
        limit: usize,
    },
    /// The memory is smaller than the records.
    MemoryTooSmall {
        /// The size of the memory that was given, in bytes.
        given: usize,
        /// The size that is needed, in bytes.
        needed: usize,
    },
    /// The records that are to be removed are not those that were added last.
    NotLast {
        /// The range that was given.
        range: PfnRange,
        /// The frames whose records were added last; `None` if none are left that were added.
        last: Option<PfnRange>,
    },
    /// A frame whose record is to be removed is managed, offline, or reserved.
    InUse {
        /// The first such frame.
        pfn: Pfn,
        /// The kind of that frame.
        kind: FrameKind,
    },
}

impl fmt::Display for RecordsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty { range } => write!(f, "{range} is empty"),
            Self::Recorded { pfn } => write!(f, "{pfn} has a record already"),
            Self::TooLarge { frames, limit } => {
                write!(f, "{frames} frames would have a record, {limit} can be managed")
            }
            Self::MemoryTooSmall { given, needed } => {
                write!(f, "the records need {needed} bytes, {given} were given")
            }
            Self::NotLast { range, last: None } => write!(f, "{range} has no records that were added"),
            Self::NotLast { range, last: Some(last) } => {
                write!(f, "the records that were added last are those of {last}, not of {range}")
            }
            Self::InUse { pfn, kind } => write!(f, "the record of {pfn} is in use: it is {kind}"),
        }
    }
}

impl core::error::Error for RecordsError {}

/// The records that are to be made.
struct Plan {
    extent: Extent,
    /// What has been added.
    before: Option<&'static Directory>,
    layout: Layout,
}

/// The range, widened to whole blocks.
fn whole<G: Geometry>(range: PfnRange) -> PfnRange {
    let unit = Checked::<G>::UNIT;
    PfnRange::new(unit.align_down(range.start()), unit.align_up(range.end()))
}

/// Plans the records of the frames of `range` that have none, widened to whole blocks.
fn plan<P: Platform, G: Geometry>(
    allocator: &PageAllocator<'_, P, G>,
    added: &Added,
    range: PfnRange,
) -> Result<Plan, RecordsError> {
    if range.is_empty() {
        return Err(RecordsError::Empty { range });
    }
    let whole = whole::<G>(range);
    let extents = allocator.desc().frames.extents();
    let Some(start) = extents.first_missing(whole) else {
        return Err(RecordsError::Recorded { pfn: range.start() });
    };
    let rest = PfnRange::new(start, whole.end());
    let end = extents.runs(rest).next().map_or(whole.end(), PfnRange::start);
    if extents.first_missing(PfnRange::new(end, whole.end())).is_some() {
        return Err(RecordsError::Recorded { pfn: end });
    }
    let frames = PfnRange::new(start, end);
    let before = added.directory();
    let chunks = before.map_or(&[][..], Directory::chunks);
    let next = chunks.last().map_or(extents.boot_len(), |chunk| {
        chunk.extent().first().number() as usize + chunk.extent().frames().len()
    });
    let (all, limit) = (next.saturating_add(frames.len()), FrameIndex::LIMIT);
    let layout = chunk_layout::<G>(frames.len(), chunks.len()).filter(|_| all <= limit);
    let layout = layout.ok_or(RecordsError::TooLarge { frames: all, limit })?;
    Ok(Plan { extent: Extent::new(frames, FrameIndex::new(next as u32)), before, layout })
}

/// What was added, of an allocator whose records come from [`Metadata`](crate::Metadata).
fn added_of<'m, P: Platform, G: Geometry>(allocator: &PageAllocator<'m, P, G>) -> &'m Added {
    let added = allocator.desc().frames.extents().added();
    added.unwrap_or_else(|| unreachable!("only unit tests have none"))
}

pub(crate) fn records_layout<P: Platform, G: Geometry>(
    allocator: &PageAllocator<'_, P, G>,
    range: PfnRange,
) -> Result<Layout, RecordsError> {
    Ok(plan(allocator, added_of(allocator), range)?.layout)
}

pub(crate) fn add_records<P: Platform, G: Geometry>(
    allocator: &PageAllocator<'_, P, G>,
    range: PfnRange,
    memory: &'static mut [MaybeUninit<u8>],
) -> Result<(), RecordsError> {
    let added = added_of(allocator);
    let lock = added.lock();
    let Plan { extent, before, .. } = plan(allocator, added, range)?;
    let (given, none) = (memory.len(), PfnRange::with_len(range.start(), 0));
    let directory = make_chunk::<G>(memory, extent, none, before)
        .map_err(|needed| RecordsError::MemoryTooSmall { given, needed })?;
    added.publish(&lock, directory);
    Ok(())
}

/// Records that were removed, but that a call may still be reading.
///
/// Dropping this leaves their memory unused.
#[must_use = "the memory of the records is free only after `reclaim`"]
#[derive(Debug)]
pub struct RemovedRecords(Withdrawn);

impl RemovedRecords {
    /// Ends the use of the memory of the records. Returns the frames that they were in, if
    /// [`add_records_at_offset`](PageAllocator::add_records_at_offset) had made them there, and
    /// otherwise an empty range.
    ///
    /// # Safety
    ///
    /// Every call of the allocator that was running when
    /// [`remove_records`](PageAllocator::remove_records) returned has returned, and what these
    /// calls did happens before this (as after a grace period of RCU).
    #[must_use]
    pub unsafe fn reclaim(self) -> PfnRange {
        let frames = self.0.own_frames();
        // SAFETY: the caller's promise.
        unsafe { self.0.reclaim() };
        frames
    }
}

pub(crate) fn remove_records<P: Platform, G: Geometry>(
    allocator: &PageAllocator<'_, P, G>,
    range: PfnRange,
) -> Result<RemovedRecords, RecordsError> {
    let added = added_of(allocator);
    // Nothing is added to the frames while this is held.
    let lock = added.lock();
    let directory = added.directory();
    let last = directory.and_then(|directory| Some((directory, *directory.chunks().last()?)));
    let all = whole::<G>(range);
    let Some((directory, chunk)) = last.filter(|(_, chunk)| all.covers(chunk.extent().frames())) else {
        return Err(RecordsError::NotLast { range, last: last.map(|(_, chunk)| chunk.extent().frames()) });
    };
    let state = |pfn| allocator.desc().frames.state(pfn).kind();
    let in_use = |pfn: &Pfn| match state(*pfn) {
        FrameKind::Hole => false,
        FrameKind::Reserved => !chunk.own.contains(*pfn),
        _ => true,
    };
    match chunk.extent().frames().iter().find(in_use) {
        Some(pfn) => Err(RecordsError::InUse { pfn, kind: state(pfn) }),
        None => Ok(RemovedRecords(added.withdraw(&lock, directory))),
    }
}

impl<P: Platform, G: Geometry> PageAllocator<'_, P, G> {
    /// As [`add_records`](Self::add_records), in the memory that the records are for: in the last
    /// frames of the range. Returns these. They are reserved frames from then on, and the others
    /// holes, which [`add_memory`](Self::add_memory) adds.
    ///
    /// The pageblocks that hold records cannot go offline. They can leave the machine when all
    /// others of the range have, and [`remove_records`](Self::remove_records) has removed the
    /// records. (`memmap_on_memory` in Linux.)
    ///
    /// # Errors
    ///
    /// As [`add_records`](Self::add_records); the size in [`RecordsError::MemoryTooSmall`] is that
    /// of the range, which must be longer than its records.
    ///
    /// # Safety
    ///
    /// Every byte of the range at physical address `a` must be mapped writable at virtual address
    /// `physical_memory_offset + a`, and no other code may use the frames that this returns: for
    /// good, or until [`RemovedRecords::reclaim`] returns them.
    pub unsafe fn add_records_at_offset(
        &self,
        range: PfnRange,
        physical_memory_offset: u64,
    ) -> Result<PfnRange, RecordsError> {
        let added = added_of(self);
        let lock = added.lock();
        let Plan { extent, before, layout } = plan(self, added, range)?;
        let place = extent.frames().intersection(range);
        let pages = layout.size().div_ceil(PAGE_SIZE as usize);
        let given = place.len() * PAGE_SIZE as usize;
        let too_small = |needed| RecordsError::MemoryTooSmall { given, needed };
        if place.len() <= pages {
            return Err(too_small(layout.size()));
        }
        let taken = PfnRange::new(Pfn::new(place.end().number() - pages), place.end());
        let start = physical_memory_offset.wrapping_add(taken.start().start_address());
        let start = core::ptr::with_exposed_provenance_mut::<MaybeUninit<u8>>(start as usize);
        // SAFETY: the frames are in `range`; the caller promises that these are mapped writable
        // here, as long as a call may refer to them, and not used by other code; and they are
        // reserved from the start, so that the allocator does not allocate them.
        let memory = unsafe { slice::from_raw_parts_mut(start, pages * PAGE_SIZE as usize) };
        let directory = make_chunk::<G>(memory, extent, taken, before).map_err(too_small)?;
        added.publish(&lock, directory);
        Ok(taken)
    }
}
