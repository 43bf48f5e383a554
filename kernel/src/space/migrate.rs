//! Migration of mapped pages: the kernel's answer to [`pageblock::Migrate`].
//!
//! The allocator pins the frame and names the owner; the owner's space is locked; if its entry still
//! maps the frame, the entry loses its present bit, every CPU that may have a translation drops it,
//! the page is copied, and the entry comes back with the new frame. A CPU that touches the page
//! meanwhile waits in the fault hook. If the entry does not map the frame any more, the owner was
//! faster and has freed it: [`MigrateError::Gone`], and nothing was done. Both sides decide under the
//! same lock, so exactly one of them wins.
//!
//! An entry that is in flight when the lock is free is in no CPU's TLB. So a space that other CPUs
//! run in can be told once for many pages, as `migrate_pages_batch` does since Linux v6.3: the first
//! page that has to move takes all neighbours of the same space along, one flush for all. Who is
//! then not moved (the neighbourhood may be larger than what is wanted) gets its present bit back
//! when the [`Migration`] ends. Neighbours: [`address_space`](super::address_space),
//! [`active`](super::active).

use core::sync::atomic::{AtomicU64, Ordering};

use pageblock::{Migrate, MigrateError, Move, Order};

use super::address_space::{MAX_SPACES, Slot};
use super::entry::{Entry, EntryState};
use super::frame::{copy, words};
use super::owner::OwnerWord;
use super::tables::{Tables, clear_present};
use crate::smp;

/// The neighbourhood of a page that is unmapped at once: 8 MiB.
const BATCH: Order = Order::new(11);

static MIGRATED: AtomicU64 = AtomicU64::new(0);

/// Migrates the pages of all address spaces, for as long as one contiguous allocation takes.
#[derive(Debug)]
pub(crate) struct Migration {
    /// The spaces, one bit each, that may have pages in flight.
    touched: [AtomicU64; MAX_SPACES.div_ceil(64)],
}

impl Migration {
    /// Begins.
    pub(crate) fn new() -> Self {
        Self { touched: [const { AtomicU64::new(0) }; MAX_SPACES.div_ceil(64)] }
    }

    /// Puts a block in flight: alone, or with its neighbours if that takes other CPUs.
    fn take_off(&self, owner: OwnerWord, slot: &Slot, tables: &Tables, block: &[AtomicU64], page: Move) {
        clear_present(block);
        if !slot.is_active_elsewhere() {
            slot.flush_here(owner.page, page.order);
            return;
        }
        let neighbourhood = BATCH.block(BATCH.align_down(page.from));
        tables.for_each_block(|first, entry| {
            if neighbourhood.contains(entry.pfn()) {
                clear_present(tables.block(first, entry.order()));
            }
        });
        smp::shootdown::flush_all();
        let index = usize::from(owner.slot);
        self.touched[index / 64].fetch_or(1 << (index % 64), Ordering::Relaxed);
    }
}

impl Migrate for Migration {
    fn migrate(&self, page: Move) -> Result<(), MigrateError> {
        let owner = match page.owner {
            0 => return Err(MigrateError::Busy), // not said yet
            word => OwnerWord::decode(word).ok_or(MigrateError::Pinned)?,
        };
        Slot::with_owner(owner, |slot, tables| {
            let block = tables.block(owner.page, page.order);
            let head = block.first().ok_or(MigrateError::Gone)?;
            let before = Entry::from_raw(head.load(Ordering::Acquire));
            let same = before.pfn() == page.from && before.order() == page.order;
            match before.state() {
                EntryState::Mapped if same => self.take_off(owner, slot, tables, block, page),
                EntryState::Migrating if same => {}
                _ => return Err(MigrateError::Gone),
            }
            for (entry, target) in block.iter().zip(page.order.block(page.to).iter()) {
                let in_flight = Entry::from_raw(entry.load(Ordering::Acquire));
                copy(words(in_flight.pfn()), words(target));
                entry.store(in_flight.moved_to(target).raw(), Ordering::Release);
            }
            MIGRATED.fetch_add(page.order.pages() as u64, Ordering::Relaxed);
            Ok(())
        })
        .unwrap_or(Err(MigrateError::Gone))
    }
}

impl Drop for Migration {
    fn drop(&mut self) {
        for index in 0..MAX_SPACES {
            if self.touched[index / 64].load(Ordering::Relaxed) & (1 << (index % 64)) != 0 {
                Slot::land_all(index);
            }
        }
    }
}

/// Pages migrated since boot.
pub(crate) fn pages_migrated() -> u64 {
    MIGRATED.load(Ordering::Relaxed)
}
