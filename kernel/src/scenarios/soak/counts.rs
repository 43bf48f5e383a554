//! The operations of each kind, which are added up.

use core::sync::atomic::{AtomicU64, Ordering};

use pageblock_protocol::stat;

use crate::report::{self, events};
use crate::scenarios::audit_log;
use crate::space::pages;

/// The operations of one kind.
pub(super) struct Count(AtomicU64);

impl Count {
    const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    pub(super) fn add(&self, operations: u64) {
        self.0.fetch_add(operations, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Blocks that were allocated and freed in bulk or in parts, beside those of [`pages`].
pub(super) static BLOCKS: Count = Count::new();
/// Ranges allocated and freed.
pub(super) static RANGES: Count = Count::new();
/// Ranges of the CMA area allocated and freed.
pub(super) static CMA: Count = Count::new();
/// Ranges taken offline and online, removed and added.
pub(super) static HOTPLUG: Count = Count::new();
/// Ranges isolated and released.
pub(super) static ISOLATION: Count = Count::new();
/// Frames retired.
pub(super) static RETIRED: Count = Count::new();
/// Drains of all pcplists.
pub(super) static DRAINS: Count = Count::new();
/// Frees that had to be refused and were.
pub(super) static REFUSED_FREES: Count = Count::new();
/// Verifications of all records.
pub(super) static VERIFICATIONS: Count = Count::new();

/// Blocks allocated and freed, whoever did it.
fn blocks() -> u64 {
    pages::allocations() + pages::frees() + BLOCKS.get()
}

/// Operations of all kinds.
pub(super) fn operations() -> u64 {
    let others = [&RANGES, &CMA, &HOTPLUG, &ISOLATION, &RETIRED, &DRAINS, &REFUSED_FREES];
    blocks() + others.map(Count::get).iter().sum::<u64>()
}

/// Reports all counts after that many rounds.
pub(super) fn report(rounds: u64) {
    let audits = audit_log::summary();
    report::stats([
        (stat::OPERATIONS, operations()),
        (stat::AUDITS, audits.audits),
        (stat::MISSED_PAGES, audits.missed_pages),
        (stat::MAX_ABS_DRIFT_PAGES, audits.max_abs_drift),
        (stat::EVENTS, events::count()),
        (stat::ROUNDS, rounds),
        (stat::VERIFICATIONS, VERIFICATIONS.get()),
        (stat::OPERATIONS_BLOCKS, blocks()),
        (stat::OPERATIONS_RANGES, RANGES.get()),
        (stat::OPERATIONS_CMA, CMA.get()),
        (stat::OPERATIONS_HOTPLUG, HOTPLUG.get()),
        (stat::OPERATIONS_ISOLATION, ISOLATION.get()),
        (stat::OPERATIONS_RETIRED, RETIRED.get()),
        (stat::OPERATIONS_DRAINS, DRAINS.get()),
        (stat::REFUSED_FREES, REFUSED_FREES.get()),
    ]);
}
