//! Memory maps of the crate `limine` 0.6.
//!
//! Its entries have a base and a length. Only the type `USABLE` is usable: memory that the
//! bootloader calls reclaimable has the page tables, the stack and the responses that the kernel
//! still uses.

use limine::memmap::{
    Entry, MEMMAP_ACPI_RECLAIMABLE, MEMMAP_BOOTLOADER_RECLAIMABLE, MEMMAP_EXECUTABLE_AND_MODULES,
    MEMMAP_USABLE,
};

use crate::base::MapFull;
use crate::boot::MemoryMap;
use crate::interop::regions::{self, Kind, Region};

impl MemoryMap {
    /// Makes a map of the entries from Limine. Feature `limine_06`, which needs a nightly compiler,
    /// as that crate does.
    ///
    /// The first mebibyte, with it frame 0, and all types but `USABLE` are reserved.
    /// Bootloader-reclaimable memory can be added later with
    /// [`PageAllocator::add_memory_bytes`](crate::PageAllocator::add_memory_bytes).
    ///
    /// # Errors
    ///
    /// [`MapFull`] if more than 256 separate ranges remain after merging.
    pub fn from_limine(entries: &[&Entry]) -> Result<Self, MapFull> {
        let mut map = Self::new();
        map.add_limine(entries)?;
        Ok(map)
    }
}

impl<const N: usize> MemoryMap<N> {
    /// Adds entries as [`MemoryMap::from_limine`] does. Feature `limine_06`.
    ///
    /// # Errors
    ///
    /// [`MapFull`] if more than `N` separate ranges remain. Some have been added then.
    pub fn add_limine(&mut self, entries: &[&Entry]) -> Result<(), MapFull> {
        let entries = entries.iter().map(|entry| {
            let kind = match entry.type_ {
                MEMMAP_USABLE => Kind::Usable,
                MEMMAP_ACPI_RECLAIMABLE | MEMMAP_BOOTLOADER_RECLAIMABLE | MEMMAP_EXECUTABLE_AND_MODULES => {
                    Kind::InUse
                }
                _ => Kind::Other,
            };
            Region::with_len(entry.base, entry.length, kind)
        });
        regions::add(self, entries)
    }
}

#[cfg(test)]
mod tests {
    use limine::memmap::{self, Entry};

    use crate::boot::MemoryMap;
    use crate::interop::field_maps::{Kind, check, usable};

    fn entry(base: u64, length: u64, type_: u64) -> Entry {
        Entry { base, length, type_ }
    }

    #[test]
    fn maps_of_real_machines() {
        check(|fields| {
            let entries: Vec<_> = fields
                .iter()
                .map(|&(kind, base, length)| {
                    let kind = match kind {
                        Kind::Usable => memmap::MEMMAP_USABLE,
                        Kind::Reserved => memmap::MEMMAP_RESERVED,
                        Kind::AcpiData => memmap::MEMMAP_ACPI_RECLAIMABLE,
                        Kind::AcpiNvs => memmap::MEMMAP_ACPI_NVS,
                        Kind::Bootloader => memmap::MEMMAP_BOOTLOADER_RECLAIMABLE,
                        Kind::Kernel => memmap::MEMMAP_EXECUTABLE_AND_MODULES,
                    };
                    entry(base, length, kind)
                })
                .collect();
            MemoryMap::from_limine(&entries.iter().collect::<Vec<_>>()).unwrap()
        });
    }

    #[test]
    fn framebuffers_and_unknown_types_are_not_usable() {
        let entries = [
            entry(0, 0x1000_0000, memmap::MEMMAP_USABLE),
            entry(0x80_0000, 0x1000, memmap::MEMMAP_FRAMEBUFFER),
            entry(0x90_0800, 0x1000, memmap::MEMMAP_BAD_MEMORY),
            entry(0xa0_0000, 0x1000, 77),
            entry(u64::MAX - 7, 4096, memmap::MEMMAP_RESERVED),
        ];
        let map = MemoryMap::from_limine(&entries.iter().collect::<Vec<_>>()).unwrap();
        assert_eq!(usable(&map), [(0x100, 0x800), (0x801, 0x900), (0x902, 0xa00), (0xa01, 0x1_0000)]);
    }
}
