//! The same experiment under other accounting designs: how wrong each is while a range is isolated, and what it costs.
//!
//! Jobs run all the time; one CPU takes contiguous units out of the CMA area, in turns, each under another design. A unit
//! is one aligned block of the largest order: what the discussion isolates at a time, so that a remembered count can be wrong
//! by no more than that. Before the jobs start, every design is given its [`worst_case`]. This file sets the run up
//! and judges it. Neighbours: [`driver`] takes the units, [`tally`] keeps the score.

mod driver;
mod tally;
mod worst_case;

use core::ops::Deref;

use pageblock::{CmaArea, Design};
use pageblock_protocol::{BootConfig, Line, Text, Value, Verdict, stat};

use self::driver::{Driver, SCORES};
use self::tally::{Score, Tally};
use self::worst_case::WorstCase;
use super::{Refused, refuse};
use crate::jobs::executor::{self, TaskRef};
use crate::jobs::{Job, MAX_JOBS, Plan, file_cache, interrupts};
use crate::memory::{self, allocator};
use crate::space::lock::Lock;
use crate::space::{self, contents, pages};
use crate::{report, time};

/// How many designs there are.
const DESIGNS: usize = Design::ALL.len();

static JOBS: [Lock<Option<Job>>; MAX_JOBS] = [const { Lock::new(None) }; MAX_JOBS];
static DRIVER: Lock<Option<Driver>> = Lock::new(None);

/// Runs the experiment.
pub(crate) fn run(config: &BootConfig<'_>) -> Result<Verdict, Refused> {
    let area = check(config)?;
    let started = time::now_us();
    contents::set_seed(config.seed);
    allocator().drain_all();
    let free_before = allocator().free_count();
    let worst_cases = Design::ALL.map(|design| {
        choose(design);
        WorstCase::measure()
    });
    choose(Design::Default);

    let jobs = config.jobs as usize;
    let plan = Plan::new(config.seed, jobs, free_before, tally::UNIT);
    for (number, job) in JOBS.iter().take(jobs).enumerate() {
        *job.lock() = Some(Job::new(number, plan));
    }
    *DRIVER.lock() = Some(Driver::new(config, area));
    Job::start_all();
    interrupts::start();
    let tasks = JOBS.iter().take(jobs).map(|job| job as TaskRef);
    executor::run(tasks.chain([&DRIVER as TaskRef]));
    interrupts::stop();

    while file_cache::shrink(usize::MAX) > 0 {}
    allocator().drain_all();
    *DRIVER.lock() = None;
    report_numbers(&worst_cases, (time::now_us() - started) / 1000);
    Ok(judge(&worst_cases, free_before))
}

/// Accounts by this design from now on.
fn choose(design: Design) {
    if let Err(error) = allocator().set_design(design) {
        panic!("{design}: {error}");
    }
}

/// By how many pages each design says that a count can be wrong for each isolator. Of X and M the discussion says "negligible".
const fn claimed_bound(design: Design) -> usize {
    match design {
        Design::Default | Design::Parked => 0,
        Design::RememberedX | Design::RememberedXAndM => tally::UNIT,
    }
}

fn check(config: &BootConfig<'_>) -> Result<&'static CmaArea<'static>, Refused> {
    let jobs = config.jobs as usize;
    if jobs == 0 || jobs > MAX_JOBS {
        return Err(refuse(format_args!("jobs={jobs}: from 1 to {MAX_JOBS} can run")));
    }
    let area = memory::cma().filter(|area| area.range().len() >= 4 * tally::UNIT);
    area.ok_or_else(|| refuse(format_args!("cma={}: the designs need 16 MiB or more", config.cma_mib)))
}

/// Each design with its score and its worst case.
fn results(
    worst_cases: &[WorstCase; DESIGNS],
) -> impl Iterator<Item = (Design, impl Deref<Target = Tally>, &WorstCase)> {
    let scores = SCORES.iter().map(Score::lock);
    Design::ALL
        .into_iter()
        .zip(scores)
        .zip(worst_cases)
        .map(|((design, tally), worst)| (design, tally, worst))
}

fn report_numbers(worst_cases: &[WorstCase; DESIGNS], wall_ms: u64) {
    report::line(Line::Note(Text::new(format_args!(
        "overcount and undercount: the worst seen while jobs ran, with one isolator of {} pages at a time; the bound is what a design claims for each isolator",
        tally::UNIT
    ))));
    report::line(Line::Note(Text::new(format_args!(
        "worst case: owners free every page of a unit while it is isolated, by one and by two isolators at once"
    ))));
    let reference = SCORES[0].lock().allocations_per_second();
    for (design, tally, worst) in results(worst_cases) {
        report::line(Line::Row(design.name()));
        let rate = tally.allocations_per_second();
        let integer = |value: usize| Value::Integer(value as i64);
        for (key, value) in [
            ("max_overcount_pages", integer(tally.over)),
            ("max_undercount_pages", integer(tally.under)),
            ("bound_pages", integer(claimed_bound(design))),
            ("final_drift_pages", integer(tally.final_drift)),
            ("worst_case_pages", integer(worst.one)),
            ("worst_case_of_two_pages", integer(worst.two)),
            ("isolate_us_p50", Value::Integer(tally.isolation.percentile(50).cast_signed())),
            ("relative_throughput", Value::Thousandths((rate * 1000 / reference.max(1)).cast_signed())),
        ] {
            report::line(Line::Cell { key, value });
        }
    }
    let sum = |of: fn(&Tally) -> u64| SCORES.iter().map(|score| of(&score.lock())).sum();
    for (key, value) in [
        (stat::SUCCEEDED, sum(|tally| tally.units)),
        (stat::FAILED, sum(|tally| tally.failed)),
        (stat::AUDITS, sum(|tally| tally.audits)),
        (stat::PAGES_MIGRATED, space::pages_migrated()),
        (stat::CONTENTS_CHECKED, contents::checked()),
        (stat::CONTENTS_CORRUPTED, contents::corrupted()),
        (stat::ALLOCATIONS, pages::allocations()),
        (stat::WALL_MS, wall_ms),
    ] {
        report::line(Line::Stat { key, value: value.cast_signed() });
    }
}

/// Says which design did not keep its promise, and what else did not hold.
fn judge(worst_cases: &[WorstCase; DESIGNS], free_before: usize) -> Verdict {
    let mut verdict = Verdict::Held;
    let mut broken = |text: core::fmt::Arguments<'_>| {
        report::line(Line::Broken(Text::new(text)));
        verdict = Verdict::Broken;
    };
    for (design, tally, worst) in results(worst_cases) {
        let bound = claimed_bound(design);
        if tally.units == 0 {
            broken(format_args!("{design}: no unit was taken"));
        }
        if tally.over > bound || tally.under > bound || worst.one > bound || worst.two > 2 * bound {
            broken(format_args!(
                "{design}: wrong by more than the {bound} pages for each isolator it claims"
            ));
        }
        if tally.final_drift != 0 || worst.afterwards != 0 {
            let drift = tally.final_drift.max(worst.afterwards);
            broken(format_args!("{design}: a count is wrong by {drift} pages with nothing isolated"));
        }
        if tally.other_drift != 0 {
            broken(format_args!("{design}: {} pages of drift of other counters", tally.other_drift));
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
