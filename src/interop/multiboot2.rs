//! Boot information of the crate `multiboot2` 0.28.
//!
//! The areas have a base and a length. Memory that is called available includes the kernel image,
//! the modules and the boot information itself.

use core::ops::Range;

use multiboot2::{BootInformation, MemoryArea, MemoryAreaType};

use crate::base::MapFull;
use crate::boot::MemoryMap;
use crate::interop::regions::{self, Kind, Region};

impl MemoryMap {
    /// Makes a map of the boot information. Feature `multiboot2_028`.
    ///
    /// `kernel` is the kernel image, in physical addresses, which the boot information does not
    /// reliably have: it is usually between two symbols of the linker script.
    ///
    /// The kernel image, the modules, the boot information, the first mebibyte (with it frame 0)
    /// and all areas but available ones are reserved. Without the tag of the memory map, which some
    /// bootloaders leave out under UEFI, the map has no memory.
    ///
    /// # Errors
    ///
    /// [`MapFull`] if more than 256 separate ranges remain after merging.
    pub fn from_multiboot2(info: &BootInformation<'_>, kernel: Range<u64>) -> Result<Self, MapFull> {
        let mut map = Self::new();
        map.add_multiboot2(info, kernel)?;
        Ok(map)
    }
}

impl<const N: usize> MemoryMap<N> {
    /// Adds boot information as [`MemoryMap::from_multiboot2`] does. Feature `multiboot2_028`.
    ///
    /// The boot information is reserved where it is now, so that it must be mapped identically. If
    /// it is not, use [`add_multiboot2_areas`](Self::add_multiboot2_areas), and reserve the modules
    /// and the boot information.
    ///
    /// # Errors
    ///
    /// [`MapFull`] if more than `N` separate ranges remain. Some have been added then.
    pub fn add_multiboot2(&mut self, info: &BootInformation<'_>, kernel: Range<u64>) -> Result<(), MapFull> {
        if let Some(tag) = info.memory_map_tag() {
            self.add_multiboot2_areas(tag.memory_areas())?;
        }
        for module in info.module_tags() {
            self.reserve(u64::from(module.start_address())..u64::from(module.end_address()))?;
        }
        self.reserve(info.start_address() as u64..info.end_address() as u64)?;
        self.reserve(kernel)
    }

    /// Adds the areas of a memory map, of which only available ones are usable. The first mebibyte
    /// is reserved. Feature `multiboot2_028`.
    ///
    /// # Errors
    ///
    /// [`MapFull`] if more than `N` separate ranges remain. Some have been added then.
    pub fn add_multiboot2_areas(&mut self, areas: &[MemoryArea]) -> Result<(), MapFull> {
        let areas = areas.iter().map(|area| {
            let kind = match area.typ() {
                MemoryAreaType::Available => Kind::Usable,
                MemoryAreaType::AcpiAvailable => Kind::InUse,
                _ => Kind::Other,
            };
            Region::with_len(area.start_address(), area.size(), kind)
        });
        regions::add(self, areas)
    }
}

#[cfg(test)]
mod tests {
    #![expect(unsafe_code, reason = "a boot information is loaded from raw memory")]

    use multiboot2::{BootInformation, MemoryArea, MemoryAreaType};

    use crate::boot::MemoryMap;
    use crate::interop::field_maps::{Kind, check, usable};

    fn type_of(kind: Kind) -> MemoryAreaType {
        match kind {
            Kind::Usable => MemoryAreaType::Available,
            Kind::Reserved => MemoryAreaType::Reserved,
            Kind::AcpiData => MemoryAreaType::AcpiAvailable,
            Kind::AcpiNvs => MemoryAreaType::ReservedHibernate,
            Kind::Bootloader => MemoryAreaType::Defective,
            Kind::Kernel => MemoryAreaType::Custom(77),
        }
    }

    #[test]
    fn maps_of_real_machines() {
        check(|fields| {
            let areas: Vec<_> = fields
                .iter()
                .map(|&(kind, base, length)| MemoryArea::new(base, length, type_of(kind)))
                .collect();
            let mut map = MemoryMap::new();
            map.add_multiboot2_areas(&areas).unwrap();
            map
        });
    }

    /// A boot information with one available area and one module, as a bootloader writes it.
    fn words(area: (u64, u64), module: (u32, u32)) -> Vec<u64> {
        let pair = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
        let mut words = vec![0];
        // The memory map: type 6, size, size and version of an entry, and one entry.
        words.extend([pair(6, 16 + 24), pair(24, 0), area.0, area.1, pair(1, 0)]);
        // A module: type 3, size, start, end, an empty string.
        words.extend([pair(3, 17), pair(module.0, module.1), 0]);
        words.extend([pair(0, 8)]);
        words[0] = pair(words.len() as u32 * 8, 0);
        words
    }

    #[test]
    fn kernel_modules_and_boot_information_are_reserved() {
        let words = words((0, 0x1000_0000), (0x40_0000, 0x40_1234));
        // SAFETY: the words are a valid boot information, at a multiple of 8 bytes, and live on.
        let info = unsafe { BootInformation::load(words.as_ptr().cast()) }.unwrap();
        let map = MemoryMap::from_multiboot2(&info, 0x10_0000..0x20_0800).unwrap();
        // The words themselves are far above.
        assert_eq!(usable(&map), [(0x201, 0x400), (0x402, 0x1_0000)]);
        let at = words.as_ptr() as u64 & !0xfff;
        let mut around: MemoryMap = MemoryMap::new();
        around.add_usable(at - 0x1000..at + 0x4000).unwrap();
        around.add_multiboot2(&info, 0..0).unwrap();
        let frame = (at / 4096) as usize;
        assert!(usable(&around).iter().all(|&(start, end)| !(start..end).contains(&frame)));
    }
}
