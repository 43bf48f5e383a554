//! PCI devices, and the virtio devices among them, with the crate `virtio-drivers`.
//!
//! | file | what |
//! |---|---|
//! | `config_ports` | the configuration space of PCI, through two I/O ports |
//! | `device_memory` | the memory that devices read and write, from the page allocator |
//! | `virtio` | finds virtio devices |
//! | `disk` | a virtio block device |
//! | `memory_device` | a virtio memory device |
//! | `dimm_slots` | the slots for DIMMs, as QEMU's ACPI hardware has them |
//! | `balloon` | a virtio balloon device |
//!
//! SeaBIOS, which QEMU runs before a PVH kernel too, has assigned the base addresses of the
//! devices, below 4 GiB, where the direct map reaches. A device whose address is 0 is an error.

pub(crate) mod balloon;
mod config_ports;
mod device_memory;
pub(crate) mod dimm_slots;
pub(crate) mod disk;
pub(crate) mod memory_device;
pub(crate) mod virtio;
