//! Physical memory as this kernel sees it: all of it mapped at one offset.
//!
//! - `allocator`: the page allocator and its CMA area, made from what the bootloader left.
//! - `faults`: accounting mistakes, switched on by name.
//! - `early`: memory for what lives as long as the kernel, before there is an allocator.
//! - `root`: the kernel's top-level page table, whose upper half all address spaces share.

pub(crate) mod allocator;
pub(crate) mod early;
pub(crate) mod faults;
pub(crate) mod root;

pub(crate) use allocator::{Block, allocator, cma, managed_bytes};

use spin::Once;
use x86_64::{PhysAddr, VirtAddr};

static OFFSET: Once<VirtAddr> = Once::new();

/// Memory below this address stays out of every allocator: it holds firmware data that memory maps
/// fail to mention, frame 0, and the page that other CPUs start in.
pub(crate) const LOW_MEMORY_END: u64 = 1 << 20;

/// Remembers where the bootloader mapped physical memory.
pub(crate) fn adopt_mapping(offset: Option<u64>) {
    let offset = offset.expect("the bootloader ignored that we ask for the physical-memory mapping");
    OFFSET.call_once(|| VirtAddr::new(offset));
}

/// Where that physical address is mapped.
pub(crate) fn phys_to_virt(address: PhysAddr) -> VirtAddr {
    *OFFSET.get().expect("physical memory is mapped before it is used") + address.as_u64()
}
