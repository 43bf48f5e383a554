//! The score of one accounting design: how far its counts were off, and how fast it was.

use core::cell::Cell;

use pageblock::{AuditReport, Geometry, Migrate, MigrateError, Move, X86_64};

use crate::memory::allocator;
use crate::scenarios::latency::Latency;
use crate::space::Migration;
use crate::space::lock::Lock;
use crate::time;

/// Pages that are isolated at a time.
pub(super) const UNIT: usize = X86_64::MAX_ORDER.pages();

/// One in so many migrations is followed by an audit.
const AUDIT_EVERY: u64 = 64;

/// What one design did, all its turns together.
#[derive(Debug)]
pub(super) struct Tally {
    /// By how many pages the free count was above the truth, at the most.
    pub(super) over: usize,
    /// By how many pages it was below the truth, at the most.
    pub(super) under: usize,
    /// The largest drift of the free count with nothing isolated.
    pub(super) final_drift: usize,
    /// The largest drift of any other count at any time, or misplaced pages: 0 under every design.
    pub(super) other_drift: usize,
    pub(super) audits: u64,
    /// Contiguous allocations made, and not made.
    pub(super) units: u64,
    pub(super) failed: u64,
    /// How long it took to isolate a unit, without migrating.
    pub(super) isolation: Latency,
    /// Page allocations of all jobs, and the time that they had for them.
    pub(super) allocations: u64,
    pub(super) time_us: u64,
}

/// The score of one design, kept by whoever has something to say.
pub(super) type Score = Lock<Tally>;

impl Tally {
    pub(super) const fn new() -> Self {
        Self {
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

    /// Audits, and says by how many pages the free count is off.
    pub(super) fn audit(&mut self) -> usize {
        let found = allocator().audit();
        let drift = found.free_drift();
        self.audits += 1;
        self.over = self.over.max(drift.max(0).unsigned_abs());
        self.under = self.under.max(drift.min(0).unsigned_abs());
        self.other_drift = self.other_drift.max(other_drift(&found));
        drift.unsigned_abs()
    }
}

/// What no design may get wrong.
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

/// Migrates, and keeps the score between the steps of one contiguous allocation.
pub(super) struct Scored {
    migration: Migration,
    score: &'static Score,
    since_us: u64,
    isolated: Cell<bool>,
    migrated: Cell<u64>,
}

impl Scored {
    /// The allocation begins now.
    pub(super) fn new(score: &'static Score) -> Self {
        Self {
            migration: Migration::new(),
            score,
            since_us: time::now_us(),
            isolated: Cell::new(false),
            migrated: Cell::new(0),
        }
    }
}

impl Migrate for Scored {
    fn migrate(&self, page: Move) -> Result<(), MigrateError> {
        let outcome = self.migration.migrate(page);
        self.migrated.set(self.migrated.get() + 1);
        if self.migrated.get().is_multiple_of(AUDIT_EVERY) {
            self.score.lock().audit();
        }
        outcome
    }

    fn breathe(&self) {
        let mut tally = self.score.lock();
        // The first place that is tried is isolated now; for others the time has been running too long.
        if !self.isolated.replace(true) {
            tally.isolation.record(time::now_us() - self.since_us);
        }
        tally.audit();
    }
}
