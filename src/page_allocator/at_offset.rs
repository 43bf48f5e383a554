//! All the steps at once, for a kernel whose physical memory is mapped at an offset.

#![expect(unsafe_code, reason = "takes the caller's word that physical memory is mapped")]

use crate::error::InitError;
use crate::geometry::Geometry;
use crate::memory_map::MemoryMap;
use crate::metadata::Metadata;
use crate::page_allocator::{PageAllocator, Tuning};
use crate::pfn::PfnRange;
use crate::platform::Platform;

impl<P: Platform, G: Geometry> PageAllocator<'static, P, G> {
    /// An allocator of the map's usable frames, all free but those that its own records take: 12.4 bytes for each frame, from
    /// the top of the largest usable region. Says which frames these are.
    ///
    /// [`Metadata::layout`], [`Metadata::carve`] and [`PageAllocator::new`] in one, for a kernel that has all physical memory
    /// mapped at `physical_memory_offset` (0 under an identity mapping). Once, on the boot CPU; `cpus` is how many CPUs
    /// there will be, each of which gets lists of its own.
    ///
    /// # Errors
    ///
    /// As the three: [`InitError::EmptyMap`], [`InitError::NoCpus`], [`InitError::TooLarge`],
    /// [`InitError::MetadataTooSmall`], [`InitError::MapFull`]. No memory has been touched then.
    ///
    /// # Safety
    ///
    /// Every usable byte of the map at physical address `a` must be mapped writable at virtual address
    /// `physical_memory_offset + a` for as long as the program runs, and nobody else may use it.
    pub unsafe fn new_at_offset<const N: usize>(
        platform: P,
        mut map: MemoryMap<N>,
        physical_memory_offset: u64,
        cpus: usize,
        tuning: Tuning,
    ) -> Result<(Self, PfnRange), InitError> {
        // SAFETY: the caller's promise is the one that is asked for.
        let (metadata, taken) = unsafe { Metadata::carve(&mut map, physical_memory_offset, cpus) }?;
        Ok((Self::new(platform, &map, metadata, tuning)?, taken))
    }
}
