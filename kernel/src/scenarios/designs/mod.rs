//! The main experiment under other accounting designs: their drift during isolation, and their
//! cost.
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
use pageblock_protocol::{BootConfig, Line, Text, Value, Verdict, stat};

use crate::jobs::executor::{self, TaskRef};
use crate::jobs::{Job, MAX_JOBS, Plan, interrupts, page_cache};
use crate::memory::{self, allocator};
use crate::scenarios::designs::driver::{Driver, STATS};
use crate::scenarios::designs::selection::{DESIGNS, choose};
use crate::scenarios::designs::stats::{SharedStats, Stats, UNIT};
use crate::scenarios::designs::worst_case::WorstCase;
use crate::scenarios::load;
use crate::scenarios::refusal::{Refused, refuse};
use crate::space::{self, contents, pages};
use crate::sync::Lock;
use crate::{report, time};

static JOBS: [Lock<Option<Job>>; MAX_JOBS] = [const { Lock::new(None) }; MAX_JOBS];
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
    for (number, job) in JOBS.iter().take(jobs).enumerate() {
        *job.lock() = Some(Job::new(number, plan));
    }
    *DRIVER.lock() = Some(Driver::new(config, area));
    Job::start_all();
    interrupts::start();
    let tasks = JOBS.iter().take(jobs).map(|job| job as TaskRef);
    executor::run(tasks.chain([&DRIVER as TaskRef]));
    interrupts::stop();

    while page_cache::shrink(usize::MAX) > 0 {}
    allocator().drain_all();
    *DRIVER.lock() = None;
    report_numbers(&worst_cases, (time::now_us() - started) / 1000);
    Ok(judge(&worst_cases, free_before))
}

/// The drift that each design allows, in pages for each isolated unit. The discussion calls that of
/// X and M "negligible".
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
    report::line(Line::Note(Text::new(format_args!(
        "overcount and undercount: the worst seen while jobs ran, with one isolator of {UNIT} pages at a \
         time; the bound is what a design claims for each isolator",
    ))));
    report::line(Line::Note(Text::from(
        "worst case: owners free every page of a unit while it is isolated, by one and by two isolators \
         at once",
    )));
    let reference = STATS[0].lock().allocations_per_second();
    for (design, stats, worst) in results(worst_cases) {
        report::line(Line::Row(design.name()));
        let rate = stats.allocations_per_second();
        let integer = |value: usize| Value::Integer(value as i64);
        for (key, value) in [
            ("max_overcount_pages", integer(stats.over)),
            ("max_undercount_pages", integer(stats.under)),
            ("bound_pages", integer(claimed_bound(design))),
            ("final_drift_pages", integer(stats.final_drift)),
            ("worst_case_pages", integer(worst.one)),
            ("worst_case_of_two_pages", integer(worst.two)),
            ("isolate_us_p50", Value::Integer(stats.isolation.percentile(50).cast_signed())),
            ("relative_throughput", Value::Thousandths((rate * 1000 / reference.max(1)).cast_signed())),
        ] {
            report::line(Line::Cell { key, value });
        }
    }
    let sum = |of: fn(&Stats) -> u64| STATS.iter().map(|stats| of(&stats.lock())).sum();
    for (key, value) in [
        (stat::SUCCEEDED, sum(|stats| stats.units)),
        (stat::FAILED, sum(|stats| stats.failed)),
        (stat::AUDITS, sum(|stats| stats.audits)),
        (stat::PAGES_MIGRATED, space::pages_migrated()),
        (stat::CONTENTS_CHECKED, contents::checked()),
        (stat::CONTENTS_CORRUPTED, contents::corrupted()),
        (stat::ALLOCATIONS, pages::allocations()),
        (stat::WALL_MS, wall_ms),
    ] {
        report::line(Line::Stat { key, value: value.cast_signed() });
    }
}

/// Reports the designs that exceeded their bounds, and what else did not hold.
fn judge(worst_cases: &[WorstCase; DESIGNS], free_before: usize) -> Verdict {
    let mut verdict = Verdict::Held;
    let mut broken = |text: core::fmt::Arguments<'_>| {
        report::line(Line::Broken(Text::new(text)));
        verdict = Verdict::Broken;
    };
    for (design, stats, worst) in results(worst_cases) {
        let bound = claimed_bound(design);
        if stats.units == 0 {
            broken(format_args!("{design}: no unit was taken"));
        }
        if stats.over > bound || stats.under > bound || worst.one > bound || worst.two > 2 * bound {
            broken(format_args!(
                "{design}: wrong by more than the {bound} pages for each isolator it claims"
            ));
        }
        if stats.final_drift != 0 || worst.afterwards != 0 {
            let drift = stats.final_drift.max(worst.afterwards);
            broken(format_args!("{design}: a count is wrong by {drift} pages with nothing isolated"));
        }
        if stats.other_drift != 0 {
            broken(format_args!("{design}: {} pages of drift of other counters", stats.other_drift));
        }
    }
    if contents::corrupted() != 0 {
        broken(format_args!("{} pages with wrong contents", contents::corrupted()));
    }
    if let Err(violation) = allocator().verify() {
        broken(format_args!("verify: {violation}"));
    }
    let free_after = allocator().free_count();
    if free_after != free_before {
        broken(format_args!("{free_before} pages were free before, {free_after} are free after"));
    }
    verdict
}
