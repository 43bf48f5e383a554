//! The list of CPUs, from the MADT of ACPI.

#![expect(unsafe_code, reason = "firmware tables are mapped by physical address")]

use core::fmt;
use core::ptr::NonNull;

use acpi::madt::{Madt, MadtEntry};
use acpi::{AcpiError, AcpiHandler, AcpiTables, PhysicalMapping};
use heapless::Vec;
use x86_64::PhysAddr;

use crate::arch::percpu::MAX_CPUS;
use crate::physical::phys_to_virt;

/// The CPUs that the firmware lists as usable.
#[derive(Debug)]
pub(crate) struct Processors {
    /// The ids of their local APICs.
    pub(crate) apic_ids: Vec<u32, MAX_CPUS>,
    /// The number of further CPUs, beyond those that this kernel can use.
    pub(crate) beyond_limit: usize,
}

/// Why the CPUs could not be listed.
pub(crate) enum Error {
    /// The bootloader found no RSDP.
    NoRsdp,
    /// The tables are damaged, or the MADT is missing.
    Tables(AcpiError),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRsdp => f.write_str("the bootloader found no ACPI tables"),
            Self::Tables(error) => write!(f, "the ACPI tables are damaged: {error:?}"),
        }
    }
}

/// Reads the MADT.
pub(crate) fn processors(rsdp: Option<u64>) -> Result<Processors, Error> {
    let rsdp = rsdp.ok_or(Error::NoRsdp)?;
    // SAFETY: the address comes from the firmware by way of the boot protocol.
    let tables = unsafe { AcpiTables::from_rsdp(PhysicalMemory, rsdp as usize) };
    let madt = tables.and_then(|tables| tables.find_table::<Madt>()).map_err(Error::Tables)?;

    let mut found = Processors { apic_ids: Vec::new(), beyond_limit: 0 };
    for entry in madt.get().entries() {
        let apic_id = match entry {
            MadtEntry::LocalApic(local) if local.flags & ENABLED != 0 => u32::from(local.apic_id),
            MadtEntry::LocalX2Apic(local) if local.flags & ENABLED != 0 => local.x2apic_id,
            _ => continue,
        };
        if found.apic_ids.push(apic_id).is_err() {
            found.beyond_limit += 1;
        }
    }
    Ok(found)
}

/// The MADT flag of a CPU that is ready for use.
const ENABLED: u32 = 1;

/// Finds firmware tables in the direct map, so that nothing needs to be mapped.
#[derive(Clone)]
struct PhysicalMemory;

impl AcpiHandler for PhysicalMemory {
    unsafe fn map_physical_region<T>(&self, address: usize, size: usize) -> PhysicalMapping<Self, T> {
        let start = phys_to_virt(PhysAddr::new(address as u64));
        let start = NonNull::new(start.as_mut_ptr()).expect("the direct map is in the upper half");
        // SAFETY: the direct map holds the whole region permanently.
        unsafe { PhysicalMapping::new(address, start, size, size, Self) }
    }

    fn unmap_physical_region<T>(_: &PhysicalMapping<Self, T>) {}
}
