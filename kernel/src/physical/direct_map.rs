//! The direct map: all physical memory, mapped at one offset by the boot code.

use spin::Once;
use x86_64::{PhysAddr, VirtAddr};

/// No allocator gets memory below this address. It holds firmware data that memory maps fail to
/// mention, frame 0, and the page in which the other CPUs start.
pub(crate) const LOW_MEMORY_END: u64 = 1 << 20;

/// More than the direct map has: what one top-level entry maps, and less than the distance from it
/// to anything else in the upper half.
const SIZE: u64 = 1 << 39;

static OFFSET: Once<VirtAddr> = Once::new();

/// Stores the address at which the boot code mapped physical address 0.
pub(crate) fn init(offset: Option<u64>) {
    let offset = offset.expect("the bootloader did not map physical memory, which our config requests");
    OFFSET.call_once(|| VirtAddr::new(offset));
}

/// The virtual address of `address` in the direct map.
pub(crate) fn phys_to_virt(address: PhysAddr) -> VirtAddr {
    *OFFSET.get().expect("the direct map is used before `direct_map::init`") + address.as_u64()
}

/// The physical address of `address`, if it is in the direct map.
pub(crate) fn virt_to_phys(address: VirtAddr) -> Option<PhysAddr> {
    let offset = *OFFSET.get().expect("the direct map is used before `direct_map::init`");
    let distance = address.as_u64().checked_sub(offset.as_u64())?;
    (distance < SIZE).then(|| PhysAddr::new(distance))
}
