//! Migration with audits between its steps, while the range is isolated and partly moved.

use core::sync::atomic::{AtomicU64, Ordering};

use pageblock::{Migrate, MigrateError, Move};

use crate::scenarios::audit_log;
use crate::space::Migration;

/// One in this many migrations is followed by an audit.
const AUDIT_EVERY: u64 = 128;

/// The kernel's [`Migration`], with audits between the phases and after some of the pages.
pub(super) struct AuditingMigration(Migration);

impl AuditingMigration {
    /// Begins the migration of one range. It is to be dropped as soon as the range is allocated,
    /// because jobs may be waiting for pages that did not have to move.
    pub(super) fn new() -> Self {
        Self(Migration::new())
    }
}

impl Migrate for AuditingMigration {
    fn migrate(&self, page: Move) -> Result<(), MigrateError> {
        static CALLS: AtomicU64 = AtomicU64::new(0);
        let outcome = self.0.migrate(page);
        if CALLS.fetch_add(1, Ordering::Relaxed).is_multiple_of(AUDIT_EVERY) {
            audit_log::audit();
        }
        outcome
    }

    fn yield_now(&self) {
        audit_log::audit();
    }
}
