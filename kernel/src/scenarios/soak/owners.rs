//! Migration that asks the tasks of the soak for their blocks, and the jobs for theirs.

use pageblock::{Migrate, MigrateError, Move};

use crate::scenarios::auditing_migration::AuditingMigration;
use crate::scenarios::soak::churn;

/// Migrates the pages of all owners, with audits in between.
pub(super) struct Owners(AuditingMigration);

impl Owners {
    /// Begins a migration. It is to be dropped as soon as it has ended.
    pub(super) fn new() -> Self {
        Self(AuditingMigration::new())
    }
}

impl Migrate for Owners {
    fn migrate(&self, page: Move) -> Result<(), MigrateError> {
        match churn::slot(page.owner) {
            Some(slot) => churn::migrate(slot, page),
            None => self.0.migrate(page),
        }
    }

    fn yield_now(&self) {
        self.0.yield_now();
    }
}
