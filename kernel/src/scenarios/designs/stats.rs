//! The measurements of one accounting design: the drift of its counters, and its speed.

use core::cell::Cell;

use pageblock::{AuditReport, Geometry, Migrate, MigrateError, Move, X86_64};

use crate::memory::allocator;
use crate::report::samples;
use crate::scenarios::audit_log;
use crate::scenarios::latency::Latency;
use crate::space::Migration;
use crate::sync::Lock;
use crate::time;

/// The pages that are isolated at a time: one block of the largest order.
pub(super) const UNIT: usize = X86_64::MAX_ORDER.pages();

/// One in this many migrations is followed by an audit.
const AUDIT_EVERY: u64 = 64;

/// The measurements of one design, of all its turns.
#[derive(Debug)]
pub(super) struct Stats {
    /// The name of the design.
    design: &'static str,
    /// The most pages by which the free count was too high.
    pub(super) over: usize,
    /// The most pages by which the free count was too low.
    pub(super) under: usize,
    /// The largest drift of the free count with nothing isolated.
    pub(super) final_drift: usize,
    /// The largest drift of any other count, or number of misplaced pages; always 0.
    pub(super) other_drift: usize,
    pub(super) audits: u64,
    /// Units allocated.
    pub(super) units: u64,
    /// Units that could not be allocated.
    pub(super) failed: u64,
    /// The time to isolate a unit, without migration.
    pub(super) isolation: Latency,
    /// Allocations of all jobs during the turns.
    pub(super) allocations: u64,
    /// The duration of the turns.
    pub(super) time_us: u64,
}

/// The measurements of one design, which any CPU may update.
pub(super) type SharedStats = Lock<Stats>;

impl Stats {
    pub(super) const fn new(design: &'static str) -> Self {
        Self {
            design,
            over: 0,
            under: 0,
            final_drift: 0,
            other_drift: 0,
            audits: 0,
            units: 0,
            failed: 0,
            isolation: Latency::new(),
            allocations: 0,
            time_us: 0,
        }
    }

    pub(super) fn allocations_per_second(&self) -> u64 {
        self.allocations * 1_000_000 / self.time_us.max(1)
    }

    /// Makes an audit and returns the drift of the free count.
    pub(super) fn audit(&mut self) -> usize {
        let found = allocator().audit();
        let drift = found.free_drift();
        samples::send(self.design, audit_log::counts(&found));
        self.audits += 1;
        self.over = self.over.max(drift.max(0).unsigned_abs());
        self.under = self.under.max(drift.min(0).unsigned_abs());
        self.other_drift = self.other_drift.max(other_drift(&found));
        drift.unsigned_abs()
    }
}

/// The drift of the other counters and the misplaced pages, of all zones.
fn other_drift(found: &AuditReport) -> usize {
    let zones = found.zones.iter();
    zones
        .map(|zone| {
            let others =
                zone.drifts().filter(|(name, _)| *name != "free").map(|(_, drift)| drift.unsigned_abs());
            others.max().unwrap_or(0) + zone.misplaced + zone.damaged_lists
        })
        .sum()
}

/// The kernel's [`Migration`], with audits between the steps of one contiguous allocation.
pub(super) struct MeasuringMigration {
    migration: Migration,
    stats: &'static SharedStats,
    since_us: u64,
    isolated: Cell<bool>,
    migrated: Cell<u64>,
}

impl MeasuringMigration {
    /// Begins the migration of one unit, and the measurement of the time to isolate it.
    pub(super) fn new(stats: &'static SharedStats) -> Self {
        Self {
            migration: Migration::new(),
            stats,
            since_us: time::now_us(),
            isolated: Cell::new(false),
            migrated: Cell::new(0),
        }
    }
}

impl Migrate for MeasuringMigration {
    fn migrate(&self, page: Move) -> Result<(), MigrateError> {
        let outcome = self.migration.migrate(page);
        self.migrated.set(self.migrated.get() + 1);
        if self.migrated.get().is_multiple_of(AUDIT_EVERY) {
            self.stats.lock().audit();
        }
        outcome
    }

    fn yield_now(&self) {
        let mut stats = self.stats.lock();
        // Only for the first range that is tried: for others the time includes retries.
        if !self.isolated.replace(true) {
            stats.isolation.record(time::now_us() - self.since_us);
        }
        stats.audit();
    }
}
