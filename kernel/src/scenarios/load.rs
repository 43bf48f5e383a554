//! The background load of scenarios: build-like jobs on all CPUs, interrupts that allocate, and
//! audits.
//!
//! The scenario adds tasks of its own, one of which ends the load with [`Job::stop_all`].
//! Afterwards [`judge`] checks the invariants of any load, and the scenario checks its own.

use core::fmt;

use pageblock_protocol::BootConfig;

use crate::jobs::executor::{self, TaskRef};
use crate::jobs::{Job, MAX_JOBS, Plan, Progress, Task, interrupts, page_cache};
use crate::memory::allocator;
use crate::scenarios::audit_log;
use crate::scenarios::refusal::{Refused, refuse};
use crate::space::contents;
use crate::sync::Lock;

static JOBS: [Lock<Option<AuditingJob>>; MAX_JOBS] = [const { Lock::new(None) }; MAX_JOBS];

/// The configured number of jobs, if that many can run.
pub(super) fn jobs(config: &BootConfig<'_>) -> Result<usize, Refused> {
    match config.jobs as usize {
        jobs @ 1..=MAX_JOBS => Ok(jobs),
        jobs => Err(refuse(format_args!("jobs={jobs}: from 1 to {MAX_JOBS} can run"))),
    }
}

/// Runs `jobs` jobs and the scenario's own tasks until all are finished, and frees all memory.
pub(super) fn run(jobs: usize, plan: Plan, own: impl IntoIterator<Item = TaskRef>) {
    for (number, job) in JOBS.iter().take(jobs).enumerate() {
        *job.lock() = Some(AuditingJob(Job::new(number, plan)));
    }
    Job::start_all();
    interrupts::start();
    executor::run(JOBS.iter().take(jobs).map(|job| job as TaskRef).chain(own));
    interrupts::stop();
    while page_cache::shrink(usize::MAX) > 0 {}
    allocator().drain_all();
}

/// Checks that no audit found drift, no page had wrong contents, and all invariants of the
/// allocator hold. Reports violations through `broken`.
pub(super) fn judge(broken: &mut impl FnMut(fmt::Arguments<'_>)) {
    let audits = audit_log::summary();
    if !audits.is_clean() {
        broken(format_args!(
            "{} pages missed, a counter off by up to {}, {} audits with misplaced pages",
            audits.missed_pages, audits.max_abs_drift, audits.misplacements
        ));
    }
    if contents::corrupted() != 0 {
        broken(format_args!("{} pages with wrong contents", contents::corrupted()));
    }
    if let Err(violation) = allocator().verify() {
        broken(format_args!("verify: {violation}"));
    }
}

/// A job with periodic audits between its steps.
struct AuditingJob(Job);

impl Task for AuditingJob {
    fn step(&mut self) -> Progress {
        audit_log::audit_if_due();
        self.0.step()
    }
}
