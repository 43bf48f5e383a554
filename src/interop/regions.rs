//! What all adapters to boot protocols do with the regions of a memory map.

use core::ops::Range;

use crate::base::{MapFull, Order, PfnRange};
use crate::boot::MemoryMap;

/// What a region is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Free memory.
    Usable,
    /// Memory that is in use now and may be free later: of the bootloader, modules, ACPI tables.
    InUse,
    /// Anything else.
    Other,
}

/// A region of a memory map.
#[derive(Clone)]
pub(super) struct Region {
    pub(super) bytes: Range<u64>,
    pub(super) kind: Kind,
}

impl Region {
    /// The region of `length` bytes from `start` on, or up to the end of the address space.
    #[cfg(any(feature = "limine_06", feature = "multiboot2_028", feature = "uefi_041"))]
    pub(super) const fn with_len(start: u64, length: u64, kind: Kind) -> Self {
        Self { bytes: start..start.saturating_add(length), kind }
    }
}

/// Adds the regions of memory. Those in use are reserved but have records, so that they can be
/// handed over later. Reserves other regions that overlap memory, because regions of firmware
/// overlap and what is not usable takes precedence; and the first mebibyte.
pub(super) fn add<const N: usize>(
    map: &mut MemoryMap<N>,
    regions: impl Iterator<Item = Region> + Clone,
) -> Result<(), MapFull> {
    for region in regions.clone() {
        match region.kind {
            Kind::Usable => map.add_usable(region.bytes)?,
            Kind::InUse => map.add_reserved(region.bytes)?,
            Kind::Other => {}
        }
    }
    let memory = map.memory(Order::ZERO, usize::MAX).next().map(PfnRange::bytes);
    for region in regions.filter(|region| region.kind == Kind::Other) {
        let overlaps = memory
            .as_ref()
            .is_some_and(|span| region.bytes.start < span.end && region.bytes.end > span.start);
        if overlaps {
            map.reserve(region.bytes)?;
        }
    }
    map.reserve_first_mebibyte();
    Ok(())
}
