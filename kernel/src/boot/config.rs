//! What the kernel requests from a bootloader, and what the PVH entry sets up in the same way.

use bootloader_api::config::{BootloaderConfig, Mapping};

/// The address of the direct map of all physical memory.
pub(super) const PHYSICAL_MEMORY_OFFSET: u64 = 0xffff_8000_0000_0000;

/// The size of the stack of the boot CPU.
pub(super) const STACK_BYTES: u64 = 128 * 1024;

/// The start of what a bootloader maps: in the upper half, which all address spaces share.
const DYNAMIC_RANGE_START: u64 = 0xffff_c000_0000_0000;

/// The configuration for the `bootloader` crate.
pub(crate) static BOOTLOADER_CONFIG: BootloaderConfig = {
    let mut config = BootloaderConfig::new_default();
    config.kernel_stack_size = STACK_BYTES;
    config.mappings.physical_memory = Some(Mapping::FixedAddress(PHYSICAL_MEMORY_OFFSET));
    config.mappings.dynamic_range_start = Some(DYNAMIC_RANGE_START);
    config
};
