//! The mapping of plugged memory: blocks of 2 MiB that join the direct map, and leave it.
//!
//! The tables that this needs are below the top level, so that all address spaces have what changes
//! here. They stay for good.

#![expect(unsafe_code, reason = "changes page tables")]

use spin::Mutex;
use x86_64::structures::paging::{PageTable, PageTableFlags, PhysFrame};
use x86_64::{PhysAddr, VirtAddr};

use crate::physical::direct_map::phys_to_virt;
use crate::physical::root;

/// There is no memory for a page table, or the address is beyond the direct map.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct NotMapped;

/// A block has been unmapped. Every CPU must flush this address before the block is given away.
#[must_use]
#[derive(Debug)]
pub(crate) struct Unmapped(pub(crate) VirtAddr);

/// Held while the tables change.
static TABLES: Mutex<()> = Mutex::new(());

/// Maps the block that starts at `start`, a multiple of 2 MiB. Nothing changes if it is mapped
/// already, as by a bootloader that maps more than there is. `new_table` allocates a zeroed frame.
pub(crate) fn map(start: PhysAddr, new_table: impl FnOnce() -> Option<PhysFrame>) -> Result<(), NotMapped> {
    let _lock = TABLES.lock();
    let address = phys_to_virt(start);
    let directories = directories(address).ok_or(NotMapped)?;
    let flags = PageTableFlags::PRESENT | PageTableFlags::WRITABLE;
    let directory = &mut directories[address.p3_index()];
    if directory.flags().contains(PageTableFlags::HUGE_PAGE) {
        return Ok(());
    }
    if directory.is_unused() {
        directory.set_addr(new_table().ok_or(NotMapped)?.start_address(), flags);
    }
    let block = &mut table(directory.addr())[address.p2_index()];
    if block.is_unused() {
        block.set_addr(start, flags | PageTableFlags::HUGE_PAGE);
    }
    Ok(())
}

/// Unmaps the block that starts at `start`, if a block is mapped there.
pub(crate) fn unmap(start: PhysAddr) -> Unmapped {
    let _lock = TABLES.lock();
    let address = phys_to_virt(start);
    if let Some(directories) = directories(address) {
        let directory = &directories[address.p3_index()];
        if !directory.is_unused() && !directory.flags().contains(PageTableFlags::HUGE_PAGE) {
            table(directory.addr())[address.p2_index()].set_unused();
        }
    }
    Unmapped(address)
}

/// The page directories that cover `address`, which all address spaces share.
fn directories(address: VirtAddr) -> Option<&'static mut PageTable> {
    let entry = &table(root::frame().start_address())[address.p4_index()];
    (!entry.is_unused()).then(|| table(entry.addr()))
}

/// The table at `address`. `TABLES` is held.
fn table(address: PhysAddr) -> &'static mut PageTable {
    let table = phys_to_virt(address).as_mut_ptr::<PageTable>();
    // SAFETY: a table of the kernel in the direct map. Only the holder of `TABLES` changes entries
    // below the top level, and makes no second reference to the same table; the CPUs walk them.
    unsafe { &mut *table }
}
