//! Memory maps of the crate `uefi` 0.41.
//!
//! Its descriptors have a start and a number of 4 KiB pages, and there may be hundreds of them.
//! Descriptors that are free for use by the kernel are merged, so that few separate ranges remain.

use uefi::mem::memory_map::{self, MemoryType};

use crate::base::{MapFull, PAGE_SIZE};
use crate::boot::MemoryMap;
use crate::interop::regions::{self, Kind, Region};

impl MemoryMap {
    /// Makes a map of the memory map that `exit_boot_services` returned. Feature `uefi_041`.
    ///
    /// Only conventional memory is usable. The first mebibyte, with it frame 0, and all other types
    /// are reserved: the loader's memory has the kernel, and the kernel may still run on a stack
    /// and on page tables in the memory of the boot services. Where it does not, see
    /// [`add_uefi_with_boot_services`](MemoryMap::add_uefi_with_boot_services).
    ///
    /// # Errors
    ///
    /// [`MapFull`] if more than 256 separate ranges remain after merging.
    pub fn from_uefi(memory: &impl memory_map::MemoryMap) -> Result<Self, MapFull> {
        let mut map = Self::new();
        map.add_uefi(memory)?;
        Ok(map)
    }
}

impl<const N: usize> MemoryMap<N> {
    /// Adds a memory map as [`MemoryMap::from_uefi`] does. Feature `uefi_041`.
    ///
    /// # Errors
    ///
    /// [`MapFull`] if more than `N` separate ranges remain. Some have been added then.
    pub fn add_uefi(&mut self, memory: &impl memory_map::MemoryMap) -> Result<(), MapFull> {
        add(self, memory, |ty| ty == MemoryType::CONVENTIONAL)
    }

    /// As [`add_uefi`](Self::add_uefi), with the memory of the boot services as usable, too.
    /// Feature `uefi_041`.
    ///
    /// For a kernel that has exited the boot services and has its own page tables and stacks, in
    /// memory of another type.
    ///
    /// # Errors
    ///
    /// [`MapFull`] if more than `N` separate ranges remain. Some have been added then.
    pub fn add_uefi_with_boot_services(
        &mut self,
        memory: &impl memory_map::MemoryMap,
    ) -> Result<(), MapFull> {
        add(self, memory, |ty| {
            [MemoryType::CONVENTIONAL, MemoryType::BOOT_SERVICES_CODE, MemoryType::BOOT_SERVICES_DATA]
                .contains(&ty)
        })
    }
}

fn add<const N: usize>(
    map: &mut MemoryMap<N>,
    memory: &impl memory_map::MemoryMap,
    is_usable: impl Fn(MemoryType) -> bool + Copy,
) -> Result<(), MapFull> {
    let descriptors = memory.entries().map(|descriptor| {
        let length = descriptor.page_count.saturating_mul(PAGE_SIZE);
        let kind = match descriptor.ty {
            ty if is_usable(ty) => Kind::Usable,
            MemoryType::LOADER_CODE
            | MemoryType::LOADER_DATA
            | MemoryType::BOOT_SERVICES_CODE
            | MemoryType::BOOT_SERVICES_DATA
            | MemoryType::ACPI_RECLAIM => Kind::InUse,
            _ => Kind::Other,
        };
        Region::with_len(descriptor.phys_start, length, kind)
    });
    regions::add(map, descriptors)
}

#[cfg(test)]
mod tests {
    use uefi::mem::memory_map::{MemoryDescriptor, MemoryMapMeta, MemoryMapRef, MemoryType};

    use crate::boot::MemoryMap;
    use crate::interop::field_maps::{Kind, check, usable, whole_pages};

    fn descriptor(phys_start: u64, page_count: u64, ty: MemoryType) -> MemoryDescriptor {
        MemoryDescriptor { ty, phys_start, page_count, ..MemoryDescriptor::default() }
    }

    /// Runs `f` with these descriptors as the memory map of the crate.
    fn with_map<R>(descriptors: &[MemoryDescriptor], f: impl FnOnce(&MemoryMapRef<'_>) -> R) -> R {
        let meta = MemoryMapMeta {
            map_size: size_of_val(descriptors),
            desc_size: size_of::<MemoryDescriptor>(),
            map_key: Default::default(),
            desc_version: MemoryDescriptor::VERSION,
        };
        let bytes: Vec<u8> = descriptors
            .iter()
            .flat_map(|at| [u64::from(at.ty.0), at.phys_start, at.virt_start, at.page_count, at.att.bits()])
            .flat_map(u64::to_ne_bytes)
            .collect();
        // At a multiple of 8 bytes.
        let mut buffer = vec![0; bytes.len() + 8];
        let start = buffer.as_ptr().align_offset(8);
        buffer[start..][..bytes.len()].copy_from_slice(&bytes);
        f(&MemoryMapRef::new(&buffer[start..][..bytes.len()], meta).unwrap())
    }

    #[test]
    fn maps_of_real_machines() {
        check(|fields| {
            let descriptors: Vec<_> = fields
                .iter()
                .map(|field| {
                    let pages = whole_pages(*field);
                    let ty = match field.0 {
                        Kind::Usable => MemoryType::CONVENTIONAL,
                        Kind::Reserved => MemoryType::RESERVED,
                        Kind::AcpiData => MemoryType::ACPI_RECLAIM,
                        Kind::AcpiNvs => MemoryType::ACPI_NON_VOLATILE,
                        Kind::Bootloader => MemoryType::LOADER_DATA,
                        Kind::Kernel => MemoryType::LOADER_CODE,
                    };
                    descriptor(pages.start, pages.end.saturating_sub(pages.start) / 4096, ty)
                })
                .collect();
            with_map(&descriptors, |map| MemoryMap::from_uefi(map).unwrap())
        });
    }

    #[test]
    fn boot_services_at_frame_0_are_never_handed_out() {
        let descriptors = [
            descriptor(0, 0x9f, MemoryType::BOOT_SERVICES_CODE),
            descriptor(0x10_0000, 0x700, MemoryType::CONVENTIONAL),
            descriptor(0x80_0000, 8, MemoryType::ACPI_NON_VOLATILE),
            descriptor(0x80_8000, 8, MemoryType::BOOT_SERVICES_DATA),
            descriptor(0x81_0000, 0x7f0, MemoryType::CONVENTIONAL),
            descriptor(u64::MAX - 0xfff, u64::MAX, MemoryType::MMIO),
        ];
        let (careful, all) = with_map(&descriptors, |map| {
            let mut all: MemoryMap = MemoryMap::new();
            all.add_uefi_with_boot_services(map).unwrap();
            (MemoryMap::from_uefi(map).unwrap(), all)
        });
        assert_eq!(usable(&careful), [(0x100, 0x800), (0x810, 0x1000)]);
        assert_eq!(usable(&all), [(0x100, 0x800), (0x808, 0x1000)]);
    }
}
