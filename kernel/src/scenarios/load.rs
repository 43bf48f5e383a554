//! What scenarios run beside: build-like jobs on all CPUs, interrupts that allocate, audits
//! all the time.
//!
//! The scenario brings tasks of its own; one of them ends the load with [`Job::stop_all`].
//! Neighbours: `jobs` does the work, [`audit_log`] keeps the record.

use pageblock_protocol::BootConfig;

use super::{Refused, audit_log, refuse};
use crate::jobs::executor::{self, TaskRef};
use crate::jobs::{Job, MAX_JOBS, Plan, Progress, Task, file_cache, interrupts};
use crate::memory::allocator;
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

/// A job on whose CPU audits are made between its steps.
struct AuditedJob(Job);

impl Task for AuditedJob {
    fn step(&mut self) -> Progress {
        audit_log::audit_if_due();
        self.0.step()
    }
}
