//! Migration of mapped pages: the kernel's answer to [`pageblock::Migrate`].
//!
//! The allocator pins the frame and names the owner; the owner's space is locked; if its entry still
//! maps the frame, the entry loses its present bit, every CPU that may have a translation drops it,
//! the page is copied, and the entry comes back with the new frame. A CPU that touches the page
//! meanwhile waits in the fault hook. If the entry does not map the frame any more, the owner was
//! faster and has freed it: [`MigrateError::Gone`], and nothing was done. Both sides decide under the
//! same lock, so exactly one of them wins. Neighbours: [`address_space`](super::address_space),
//! [`active`](super::active).

use core::sync::atomic::{AtomicU64, Ordering};

use pageblock::{Migrate, MigrateError, Move};

use super::address_space::Slot;
use super::entry::{Entry, EntryState};
use super::frame::{copy, words};
use super::owner::OwnerWord;

static MIGRATED: AtomicU64 = AtomicU64::new(0);

/// Migrates the pages of all address spaces.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MigrateSpaces;

impl Migrate for MigrateSpaces {
    fn migrate(&self, page: Move) -> Result<(), MigrateError> {
        let owner = match page.owner {
            0 => return Err(MigrateError::Busy), // not said yet
            word => OwnerWord::decode(word).ok_or(MigrateError::Pinned)?,
        };
        Slot::with_owner(owner, |slot, tables| {
            let first = owner.page;
            let head = tables.entry(first).ok_or(MigrateError::Gone)?;
            let before = Entry::from_raw(head.load(Ordering::Acquire));
            if before.state() != EntryState::Mapped
                || before.pfn() != page.from
                || before.order() != page.order
            {
                return Err(MigrateError::Gone);
            }
            let entries = || first.block(page.order).filter_map(|part| tables.entry(part));
            for entry in entries() {
                entry.fetch_and(!Entry::PRESENT, Ordering::SeqCst);
            }
            slot.flush(first, page.order);
            for (entry, target) in entries().zip(page.order.block(page.to).iter()) {
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

/// Pages migrated since boot.
pub(crate) fn pages_migrated() -> u64 {
    MIGRATED.load(Ordering::Relaxed)
}
