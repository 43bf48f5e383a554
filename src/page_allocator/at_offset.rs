//! Makes an allocator in one call, if physical memory is mapped at an offset.

#![expect(unsafe_code, reason = "the kernel promises that physical memory is mapped")]

use crate::base::{Geometry, InitError, PfnRange, Platform, X86_64};
use crate::boot::{MemoryMap, Metadata};
use crate::page_allocator::allocator::PageAllocator;
use crate::page_allocator::tuning::Tuning;

impl<P: Platform> PageAllocator<'static, P, X86_64> {
    /// Makes an allocator of the usable frames of the map, with the metadata taken from the map.
    ///
    /// All frames are free except those of the metadata (12.5 bytes for each frame, at the top of
    /// the largest usable region), which it reserves in the map and also returns.
    ///
    /// This is [`Metadata::carve`] and [`PageAllocator::new`] in one, for a kernel that has all
    /// physical memory mapped at `physical_memory_offset` (0 if it is mapped identically). Call it
    /// once, on the boot CPU. `cpus` is the number of CPUs that will run.
    ///
    /// # Errors
    ///
    /// Those of [`Metadata::carve`] and [`PageAllocator::new`]. No memory has been written then,
    /// and the map is unchanged.
    ///
    /// # Safety
    ///
    /// Every usable byte of the map at physical address `a` must be mapped writable at virtual
    /// address `physical_memory_offset + a`, for good, and no other code may use it.
    /// It may have any contents, but must be initialised, as memory is that no Rust code has
    /// allocated.
    pub unsafe fn new_at_offset<const N: usize>(
        platform: P,
        map: &mut MemoryMap<N>,
        physical_memory_offset: u64,
        cpus: usize,
        tuning: Tuning,
    ) -> Result<(Self, PfnRange), InitError> {
        // SAFETY: the same conditions, which the caller ensures.
        unsafe { Self::at_offset_with_geometry(platform, map, physical_memory_offset, cpus, tuning) }
    }
}

impl<P: Platform, G: Geometry> PageAllocator<'static, P, G> {
    /// As [`PageAllocator::new_at_offset`], for any geometry.
    ///
    /// # Safety
    ///
    /// As [`PageAllocator::new_at_offset`].
    pub unsafe fn at_offset_with_geometry<const N: usize>(
        platform: P,
        map: &mut MemoryMap<N>,
        physical_memory_offset: u64,
        cpus: usize,
        tuning: Tuning,
    ) -> Result<(Self, PfnRange), InitError> {
        Self::check(&platform, cpus.max(1), tuning)?;
        // SAFETY: the same conditions, which the caller ensures.
        let carved = unsafe { Metadata::carve_with_geometry(map, physical_memory_offset, cpus) };
        // In a closure, so that its copies of the allocator are not on the stack before.
        carved.and_then(|(metadata, taken)| {
            Self::new(platform, map, metadata, tuning).map(|pages| (pages, taken))
        })
    }
}
