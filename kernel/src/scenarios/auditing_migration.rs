//! Migration with audits between its steps, while the range is isolated and partly moved.

use core::cell::Cell;
use core::sync::atomic::{AtomicU64, Ordering};

use pageblock::{Migrate, MigrateError, Move};
use pageblock_protocol::{Latency, Sample};

use crate::report::samples;
use crate::scenarios::audit_log;
use crate::space::Migration;
use crate::time;

/// One in this many migrations is followed by an audit.
const AUDIT_EVERY: u64 = 128;

/// The kernel's [`Migration`], with audits between the phases and after some of the pages.
pub(super) struct AuditingMigration {
    migration: Migration,
    began_us: u64,
    /// The first call, which comes when the range is isolated and drained; 0 before it.
    isolated_us: Cell<u64>,
    /// The end of the last call.
    last_us: Cell<u64>,
    /// The duration of all audits.
    audits_us: Cell<u64>,
}

impl AuditingMigration {
    /// Begins the migration of one range. It is to be dropped as soon as the range is allocated,
    /// because jobs may be waiting for pages that did not have to move.
    pub(super) fn new() -> Self {
        let now = time::now_us();
        Self {
            migration: Migration::new(),
            began_us: now,
            isolated_us: Cell::new(0),
            last_us: Cell::new(now),
            audits_us: Cell::new(0),
        }
    }

    /// Sends a sample of an operation that lasted from `since_us` to `ended_us`. Its parts are
    /// those of its last try, which had this migration.
    pub(super) fn send_latency(&self, series: &str, since_us: u64, ended_us: u64) {
        let isolated = self.isolated_us.get().max(self.began_us);
        let audits = self.audits_us.get();
        let latency = Latency {
            whole: ended_us - since_us,
            isolate: isolated - self.began_us,
            migrate: self.last_us.get().saturating_sub(isolated + audits),
            audits,
            test: ended_us.saturating_sub(self.last_us.get()),
        };
        samples::send(series, Sample::Latency(latency));
    }

    fn audit(&self) {
        let since = time::now_us();
        audit_log::audit();
        self.audits_us.set(self.audits_us.get() + time::now_us().saturating_sub(since));
    }

    fn note_isolated(&self) {
        if self.isolated_us.get() == 0 {
            self.isolated_us.set(time::now_us());
        }
    }
}

impl Migrate for AuditingMigration {
    fn migrate(&self, page: Move) -> Result<(), MigrateError> {
        static CALLS: AtomicU64 = AtomicU64::new(0);
        self.note_isolated();
        let outcome = self.migration.migrate(page);
        if CALLS.fetch_add(1, Ordering::Relaxed).is_multiple_of(AUDIT_EVERY) {
            self.audit();
        }
        self.last_us.set(time::now_us());
        outcome
    }

    fn yield_now(&self) {
        self.note_isolated();
        self.audit();
        self.last_us.set(time::now_us());
    }
}
