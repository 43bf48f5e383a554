//! Makes records for memory that the machine did not have at boot.
//!
//! The records come from memory that the kernel gives, or from the memory that they are for. They
//! stay for good: memory that is taken away later keeps its records, and needs no new ones when it
//! comes back.

#![expect(unsafe_code, reason = "the kernel promises that physical memory is mapped")]

use core::alloc::Layout;
use core::fmt;
use core::mem::MaybeUninit;
use core::slice;

use crate::base::{Checked, Geometry, PAGE_SIZE, Pfn, PfnRange, Platform};
use crate::boot::{chunk_layout, make_chunk};
use crate::page_allocator::PageAllocator;
use crate::records::{Added, Chunk, Extent, FrameIndex};

/// Why no records were made. Nothing has changed then.
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
        }
    }
}

impl core::error::Error for RecordsError {}

/// The records that are to be made.
struct Plan {
    extent: Extent,
    /// The chunks that there are.
    before: &'static [&'static Chunk],
    layout: Layout,
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
    let unit = Checked::<G>::UNIT;
    let whole = PfnRange::new(unit.align_down(range.start()), unit.align_up(range.end()));
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
    let before = added.chunks();
    let next = before.last().map_or(extents.boot_len(), |chunk| {
        chunk.extent().first().number() as usize + chunk.extent().frames().len()
    });
    let (all, limit) = (next.saturating_add(frames.len()), FrameIndex::LIMIT);
    let layout = chunk_layout::<G>(frames.len(), before.len()).filter(|_| all <= limit);
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

impl<P: Platform, G: Geometry> PageAllocator<'_, P, G> {
    /// As [`add_records`](Self::add_records), in the memory that the records are for: in the last
    /// frames of the range. Returns these. They are reserved frames from then on, and the others
    /// holes, which [`add_memory`](Self::add_memory) adds.
    ///
    /// The pageblocks that hold records cannot go offline. (`memmap_on_memory` in Linux.)
    ///
    /// # Errors
    ///
    /// As [`add_records`](Self::add_records); the size in [`RecordsError::MemoryTooSmall`] is that
    /// of the range, which must be longer than its records.
    ///
    /// # Safety
    ///
    /// Every byte of the range at physical address `a` must be mapped writable at virtual address
    /// `physical_memory_offset + a`, for good, and no other code may use the frames that this
    /// returns.
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
        // here, for good, and not used by other code; and they are reserved from the start, so that
        // the allocator does not allocate them.
        let memory = unsafe { slice::from_raw_parts_mut(start, pages * PAGE_SIZE as usize) };
        let directory = make_chunk::<G>(memory, extent, taken, before).map_err(too_small)?;
        added.publish(&lock, directory);
        Ok(taken)
    }
}
