//! What scenarios run beside: build-like jobs on all CPUs, interrupts that allocate, audits
//! all the time.
//!
//! The scenario brings tasks of its own; one of them ends the load with [`Job::stop_all`]. Afterwards
//! [`judge`] says whether what any load must keep was kept; the scenario adds what is its own.
//! Neighbours: `jobs` does the work, [`audit_log`] keeps the record.

use core::fmt;

use pageblock_protocol::BootConfig;

use super::{Refused, audit_log, refuse};
use crate::jobs::executor::{self, TaskRef};
use crate::jobs::{Job, MAX_JOBS, Plan, Progress, Task, file_cache, interrupts};
use crate::memory::allocator;
use crate::space::contents;
use crate::space::lock::Lock;

static JOBS: [Lock<Option<AuditedJob>>; MAX_JOBS] = [const { Lock::new(None) }; MAX_JOBS];

/// The number of jobs that is asked for, if that many can run.
pub(super) fn jobs(config: &BootConfig<'_>) -> Result<usize, Refused> {
    match config.jobs as usize {
        jobs @ 1..=MAX_JOBS => Ok(jobs),
        jobs => Err(refuse(format_args!("jobs={jobs}: from 1 to {MAX_JOBS} can run"))),
    }
}

/// Runs so many jobs and the scenario's own tasks until all have ended, and gives everything back.
pub(super) fn run(jobs: usize, plan: Plan, own: impl IntoIterator<Item = TaskRef>) {
    for (number, job) in JOBS.iter().take(jobs).enumerate() {
        *job.lock() = Some(AuditedJob(Job::new(number, plan)));
    }
    Job::start_all();
    interrupts::start();
    executor::run(JOBS.iter().take(jobs).map(|job| job as TaskRef).chain(own));
    interrupts::stop();
    while file_cache::shrink(usize::MAX) > 0 {}
    allocator().drain_all();
}

/// What must hold after any such load: no drift in any audit, no page with wrong contents, every invariant. Says what does
/// not.
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

/// A job on whose CPU audits are made between its steps.
struct AuditedJob(Job);

impl Task for AuditedJob {
    fn step(&mut self) -> Progress {
        audit_log::audit_if_due();
        self.0.step()
    }
}
