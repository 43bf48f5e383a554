//! Migration of mapped pages: the kernel's implementation of [`pageblock::Migrate`].
//!
//! The allocator pins the frame and passes its owner word. Migration locks the owner's space. If
//! the entry still maps the frame, it becomes a migration entry, all CPUs that may have the
//! translation flush it, the page is copied, and the entry is set to the new frame. A CPU that
//! accesses the page meanwhile faults and waits. If the entry does not map the frame any more, the
//! owner has freed the page: the result is [`MigrateError::Gone`], and nothing was changed. Owner
//! and migration decide under the same lock, so exactly one of them succeeds.
//!
//! A migration entry is in no CPU's TLB once the lock is released. So one shootdown can serve many
//! pages, as in `migrate_pages_batch` of Linux v6.3: the first page that has to move turns all
//! entries of the same space in its neighbourhood into migration entries, and flushes once. Pages
//! that are not moved after all (the neighbourhood may be larger than the requested range) become
//! present again when the [`Migration`] is dropped.

use core::sync::atomic::{AtomicU64, Ordering};

use pageblock::{Migrate, MigrateError, Move, Order};

use crate::smp;
use crate::space::address_space::{MAX_SPACES, Slot};
use crate::space::entry::{Entry, EntryState};
use crate::space::frame::{copy, words};
use crate::space::owner::OwnerWord;
use crate::space::tables::{Tables, clear_present};

/// The aligned neighbourhood whose pages become migration entries with one flush: 8 MiB.
const BATCH: Order = Order::new(11);

static MIGRATED: AtomicU64 = AtomicU64::new(0);

/// Migrates the pages of all address spaces, for as long as one contiguous allocation takes.
#[derive(Debug)]
pub(crate) struct Migration {
    /// The spaces, one bit each, that may have migration entries.
    touched: [AtomicU64; MAX_SPACES.div_ceil(64)],
}

impl Migration {
    /// Begins a migration.
    pub(crate) fn new() -> Self {
        Self { touched: [const { AtomicU64::new(0) }; MAX_SPACES.div_ceil(64)] }
    }

    /// Turns the entries of a block into migration entries and flushes them. If that takes a
    /// shootdown, the rest of the neighbourhood is included.
    fn unmap(&self, owner: OwnerWord, slot: &Slot, tables: &Tables, block: &[AtomicU64], page: Move) {
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
            0 => return Err(MigrateError::Busy), // the owner is not set yet
            word => OwnerWord::decode(word).ok_or(MigrateError::Pinned)?,
        };
        Slot::with_owner(owner, |slot, tables| {
            let block = tables.block(owner.page, page.order);
            let head = block.first().ok_or(MigrateError::Gone)?;
            let before = Entry::from_raw(head.load(Ordering::Acquire));
            let same = before.pfn() == page.from && before.order() == page.order;
            match before.state() {
                EntryState::Mapped if same => self.unmap(owner, slot, tables, block, page),
                EntryState::Migrating if same => {}
                _ => return Err(MigrateError::Gone),
            }
            for (entry, target) in block.iter().zip(page.order.block(page.to).iter()) {
                let source = Entry::from_raw(entry.load(Ordering::Acquire));
                copy(words(source.pfn()), words(target));
                entry.store(source.moved_to(target).raw(), Ordering::Release);
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
                Slot::remove_migration_entries(index);
            }
        }
    }
}

/// Pages migrated since boot.
pub(crate) fn pages_migrated() -> u64 {
    MIGRATED.load(Ordering::Relaxed)
}
