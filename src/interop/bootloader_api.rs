//! Memory maps of the crate `bootloader_api` 0.11.
//!
//! Its regions are half-open. Only the kind `Usable` is usable: `Bootloader` regions have the page
//! tables and the boot information that the kernel still uses, and the unknown kinds belong to the
//! firmware. The first mebibyte is reserved too, because application processors start there in real
//! mode, and because firmware is known to write to it.

use bootloader_api::info::{MemoryRegion, MemoryRegionKind};

use crate::base::MapFull;
use crate::boot::MemoryMap;
use crate::interop::regions::{self, Kind, Region};

impl MemoryMap {
    /// Makes a map of the regions from the bootloader. Feature `bootloader_api_011`.
    ///
    /// The first mebibyte and all kinds but `Usable` are reserved. Memory of the bootloader,
    /// wherever it is, can be added later with
    /// [`PageAllocator::add_memory`](crate::PageAllocator::add_memory).
    ///
    /// # Errors
    ///
    /// [`MapFull`] if more than 256 separate ranges remain after merging.
    pub fn from_bootloader_api(regions: &[MemoryRegion]) -> Result<Self, MapFull> {
        let mut map = Self::new();
        map.add_bootloader_api(regions)?;
        Ok(map)
    }
}

impl<const N: usize> MemoryMap<N> {
    /// Adds regions as [`MemoryMap::from_bootloader_api`] does. Feature `bootloader_api_011`.
    ///
    /// # Errors
    ///
    /// [`MapFull`] if more than `N` separate ranges remain. Some have been added then.
    pub fn add_bootloader_api(&mut self, regions: &[MemoryRegion]) -> Result<(), MapFull> {
        let regions = regions.iter().map(|region| Region {
            bytes: region.start..region.end,
            kind: match region.kind {
                MemoryRegionKind::Usable => Kind::Usable,
                MemoryRegionKind::Bootloader => Kind::InUse,
                _ => Kind::Other,
            },
        });
        regions::add(self, regions)
    }
}

#[cfg(test)]
mod tests {
    use bootloader_api::info::{MemoryRegion, MemoryRegionKind};

    use crate::base::Order;
    use crate::boot::MemoryMap;
    use crate::interop::field_maps::{Kind, check};

    fn region(start: u64, end: u64, kind: MemoryRegionKind) -> MemoryRegion {
        MemoryRegion { start, end, kind }
    }

    fn frames(regions: &[MemoryRegion]) -> Vec<(usize, usize)> {
        let map = MemoryMap::from_bootloader_api(regions).unwrap();
        map.usable().map(|range| (range.start().number(), range.end().number())).collect()
    }

    #[test]
    fn maps_of_real_machines() {
        check(|fields| {
            let regions: Vec<_> = fields
                .iter()
                .map(|&(kind, start, length)| {
                    let kind = match kind {
                        Kind::Usable => MemoryRegionKind::Usable,
                        Kind::Reserved => MemoryRegionKind::UnknownBios(2),
                        Kind::AcpiData => MemoryRegionKind::UnknownBios(3),
                        Kind::AcpiNvs => MemoryRegionKind::UnknownUefi(10),
                        Kind::Bootloader | Kind::Kernel => MemoryRegionKind::Bootloader,
                    };
                    region(start, start + length, kind)
                })
                .collect();
            MemoryMap::from_bootloader_api(&regions).unwrap()
        });
    }

    #[test]
    fn the_end_of_a_region_is_exclusive() {
        let regions = [
            region(0x10_0000, 0x20_0000, MemoryRegionKind::Usable),
            region(0x20_0000, 0x30_0000, MemoryRegionKind::Bootloader),
            region(0x30_0000, 0x40_0000, MemoryRegionKind::Usable),
        ];
        assert_eq!(frames(&regions), [(0x100, 0x200), (0x300, 0x400)]);
    }

    #[test]
    fn the_first_mebibyte_is_reserved() {
        let regions = [
            region(0, 0x9_fc00, MemoryRegionKind::Usable),
            region(0x10_0000, 0x20_0000, MemoryRegionKind::Usable),
        ];
        assert_eq!(frames(&regions), [(0x100, 0x200)]);
    }

    #[test]
    fn memory_of_the_bootloader_above_all_other_memory_has_records() {
        let regions = [
            region(0, 0x9_fc00, MemoryRegionKind::Bootloader),
            region(0x10_0000, 0x20_0000, MemoryRegionKind::Usable),
            region(0x80_0000, 0xc0_0000, MemoryRegionKind::Bootloader),
            region(0xfd_0000_0000, 0x100_0000_0000, MemoryRegionKind::UnknownBios(2)),
        ];
        let map = MemoryMap::from_bootloader_api(&regions).unwrap();
        let span = map.memory(Order::ZERO, usize::MAX).next().unwrap();
        assert_eq!((span.start().number(), span.end().number()), (0, 0xc00));
        assert_eq!(frames(&regions), [(0x100, 0x200)]);
    }

    #[test]
    fn three_hundred_unsorted_regions_of_all_kinds_are_accepted() {
        let kinds = [
            MemoryRegionKind::Usable,
            MemoryRegionKind::Usable,
            MemoryRegionKind::Bootloader,
            MemoryRegionKind::UnknownUefi(5),
        ];
        let mut regions: Vec<_> =
            (0..300).map(|n| region((256 + n) << 12, (257 + n) << 12, kinds[n as usize % 4])).collect();
        regions.reverse();
        let expected: Vec<_> = (0..75).map(|n| (256 + 4 * n, 258 + 4 * n)).collect();
        assert_eq!(frames(&regions), expected);
    }

    #[test]
    fn unknown_kinds_override_usable_ones() {
        let regions = [
            region(0x10_0000, 0x40_0000, MemoryRegionKind::Usable),
            region(0x20_0000, 0x20_0001, MemoryRegionKind::UnknownBios(2)),
            region(0x2f_ffff, 0x30_0000, MemoryRegionKind::UnknownUefi(7)),
            region(0xfd_0000_0000, 0x100_0000_0000, MemoryRegionKind::UnknownBios(2)),
        ];
        assert_eq!(frames(&regions), [(0x100, 0x200), (0x201, 0x2ff), (0x300, 0x400)]);
    }
}
