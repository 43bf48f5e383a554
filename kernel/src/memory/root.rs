//! The kernel's own top-level page table.
//!
//! Its lower half is empty, whatever the bootloader left there: that half belongs to address spaces.
//! Its upper half (physical memory, the image, the boot stack) never changes, so that a space copies
//! the entries once and is never out of date.

#![expect(unsafe_code, reason = "switches page tables")]

use spin::Once;
use x86_64::registers::control::{Cr3, Cr3Flags};
use x86_64::structures::paging::{PageTable, PhysFrame};

use super::early::EarlyMemory;
use super::phys_to_virt;

/// The first entry of the upper half.
pub(crate) const UPPER_HALF: usize = 256;

static ROOT: Once<PhysFrame> = Once::new();

/// Makes the kernel's table from the bootloader's, and switches to it.
pub(crate) fn init(memory: &mut EarlyMemory) {
    ROOT.call_once(|| {
        let (boot, _) = Cr3::read();
        let frame = memory.zeroed_frame();
        copy_upper_half(boot, frame);
        frame
    });
    activate();
}

/// The table's frame.
pub(crate) fn frame() -> PhysFrame {
    *ROOT.get().expect("the kernel's page table is made before it is asked for")
}

/// Makes this CPU use the kernel's table: no address space.
pub(crate) fn activate() {
    // SAFETY: the upper half maps all that the kernel uses.
    unsafe { Cr3::write(frame(), Cr3Flags::empty()) };
}

/// Makes the table at `to` map the kernel like the one at `from` does.
pub(crate) fn copy_upper_half(from: PhysFrame, to: PhysFrame) {
    let from: *const PageTable = phys_to_virt(from.start_address()).as_ptr();
    let to: *mut PageTable = phys_to_virt(to.start_address()).as_mut_ptr();
    // SAFETY: a page table, mapped with all physical memory, whose entries nobody changes.
    let from = unsafe { &*from };
    // SAFETY: a frame of the caller's, mapped as well, that is in no use as a table yet.
    let to = unsafe { &mut *to };
    for index in UPPER_HALF..512 {
        to[index] = from[index].clone();
    }
}
