//! The main experiment without and with a historical accounting mistake.
//!
//! One boot shows one mistake, which is switched on for the second half of the run. Beside the jobs
//! and the contiguous allocations, one task isolates ranges and undoes the isolation, and another
//! one frees and allocates in these ranges. The race windows are stretched in both halves, so that
//! the mistake is the only difference between them. A row of the report says what the audits found.
//!
//! | file | what |
//! |---|---|
//! | `race` | forces two CPUs into a race window |
//! | `experiment` | the contiguous allocations, and the two halves |
//! | `race_tasks` | the task that isolates, and the task that frees and allocates |
//!
//! The kernel does not crash with a mistake on, because nothing here relies on a wrong counter.

mod experiment;
mod race;
mod race_tasks;

use pageblock::{Faults, Order, Tuning};
use pageblock_protocol::{BootConfig, Value, Verdict, stat};

use crate::jobs::Plan;
use crate::jobs::executor::TaskRef;
use crate::memory::{self, allocator};
use crate::scenarios::audit_log;
use crate::scenarios::faults::experiment::{Experiment, Half};
use crate::scenarios::faults::race_tasks::{AllocationTask, IsolationTask};
use crate::scenarios::frames::pages_in;
use crate::scenarios::load::{self, Audits};
use crate::scenarios::verdict::{Judge, Refused, refuse};
use crate::space::{self, contents, pages};
use crate::sync::Lock;
use crate::{report, smp, time};

/// A mistake, which gets a row in the table of the report.
struct Mistake {
    /// Its name on the command line.
    name: &'static str,
    /// The patch of the 2014 discussion that corrects it, or the year or version of a later one.
    patch: &'static str,
    /// Guard pages are used below this order, by the mistakes that concern guards.
    guard_below: Order,
}

impl Mistake {
    const fn new(name: &'static str, patch: &'static str) -> Self {
        Self { name, patch, guard_below: Order::ZERO }
    }

    const fn about_guards(name: &'static str, patch: &'static str) -> Self {
        Self { name, patch, guard_below: Order::new(2) }
    }
}

const MISTAKES: [Mistake; 10] = [
    Mistake::about_guards("unpatched", "2,3,4,5,9,10"),
    Mistake::about_guards("guard-counted", "2"),
    Mistake::new("cached-type-at-spill", "3"),
    Mistake::new("stale-isolated", "4"),
    Mistake::new("stale-normal", "5"),
    Mistake::new("moved-means-found", "9"),
    Mistake::new("merge-across", "10"),
    Mistake::new("freed-block-only", "v3.18"),
    Mistake::new("first-block-only", "2018,2022"),
    Mistake::about_guards("guard-not-counted", "v6.10"),
];

fn mistake(config: &BootConfig<'_>) -> Option<&'static Mistake> {
    MISTAKES.iter().find(|mistake| config.fault == Some(mistake.name))
}

/// The tuning of the allocator for the mistake that `config` names.
pub(super) fn tuning(config: &BootConfig<'_>) -> Tuning {
    let guard_below = mistake(config).map_or(Order::ZERO, |mistake| mistake.guard_below);
    Tuning::default().guard_below(guard_below)
}

static EXPERIMENT: Lock<Option<Experiment>> = Lock::new(None);
static ISOLATION_TASK: Lock<Option<IsolationTask>> = Lock::new(None);
static ALLOCATION_TASK: Lock<AllocationTask> = Lock::new(AllocationTask::new());

/// Runs both halves and reports a row.
pub(super) fn run(config: &BootConfig<'_>) -> Result<Verdict, Refused> {
    let (Some(mistake), Some(faults)) = (mistake(config), config.fault.and_then(Faults::by_name)) else {
        let name = config.fault.unwrap_or("");
        return Err(refuse(format_args!("fault={name}: no such row in the table of faults")));
    };
    let Some(area) = memory::cma() else {
        return Err(refuse(format_args!("cma={}: there is no CMA area", config.cma_mib)));
    };
    let chunk_pages = pages_in(config.chunk_mib);
    if chunk_pages == 0 || chunk_pages > area.range().len() / 2 {
        return Err(refuse(format_args!("chunk={}: the CMA area must hold two", config.chunk_mib)));
    }
    if smp::cpu_count() < 2 {
        return Err(refuse(format_args!("cpus=1: the races need two CPUs")));
    }
    let jobs = load::jobs(config)?;
    // `dispatch` has switched the mistake on; the first half runs without it.
    allocator().set_faults(Faults::empty());
    let started = time::now_us();
    contents::set_seed(config.seed);
    audit_log::reset();
    allocator().drain_all();
    let plan = Plan::new(config.seed, jobs, allocator().free_count(), chunk_pages);
    *EXPERIMENT.lock() = Some(Experiment::new(config, faults, area, chunk_pages));
    *ISOLATION_TASK.lock() = Some(IsolationTask::new(config.seed, area.range()));
    race::install();
    load::run(jobs, plan, Audits::WithMistakes, [&EXPERIMENT as TaskRef, &ISOLATION_TASK, &ALLOCATION_TASK]);

    let Some(experiment) = EXPERIMENT.lock().take() else {
        unreachable!("it was stored above");
    };
    report_notes(mistake);
    report_results(mistake, &experiment.without_fault, &experiment.with_fault);
    report::stats([(stat::WALL_MS, (time::now_us() - started) / 1000)]);
    Ok(judge(mistake.name, &experiment.without_fault, &experiment.with_fault))
}

/// Reports notes that explain the row, with the same text for every row that they apply to.
fn report_notes(mistake: &Mistake) {
    report::note(format_args!(
        "drift: the free counter less the free pages, when it was furthest off; + is the dangerous sign"
    ));
    report::note(format_args!("{}", race::StretchedNote));
    let below = mistake.guard_below;
    if below > Order::ZERO {
        report::note(format_args!(
            "for the faults about guards, and for all together, guards are kept below {below}"
        ));
    }
}

fn report_results(mistake: &Mistake, without: &Half, with: &Half) {
    report::stats([
        (stat::PAGES_MIGRATED, space::pages_migrated()),
        (stat::ALLOCATIONS, pages::allocations()),
        (stat::AUDITS, without.log.audits + with.log.audits),
        (stat::CONTENTS_CHECKED, without.contents_checked),
        (stat::CONTENTS_CORRUPTED, without.contents_corrupted),
    ]);
    let detected = !with.log.is_clean();
    report::row(
        mistake.name,
        [
            ("seed_patch", Value::Word(mistake.patch)),
            ("missed_pages", Value::Integer(with.log.missed_pages.cast_signed())),
            ("drift_pages", Value::Integer(with.log.extreme_free_drift as i64)),
            ("detected", Value::Word(if detected { "true" } else { "false" })),
            ("fixed_missed_pages", Value::Integer(without.log.missed_pages.cast_signed())),
        ],
    );
}

/// Reports if the fault was not detected, and what did not hold without it.
fn judge(name: &str, without: &Half, with: &Half) -> Verdict {
    let mut judge = Judge::new();
    if with.log.is_clean() {
        judge.broken(format_args!("{name}: {} audits found no drift with the fault", with.log.audits));
    }
    if !without.log.is_clean() {
        let missed = without.log.missed_pages;
        judge.broken(format_args!("{name}: {missed} pages missed without the fault"));
    }
    if without.failed > 0 {
        let failed = without.failed;
        judge.broken(format_args!("{name}: {failed} contiguous allocations failed without the fault"));
    }
    if with.failed > 0 {
        report::note(format_args!("{name}: {} contiguous allocations failed with the fault", with.failed));
    }
    judge.verdict()
}
