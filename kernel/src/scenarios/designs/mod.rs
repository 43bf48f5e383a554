//! The main experiment under other accounting designs: their drift, and their cost.
//!
//! While jobs run, one CPU allocates contiguous units from the CMA area, in turns, each under
//! another design. A unit is one aligned block of the largest order, as much as the 2014 discussion
//! isolates at a time, so that a remembered count can be wrong by no more than that. The worst case
//! of every design is measured before the jobs start.
//!
//! | file | what |
//! |---|---|
//! | `selection` | the choice of a design |
//! | `stats` | the measurements of a design |
//! | `worst_case` | every page of an isolated unit is freed |
//! | `driver` | allocates the units |

mod driver;
mod selection;
mod stats;
mod worst_case;

use core::ops::Deref;

use pageblock::{CmaArea, Design};
use pageblock_protocol::{BootConfig, Value, Verdict, stat};

use crate::jobs::Plan;
use crate::jobs::executor::TaskRef;
use crate::memory::{self, allocator};
use crate::scenarios::designs::driver::{Driver, STATS};
use crate::scenarios::designs::selection::{DESIGNS, choose};
use crate::scenarios::designs::stats::{SharedStats, Stats, UNIT};
use crate::scenarios::designs::worst_case::WorstCase;
use crate::scenarios::load::{self, Audits};
use crate::scenarios::verdict::{Judge, Refused, refuse};
use crate::space::{self, contents, pages};
use crate::sync::Lock;
use crate::{report, time};

static DRIVER: Lock<Option<Driver>> = Lock::new(None);

/// Runs the experiment.
pub(crate) fn run(config: &BootConfig<'_>) -> Result<Verdict, Refused> {
    let (jobs, area) = (load::jobs(config)?, check(config)?);
    let started = time::now_us();
    contents::set_seed(config.seed);
    allocator().drain_all();
    let free_before = allocator().free_count();
    let worst_cases = Design::ALL.map(|design| {
        choose(design);
        WorstCase::measure()
    });
    choose(Design::Default);

    let plan = Plan::new(config.seed, jobs, free_before, UNIT);
    *DRIVER.lock() = Some(Driver::new(config, area));
    load::run(jobs, plan, Audits::None, [&DRIVER as TaskRef]);
    *DRIVER.lock() = None;
    report_numbers(&worst_cases, (time::now_us() - started) / 1000);
    Ok(judge(&worst_cases, free_before))
}

/// The drift that each design claims to stay within, in pages for each isolated unit.
const fn claimed_bound(design: Design) -> usize {
    match design {
        Design::Default | Design::Parked => 0,
        Design::RememberedX | Design::RememberedXAndM => UNIT,
    }
}

fn check(config: &BootConfig<'_>) -> Result<&'static CmaArea<'static>, Refused> {
    let area = memory::cma().filter(|area| area.range().len() >= 4 * UNIT);
    area.ok_or_else(|| refuse(format_args!("cma={}: the designs need 16 MiB or more", config.cma_mib)))
}

/// Each design with its measurements and its worst case.
fn results(
    worst_cases: &[WorstCase; DESIGNS],
) -> impl Iterator<Item = (Design, impl Deref<Target = Stats>, &WorstCase)> {
    let stats = STATS.iter().map(SharedStats::lock);
    let results = Design::ALL.into_iter().zip(stats).zip(worst_cases);
    results.map(|((design, stats), worst)| (design, stats, worst))
}

fn report_numbers(worst_cases: &[WorstCase; DESIGNS], wall_ms: u64) {
    report::note(format_args!(
        "overcount and undercount: the worst seen while jobs ran, with one isolator of {UNIT} pages at a \
         time; the bound is what a design claims for each isolator",
    ));
    report::note(format_args!(
        "worst case: owners free every page of a unit while it is isolated, by one and by two isolators \
         at once",
    ));
    let reference = STATS[0].lock().allocations_per_second();
    for (design, stats, worst) in results(worst_cases) {
        let rate = stats.allocations_per_second();
        let integer = |value: usize| Value::Integer(value as i64);
        report::row(
            design.name(),
            [
                ("max_overcount_pages", integer(stats.over)),
                ("max_undercount_pages", integer(stats.under)),
                ("bound_pages", integer(claimed_bound(design))),
                ("final_drift_pages", integer(stats.final_drift)),
                ("worst_case_pages", integer(worst.one)),
                ("worst_case_of_two_pages", integer(worst.two)),
                ("isolate_us_p50", Value::Integer(stats.isolation.percentile(50).cast_signed())),
                ("relative_throughput", Value::Thousandths((rate * 1000 / reference.max(1)).cast_signed())),
            ],
        );
    }
    let sum = |of: fn(&Stats) -> u64| STATS.iter().map(|stats| of(&stats.lock())).sum();
    report::stats([
        (stat::SUCCEEDED, sum(|stats| stats.units)),
        (stat::FAILED, sum(|stats| stats.failed)),
        (stat::AUDITS, sum(|stats| stats.audits)),
        (stat::PAGES_MIGRATED, space::pages_migrated()),
        (stat::CONTENTS_CHECKED, contents::checked()),
        (stat::CONTENTS_CORRUPTED, contents::corrupted()),
        (stat::ALLOCATIONS, pages::allocations()),
        (stat::WALL_MS, wall_ms),
    ]);
}

/// Reports the designs that exceeded their bounds, and what else did not hold.
fn judge(worst_cases: &[WorstCase; DESIGNS], free_before: usize) -> Verdict {
    let mut judge = Judge::new();
    for (design, stats, worst) in results(worst_cases) {
        let bound = claimed_bound(design);
        if stats.units == 0 {
            judge.broken(format_args!("{design}: no unit was allocated"));
        }
        if stats.over > bound || stats.under > bound || worst.one > bound || worst.two > 2 * bound {
            judge.broken(format_args!("{design}: more drift than the claimed {bound} pages per isolator"));
        }
        if stats.final_drift != 0 || worst.afterwards != 0 {
            let drift = stats.final_drift.max(worst.afterwards);
            judge.broken(format_args!("{design}: a drift of {drift} pages with nothing isolated"));
        }
        if stats.other_drift != 0 {
            judge.broken(format_args!("{design}: {} pages of drift of other counters", stats.other_drift));
        }
    }
    judge.check_memory();
    judge.check_free_count(free_before);
    judge.verdict()
}
