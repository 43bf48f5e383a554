//! The kernel's own top-level page table.
//!
//! Its lower half is empty, because that half belongs to address spaces; entries that a bootloader
//! left there are dropped. Its upper half (the direct map, the image, the boot stack) never
//! changes, so an address space copies the entries once and never has to update them.

#![expect(unsafe_code, reason = "switches page tables")]

use spin::Once;
use x86_64::registers::control::{Cr3, Cr3Flags};
use x86_64::structures::paging::page_table::PageTableLevel;
use x86_64::structures::paging::{PageTable, PageTableFlags, PhysFrame};
use x86_64::{PhysAddr, VirtAddr};

use crate::physical::direct_map::{phys_to_virt, virt_to_phys};
use crate::physical::early::EarlyMemory;

/// The first entry of the upper half.
pub(crate) const UPPER_HALF: usize = 256;

static ROOT: Once<PhysFrame> = Once::new();

/// Builds the kernel's table from the bootloader's, and loads it on this CPU.
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
    *ROOT.get().expect("the kernel's page table is used before `root::init`")
}

/// Loads the kernel's table on this CPU, so that no address space is active.
pub(crate) fn activate() {
    // SAFETY: the upper half maps all that the kernel uses.
    unsafe { Cr3::write(frame(), Cr3Flags::empty()) };
}

/// The physical address of what the kernel has at `address`: in the direct map, in the image, or on
/// a stack. `None` if nothing is mapped there.
pub(crate) fn physical(address: VirtAddr) -> Option<PhysAddr> {
    virt_to_phys(address).or_else(|| walk(address))
}

/// Looks `address` up in the page tables.
fn walk(address: VirtAddr) -> Option<PhysAddr> {
    let mut table = frame().start_address();
    let mut level = PageTableLevel::Four;
    loop {
        // SAFETY: the direct map has all tables, and those of the upper half never change.
        let entries = unsafe { &*phys_to_virt(table).as_ptr::<PageTable>() };
        let entry = &entries[address.page_table_index(level)];
        if !entry.flags().contains(PageTableFlags::PRESENT) {
            return None;
        }
        let next = level.next_lower_level().filter(|_| !entry.flags().contains(PageTableFlags::HUGE_PAGE));
        let Some(next) = next else {
            let offset = address.as_u64() & (level.entry_address_space_alignment() - 1);
            return Some(entry.addr() + offset);
        };
        (table, level) = (entry.addr(), next);
    }
}

/// Copies the entries that map the kernel from the table in `from` to the table in `to`.
pub(crate) fn copy_upper_half(from: PhysFrame, to: PhysFrame) {
    let from: *const PageTable = phys_to_virt(from.start_address()).as_ptr();
    let to: *mut PageTable = phys_to_virt(to.start_address()).as_mut_ptr();
    // SAFETY: a page table in the direct map, whose upper entries never change.
    let from = unsafe { &*from };
    // SAFETY: a frame of the caller's in the direct map, which no CPU uses as a table yet.
    let to = unsafe { &mut *to };
    for index in UPPER_HALF..512 {
        to[index] = from[index].clone();
    }
}
