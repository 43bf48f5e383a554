//! The report at the end: the results of the rounds, and what did not hold.

use pageblock_protocol::{Verdict, stat};

use crate::report;
use crate::scenarios::hotplug::driver::Driver;
use crate::scenarios::hotplug::outcome::Balance;
use crate::scenarios::verdict::Judge;
use crate::scenarios::{audit_log, load};
use crate::space::{self, contents, pages};

/// Reports the results.
pub(super) fn report_numbers(driver: &Driver, before: Balance, removable: usize, wanted: usize) {
    let (outcome, audits, after) = (&driver.outcome, audit_log::summary(), Balance::now());
    report::stats([
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
        (stat::MANAGED_PAGES_BEFORE, before.managed as u64),
        (stat::MANAGED_PAGES_LEAST, outcome.least_managed as u64),
        (stat::MANAGED_PAGES_AFTER, after.managed as u64),
        (stat::MIN_WATERMARK_BEFORE, before.min_mark as u64),
        (stat::MIN_WATERMARK_LEAST, outcome.least_min_mark as u64),
        (stat::MIN_WATERMARK_AFTER, after.min_mark as u64),
        (stat::WATERMARKS_RECALCULATED, outcome.recalculations.into()),
    ]);
    outcome.latency.report();
}

/// Reports what did not hold. The first audit that found drift has reported it already.
pub(super) fn judge(driver: &Driver, before: Balance) -> Verdict {
    let mut judge = Judge::new();
    let (outcome, after) = (&driver.outcome, Balance::now());
    load::judge(&mut judge);
    if after != before {
        judge.broken(format_args!("{before} before, {after} after"));
    }
    if outcome.offlined != outcome.onlined {
        judge.broken(format_args!("{} blocks offlined, {} onlined", outcome.offlined, outcome.onlined));
    }
    if driver.notifier.vetoes() != 2 {
        judge.broken(format_args!("{} vetoes instead of one each way", driver.notifier.vetoes()));
    }
    for violation in &outcome.violations {
        judge.broken(format_args!("{violation}"));
    }
    if outcome.short_rounds > 0 {
        let rounds = outcome.short_rounds;
        report::note(format_args!("in {rounds} rounds less than half of memory went offline"));
    }
    judge.verdict()
}
