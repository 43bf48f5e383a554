//! The background load of scenarios: jobs on all CPUs, interrupts that allocate, and audits.
//!
//! The scenario adds tasks of its own, one of which ends the load with [`Job::stop_all`].
//! Afterwards [`judge`] checks the invariants of any load, and the scenario checks its own.

use core::sync::atomic::{AtomicU64, Ordering};

use pageblock_protocol::{BootConfig, stat};

use crate::jobs::executor::{self, TaskRef};
use crate::jobs::{Job, MAX_JOBS, Plan, Progress, Task, interrupts, page_cache};
use crate::memory::allocator;
use crate::scenarios::verdict::{Judge, Refused, refuse};
use crate::scenarios::{audit_log, memory_samples, screen};
use crate::space::{self, contents, pages};
use crate::sync::Lock;
use crate::{report, time};

static JOBS: [Lock<Option<LoadJob>>; MAX_JOBS] = [const { Lock::new(None) }; MAX_JOBS];

/// The configured number of jobs, if that many can run.
pub(super) fn jobs(config: &BootConfig<'_>) -> Result<usize, Refused> {
    match config.jobs as usize {
        jobs @ 1..=MAX_JOBS => Ok(jobs),
        jobs => Err(refuse(format_args!("jobs={jobs}: from 1 to {MAX_JOBS} can run"))),
    }
}

/// Runs `jobs` jobs and the scenario's own tasks until all are finished, and frees all memory.
pub(super) fn run(jobs: usize, plan: Plan, audits: Audits, own: impl IntoIterator<Item = TaskRef>) {
    run_tasks(jobs, plan, audits, own);
    report::samples::report_cost();
    report::progress_at_end(format_args!("the jobs have ended; all memory is freed and checked"));
    free_all();
}

/// The same for one of many rounds, whose end is not that of the scenario.
pub(super) fn run_round(jobs: usize, plan: Plan, audits: Audits, own: impl IntoIterator<Item = TaskRef>) {
    run_tasks(jobs, plan, audits, own);
    free_all();
}

fn run_tasks(jobs: usize, plan: Plan, audits: Audits, own: impl IntoIterator<Item = TaskRef>) {
    for (number, job) in JOBS.iter().take(jobs).enumerate() {
        *job.lock() = Some(LoadJob { job: Job::new(number, plan), audits });
    }
    Job::start_all();
    interrupts::start();
    executor::run(JOBS.iter().take(jobs).map(|job| job as TaskRef).chain(own));
    interrupts::stop();
}

fn free_all() {
    while page_cache::shrink(usize::MAX) > 0 {}
    allocator().drain_all();
}

/// Reports what is counted under every load, which its scenario requires.
pub(super) fn report_counters() {
    let audits = audit_log::summary();
    report::stats([
        (stat::MISSED_PAGES, audits.missed_pages),
        (stat::MAX_ABS_DRIFT_PAGES, audits.max_abs_drift),
        (stat::AUDITS, audits.audits),
        (stat::PAGES_MIGRATED, space::pages_migrated()),
        (stat::CONTENTS_CHECKED, contents::checked()),
        (stat::CONTENTS_CORRUPTED, contents::corrupted()),
        (stat::ALLOCATIONS, pages::allocations()),
    ]);
}

/// Checks that no audit found drift, no page is corrupted, and the allocator's invariants hold.
pub(super) fn judge(judge: &mut Judge) {
    let audits = audit_log::summary();
    if !audits.is_clean() {
        judge.broken(format_args!(
            "{} pages missed, a counter off by up to {}, {} audits with misplaced pages",
            audits.missed_pages, audits.max_abs_drift, audits.misplacements
        ));
    }
    judge.check_memory();
}

/// Whether audits are made during the load.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Audits {
    /// In periods, and recorded in the [`audit_log`]. They must find nothing.
    Exact,
    /// The same, but what they find is a result of the scenario.
    #[cfg(feature = "faults")]
    WithMistakes,
    /// Only by the scenario.
    #[cfg(feature = "designs")]
    None,
}

impl Audits {
    fn are_made(self) -> bool {
        #[cfg(feature = "designs")]
        if self == Self::None {
            return false;
        }
        true
    }
}

/// Reports the counters every two seconds, so that a run that the user interrupts has results, too.
fn report_so_far(audits: Audits) {
    const PERIOD_US: u64 = 2_000_000;
    static NEXT_US: AtomicU64 = AtomicU64::new(0);
    let (now, next) = (time::now_us(), NEXT_US.load(Ordering::Relaxed));
    if now < next {
        return;
    }
    // Of the CPUs that find it due one reports.
    let mine = NEXT_US.compare_exchange(next, now + PERIOD_US, Ordering::Relaxed, Ordering::Relaxed);
    if mine.is_err() {
        return;
    }
    report::stats([
        (stat::PAGES_MIGRATED, space::pages_migrated()),
        (stat::CONTENTS_CHECKED, contents::checked()),
        (stat::CONTENTS_CORRUPTED, contents::corrupted()),
        (stat::ALLOCATIONS, pages::allocations()),
    ]);
    if audits == Audits::Exact {
        let log = audit_log::summary();
        report::stats([
            (stat::MISSED_PAGES, log.missed_pages),
            (stat::MAX_ABS_DRIFT_PAGES, log.max_abs_drift),
            (stat::AUDITS, log.audits),
        ]);
    }
}

/// A job with audits between its steps.
struct LoadJob {
    job: Job,
    audits: Audits,
}

impl Task for LoadJob {
    fn step(&mut self) -> Progress {
        if self.audits.are_made() {
            audit_log::audit_if_due();
        }
        report_so_far(self.audits);
        memory_samples::send_if_due();
        screen::draw_if_due();
        self.job.step()
    }
}
