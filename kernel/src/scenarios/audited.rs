//! What scenarios do to frames that they take: migrate with audits in between, fill, check.
//!
//! A range that was taken is filled at once and checked before it is given back, so that a frame that
//! somebody else still uses shows. Neighbours: `space` migrates, [`audit_log`] keeps the record.

use core::sync::atomic::{AtomicU64, Ordering};

use pageblock::{Migrate, MigrateError, Move, PAGE_SIZE, Pfn};

use super::audit_log;
use crate::space::Migration;
use crate::space::contents::{Contents, Key};
use crate::space::frame::words;

/// One in so many migrations is followed by an audit, from inside the contiguous allocation.
const AUDIT_EVERY: u64 = 128;
/// The owner in the keys of what scenarios fill; neither a space nor the files have this number.
const SCENARIO: u64 = u64::MAX - 1;

/// Pages in so many MiB.
pub(super) fn pages_in(mib: u32) -> usize {
    mib as usize * ((1 << 20) / PAGE_SIZE as usize)
}

/// Migrates, and audits between the phases and now and then in the middle of one, with the range
/// isolated and half of it moved.
pub(super) struct Audited(Migration);

impl Audited {
    /// For one range. Drop it when the range is taken: jobs may wait for pages that did not have to move.
    pub(super) fn new() -> Self {
        Self(Migration::new())
    }
}

impl Migrate for Audited {
    fn migrate(&self, page: Move) -> Result<(), MigrateError> {
        static CALLS: AtomicU64 = AtomicU64::new(0);
        let outcome = self.0.migrate(page);
        if CALLS.fetch_add(1, Ordering::Relaxed).is_multiple_of(AUDIT_EVERY) {
            audit_log::audit();
        }
        outcome
    }

    fn breathe(&self) {
        audit_log::audit();
    }
}

fn key(pfn: Pfn) -> Key {
    Key::new(SCENARIO, pfn.number() as u64, 0)
}

/// Fills frames that are the scenario's.
pub(super) fn fill(frames: impl Iterator<Item = Pfn>) {
    for pfn in frames {
        key(pfn).fill(words(pfn));
    }
}

/// Checks that nobody else wrote into frames that were filled. Counted by the check itself.
pub(super) fn check(frames: impl Iterator<Item = Pfn>) {
    for pfn in frames {
        if key(pfn).check(words(pfn)) == Contents::Corrupted {
            log::error!("{pfn} changed under its owner");
        }
    }
}
