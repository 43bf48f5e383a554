//! What came of the rounds: the numbers, and what did not hold.
//!
//! Neighbours: [`driver`](super::driver) fills it in, [`audit_log`] has the audits.

use core::fmt;

use heapless::{String, Vec};
use pageblock_protocol::{Line, Text, Verdict, stat};

use super::driver::Driver;
use crate::memory::allocator;
use crate::report;
use crate::scenarios::latency::Latency;
use crate::scenarios::{audit_log, load};
use crate::space::{self, contents, pages};

/// What came of the rounds.
pub(super) struct Outcome {
    pub(super) rounds: u32,
    /// Rounds in which less than half of memory was offline.
    pub(super) short_rounds: u32,
    pub(super) offlined: u32,
    pub(super) onlined: u32,
    pub(super) pages_moved: usize,
    pub(super) failures: u32,
    pub(super) retries: u32,
    pub(super) latency: Latency,
    pub(super) least_managed: usize,
    pub(super) least_min_mark: usize,
    /// Times that the watermarks were other ones after a block had gone or come.
    pub(super) recalculations: u32,
    /// What did not hold.
    pub(super) violations: Vec<String<200>, 4>,
}

impl Outcome {
    pub(super) fn new() -> Self {
        Self {
            rounds: 0,
            short_rounds: 0,
            offlined: 0,
            onlined: 0,
            pages_moved: 0,
            failures: 0,
            retries: 0,
            latency: Latency::new(),
            least_managed: allocator().managed_count(),
            least_min_mark: min_mark(),
            recalculations: 0,
            violations: Vec::new(),
        }
    }
}

/// The min watermarks of all zones together.
pub(super) fn min_mark() -> usize {
    allocator().zoneinfo().zones.iter().map(|zone| zone.watermarks.min).sum()
}

/// What is to be the same before and after.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Balance {
    pub(super) free: usize,
    pub(super) managed: usize,
    min_mark: usize,
}

impl fmt::Display for Balance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { free, managed, min_mark } = self;
        write!(f, "{free} pages free, {managed} managed, {min_mark} at the min watermark")
    }
}

impl Balance {
    pub(super) fn now() -> Self {
        let allocator = allocator();
        Self { free: allocator.free_count(), managed: allocator.managed_count(), min_mark: min_mark() }
    }
}

/// Says the numbers.
pub(super) fn report_numbers(driver: &Driver, before: Balance, removable: usize, wanted: usize) {
    let (outcome, audits, after) = (&driver.outcome, audit_log::summary(), Balance::now());
    for (key, value) in [
        (stat::MISSED_PAGES, audits.missed_pages),
        (stat::MAX_ABS_DRIFT_PAGES, audits.max_abs_drift),
        (stat::AUDITS, audits.audits),
        (stat::ROUNDS, outcome.rounds.into()),
        (stat::SHORT_ROUNDS, outcome.short_rounds.into()),
        (stat::BLOCKS, driver.blocks.iter().count() as u64),
        (stat::BLOCKS_REMOVABLE, removable as u64),
        (stat::BLOCKS_PER_ROUND, wanted as u64),
        (stat::BLOCKS_OFFLINED, outcome.offlined.into()),
        (stat::BLOCKS_ONLINED, outcome.onlined.into()),
        (stat::FAILURES, outcome.failures.into()),
        (stat::RETRIES, outcome.retries.into()),
        (stat::CALLBACKS, driver.notifier.calls()),
        (stat::VETOES, driver.notifier.vetoes()),
        (stat::PAGES_MIGRATED, space::pages_migrated()),
        (stat::CONTENTS_CHECKED, contents::checked()),
        (stat::CONTENTS_CORRUPTED, contents::corrupted()),
        (stat::ALLOCATIONS, pages::allocations()),
        (stat::LATENCY_US_MIN, outcome.latency.min()),
        (stat::LATENCY_US_P50, outcome.latency.percentile(50)),
        (stat::LATENCY_US_P99, outcome.latency.percentile(99)),
        (stat::LATENCY_US_MAX, outcome.latency.max()),
        (stat::MANAGED_PAGES_BEFORE, before.managed as u64),
        (stat::MANAGED_PAGES_LEAST, outcome.least_managed as u64),
        (stat::MANAGED_PAGES_AFTER, after.managed as u64),
        (stat::MIN_WATERMARK_BEFORE, before.min_mark as u64),
        (stat::MIN_WATERMARK_LEAST, outcome.least_min_mark as u64),
        (stat::MIN_WATERMARK_AFTER, after.min_mark as u64),
        (stat::WATERMARKS_RECALCULATED, outcome.recalculations.into()),
    ] {
        report::line(Line::Stat { key, value: value.cast_signed() });
    }
}

/// Says what did not hold. Drift has been reported by the audit that found it.
pub(super) fn judge(driver: &Driver, before: Balance) -> Verdict {
    let mut verdict = Verdict::Held;
    let mut broken = |text: fmt::Arguments<'_>| {
        report::line(Line::Broken(Text::new(text)));
        verdict = Verdict::Broken;
    };
    let (outcome, after) = (&driver.outcome, Balance::now());
    load::judge(&mut broken);
    if after != before {
        broken(format_args!("{before} before, {after} after"));
    }
    if outcome.offlined != outcome.onlined {
        broken(format_args!("{} blocks offlined, {} onlined", outcome.offlined, outcome.onlined));
    }
    if driver.notifier.vetoes() != 2 {
        broken(format_args!("{} vetoes, and not one each way", driver.notifier.vetoes()));
    }
    for violation in &outcome.violations {
        broken(format_args!("{violation}"));
    }
    if outcome.short_rounds > 0 {
        let text = format_args!("in {} rounds less than half of memory went offline", outcome.short_rounds);
        report::line(Line::Note(Text::new(text)));
    }
    verdict
}
