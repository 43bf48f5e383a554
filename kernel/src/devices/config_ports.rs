//! The configuration space of PCI, through two I/O ports (configuration mechanism 1).

#![expect(unsafe_code, reason = "port I/O")]

use virtio_drivers::transport::pci::bus::{Cam, ConfigurationAccess, DeviceFunction};
use x86_64::instructions::port::Port;

const ADDRESS: u16 = 0xcf8;
const DATA: u16 = 0xcfc;
/// In the address: the access is one to the configuration space.
const ENABLE: u32 = 1 << 31;

/// The two ports. Only the boot CPU's own task uses them, because the address and the data are two
/// accesses.
#[derive(Debug)]
pub(super) struct ConfigPorts;

fn select(function: DeviceFunction, register: u8) {
    let address = ENABLE | Cam::MmioCam.cam_offset(function, register);
    // SAFETY: selects a register for the next access to the data port, and has no other effect.
    unsafe { Port::new(ADDRESS).write(address) };
}

impl ConfigurationAccess for ConfigPorts {
    fn read_word(&self, function: DeviceFunction, register: u8) -> u32 {
        select(function, register);
        // SAFETY: reading a register of the configuration space has no side effect.
        unsafe { Port::new(DATA).read() }
    }

    fn write_word(&mut self, function: DeviceFunction, register: u8, value: u32) {
        select(function, register);
        // SAFETY: the crate writes command and address registers of devices that this kernel
        // drives.
        unsafe { Port::new(DATA).write(value) };
    }

    unsafe fn unsafe_clone(&self) -> Self {
        Self
    }
}
