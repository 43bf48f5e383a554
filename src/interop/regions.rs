//! What all adapters to boot protocols do with the regions of a memory map.

use core::ops::Range;

use crate::base::MapFull;
use crate::boot::MemoryMap;

/// Real-mode memory, which is always reserved: application processors start there, firmware is known
/// to write to it, and address 0 means *no frame* in many kernels.
const FIRST_MEBIBYTE: Range<u64> = 0..0x10_0000;

/// A region of a memory map.
#[derive(Clone)]
pub(super) struct Region {
    pub(super) bytes: Range<u64>,
    pub(super) usable: bool,
}

impl Region {
    /// The region of `length` bytes from `start` on, or up to the end of the address space.
    #[cfg(any(feature = "limine_06", feature = "multiboot2_028", feature = "uefi_041"))]
    pub(super) const fn with_len(start: u64, length: u64, usable: bool) -> Self {
        Self { bytes: start..start.saturating_add(length), usable }
    }
}

/// Adds the usable regions. Reserves the others, as far as they are between the first usable byte
/// and the last, and the first mebibyte. Regions of firmware overlap: what is not usable takes
/// precedence.
pub(super) fn add<const N: usize>(
    map: &mut MemoryMap<N>,
    regions: impl Iterator<Item = Region> + Clone,
) -> Result<(), MapFull> {
    for region in regions.clone().filter(|region| region.usable) {
        map.add_usable(region.bytes)?;
    }
    let span = map.span().map(|span| span.bytes());
    for region in regions.filter(|region| !region.usable) {
        let overlaps_usable =
            span.as_ref().is_some_and(|span| region.bytes.start < span.end && region.bytes.end > span.start);
        if overlaps_usable {
            map.reserve(region.bytes)?;
        }
    }
    map.reserve(FIRST_MEBIBYTE)
}
