//! All steps to an allocator in one call, for a kernel whose physical memory is mapped at an
//! offset.

#![expect(unsafe_code, reason = "the kernel promises that physical memory is mapped")]

use crate::base::{Geometry, InitError, PfnRange, Platform, X86_64};
use crate::boot::{MemoryMap, Metadata};
use crate::page_allocator::allocator::PageAllocator;
use crate::page_allocator::tuning::Tuning;

impl<P: Platform> PageAllocator<'static, P, X86_64> {
    /// Makes an allocator of the map's usable frames, all free except those that its own records
    /// take: 12.5 bytes for each frame, from the top of the largest usable region. Returns these
    /// frames too.
    ///
    /// This is [`Metadata::layout`], [`Metadata::carve`] and [`PageAllocator::new`] in one, for a
    /// kernel that has all physical memory mapped at `physical_memory_offset` (0 under an identity
    /// mapping). Call it once, on the boot CPU; `cpus` is how many CPUs there will be, each of
    /// which gets pcplists of its own.
    ///
    /// # Errors
    ///
    /// As the three: [`InitError::EmptyMap`], [`InitError::NoCpus`], [`InitError::TooLarge`],
    /// [`InitError::MetadataTooSmall`], [`InitError::MapFull`]. No memory has been touched then.
    ///
    /// # Safety
    ///
    /// Every usable byte of the map at physical address `a` must be mapped writable at virtual
    /// address `physical_memory_offset + a` for as long as the program runs, and nobody else may
    /// use it.
    pub unsafe fn new_at_offset<const N: usize>(
        platform: P,
        map: MemoryMap<N>,
        physical_memory_offset: u64,
        cpus: usize,
        tuning: Tuning,
    ) -> Result<(Self, PfnRange), InitError> {
        // SAFETY: the caller promises what is asked for.
        unsafe { Self::at_offset_with_geometry(platform, map, physical_memory_offset, cpus, tuning) }
    }
}

impl<P: Platform, G: Geometry> PageAllocator<'static, P, G> {
    /// As [`PageAllocator::new_at_offset`], for any geometry.
    ///
    /// # Errors
    ///
    /// As [`PageAllocator::new_at_offset`].
    ///
    /// # Safety
    ///
    /// As [`PageAllocator::new_at_offset`].
    pub unsafe fn at_offset_with_geometry<const N: usize>(
        platform: P,
        mut map: MemoryMap<N>,
        physical_memory_offset: u64,
        cpus: usize,
        tuning: Tuning,
    ) -> Result<(Self, PfnRange), InitError> {
        // SAFETY: the caller promises what is asked for.
        let carved = unsafe { Metadata::carve_with_geometry(&mut map, physical_memory_offset, cpus) };
        let (metadata, taken) = carved?;
        Ok((Self::new(platform, &map, metadata, tuning)?, taken))
    }
}
