//! The memory that devices read and write, from the page allocator.

#![expect(unsafe_code, reason = "promises how this kernel maps memory")]

use core::ptr::NonNull;

use pageblock::interop::{VirtioHal, VirtioMemory};
use pageblock::{CmaArea, Migrate, X86_64};
use x86_64::{PhysAddr, VirtAddr};

use crate::memory;
use crate::memory::page_allocator::KernelAllocator;
use crate::memory::platform::ThisMachine;
use crate::physical::{phys_to_virt, root};
use crate::space::Migration;

/// This kernel, as the drivers of `virtio-drivers` see it.
pub(crate) type KernelHal = VirtioHal<DeviceMemory>;

/// See [`VirtioMemory`].
#[derive(Debug)]
pub(crate) struct DeviceMemory;

// SAFETY: the direct map maps all memory and the registers of devices below 4 GiB, for good, at one
// offset. What this kernel hands to a driver is in the direct map, or small and on a stack.
unsafe impl VirtioMemory for DeviceMemory {
    type Platform = ThisMachine;
    type Geometry = X86_64;

    fn allocator() -> Option<&'static KernelAllocator> {
        Some(memory::allocator())
    }

    fn area() -> Option<&'static CmaArea<'static>> {
        memory::cma()
    }

    fn migrate() -> impl Migrate {
        Migration::new()
    }

    fn phys_to_virt(address: u64) -> NonNull<u8> {
        let mapped = phys_to_virt(PhysAddr::new(address));
        NonNull::new(mapped.as_mut_ptr()).expect("the direct map is in the upper half")
    }

    fn virt_to_phys(address: NonNull<u8>) -> u64 {
        let physical = root::physical(VirtAddr::from_ptr(address.as_ptr()));
        physical.expect("a buffer of the kernel is mapped").as_u64()
    }
}
