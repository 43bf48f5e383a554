//! Memory maps of the crate `bootloader` 0.9, the one of *Writing an OS in Rust*.
//!
//! Its regions are ranges of frames with an exclusive end. Only the type `Usable` is usable. The
//! others have the kernel, its stack, the page tables and the boot information, which the kernel
//! still uses, or belong to the firmware.

use bootloader::bootinfo::{MemoryRegion, MemoryRegionType};

use crate::base::MapFull;
use crate::boot::MemoryMap;
use crate::interop::regions::{self, Kind, Region};

impl MemoryMap {
    /// Makes a map of the regions from the bootloader. Feature `bootloader_09`.
    ///
    /// The first mebibyte, with it frame 0, and all types but `Usable` are reserved. The memory map
    /// of the boot information dereferences to a slice: `&boot_info.memory_map`.
    ///
    /// # Errors
    ///
    /// [`MapFull`] if more than 256 separate ranges remain after merging.
    pub fn from_bootloader(regions: &[MemoryRegion]) -> Result<Self, MapFull> {
        let mut map = Self::new();
        map.add_bootloader(regions)?;
        Ok(map)
    }
}

impl<const N: usize> MemoryMap<N> {
    /// Adds regions as [`MemoryMap::from_bootloader`] does. Feature `bootloader_09`.
    ///
    /// # Errors
    ///
    /// [`MapFull`] if more than `N` separate ranges remain. Some have been added then.
    pub fn add_bootloader(&mut self, regions: &[MemoryRegion]) -> Result<(), MapFull> {
        let regions = regions.iter().map(|region| Region {
            bytes: region.range.start_addr()..region.range.end_addr(),
            kind: match region.region_type {
                MemoryRegionType::Usable => Kind::Usable,
                MemoryRegionType::AcpiReclaimable
                | MemoryRegionType::Bootloader
                | MemoryRegionType::BootInfo
                | MemoryRegionType::PageTable => Kind::InUse,
                _ => Kind::Other,
            },
        });
        regions::add(self, regions)
    }
}

#[cfg(test)]
mod tests {
    use bootloader::bootinfo::{FrameRange, MemoryRegion, MemoryRegionType};

    use crate::boot::MemoryMap;
    use crate::interop::field_maps::{Kind, check, usable, whole_pages};

    fn region(start: u64, end: u64, region_type: MemoryRegionType) -> MemoryRegion {
        let range = FrameRange { start_frame_number: start / 4096, end_frame_number: end / 4096 };
        MemoryRegion { range, region_type }
    }

    #[test]
    fn maps_of_real_machines() {
        check(|fields| {
            let regions: Vec<_> = fields
                .iter()
                .map(|field| {
                    let pages = whole_pages(*field);
                    let kind = match field.0 {
                        Kind::Usable => MemoryRegionType::Usable,
                        Kind::Reserved => MemoryRegionType::Reserved,
                        Kind::AcpiData => MemoryRegionType::AcpiReclaimable,
                        Kind::AcpiNvs => MemoryRegionType::AcpiNvs,
                        Kind::Bootloader => MemoryRegionType::Bootloader,
                        Kind::Kernel => MemoryRegionType::Kernel,
                    };
                    region(pages.start, pages.end.max(pages.start), kind)
                })
                .collect();
            MemoryMap::from_bootloader(&regions).unwrap()
        });
    }

    #[test]
    fn the_boot_information_and_the_page_tables_are_not_usable() {
        let regions = [
            region(0, 0x1000, MemoryRegionType::FrameZero),
            region(0x1000, 0x5000, MemoryRegionType::PageTable),
            region(0x5000, 0xa_0000, MemoryRegionType::Usable),
            region(0x10_0000, 0x40_0000, MemoryRegionType::Kernel),
            region(0x40_0000, 0x41_0000, MemoryRegionType::KernelStack),
            region(0x41_0000, 0x80_0000, MemoryRegionType::Usable),
            region(0x70_0000, 0x70_1000, MemoryRegionType::BootInfo),
        ];
        let map = MemoryMap::from_bootloader(&regions).unwrap();
        assert_eq!(usable(&map), [(0x410, 0x700), (0x701, 0x800)]);
    }
}
