//! The task that ends a round, after enough operations or at the first failure.

use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};

use pageblock_protocol::{BootConfig, Line, Text};

use crate::jobs::{Job, Progress, Task};
use crate::report::{self, events};
use crate::scenarios::audit_log;
use crate::scenarios::soak::counts;
use crate::space::contents;
use crate::time;

/// The operations of a round.
const ROUND: u64 = 5_000_000;
/// The time from one report of all counts to the next.
const REPORT_US: u64 = 2_000_000;

static STOPPING: AtomicBool = AtomicBool::new(false);
static FAILED: AtomicBool = AtomicBool::new(false);

/// Whether the tasks of the round are to free what they have and end.
pub(super) fn is_stopping() -> bool {
    STOPPING.load(Ordering::Relaxed)
}

/// Whether the tasks that isolate and drain rest. They do for three quarters of the time, because
/// owners have no access to their pcplists during a drain, and those are to be tested, too.
pub(super) fn is_quiet() -> bool {
    const WINDOW_US: u64 = 100_000;
    !(time::now_us() / WINDOW_US).is_multiple_of(4)
}

/// Reports that something does not hold, which ends the run.
pub(super) fn fail(text: fmt::Arguments<'_>) {
    report::line(Line::Broken(Text::new(text)));
    events::report(report::line);
    FAILED.store(true, Ordering::Relaxed);
}

/// Whether [`fail`] was called.
pub(super) fn has_failed() -> bool {
    FAILED.load(Ordering::Relaxed)
}

/// When the last round ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Goal {
    operations: u64,
    started_us: u64,
    until_us: u64,
}

impl Goal {
    /// The goal that the command line has for a run that started then.
    pub(super) fn new(config: &BootConfig<'_>, started_us: u64) -> Self {
        let or_none = |limit: u64| if limit == 0 { u64::MAX } else { limit };
        Self {
            operations: or_none(config.operations),
            started_us,
            until_us: or_none(u64::from(config.minutes) * 60_000_000).saturating_add(started_us),
        }
    }

    pub(super) fn is_reached(&self) -> bool {
        counts::operations() >= self.operations || time::now_us() >= self.until_us
    }

    fn report_progress(&self, seed: u64, round: u64) {
        if !report::is_progress_due() {
            return;
        }
        let operations = counts::operations();
        let (passed, time) = (time::now_us() - self.started_us, self.until_us - self.started_us);
        let part = match self.operations {
            u64::MAX => (passed, time),
            // In thousands, so that no number is too large to be scaled.
            goal => (operations / 1000, goal / 1000),
        };
        let (audits, round) = (audit_log::summary(), round + 1);
        report::progress(
            &[part],
            format_args!(
                "{}.{} million operations, round {round} with seed {seed}, {} audits, {} pages missed",
                operations / 1_000_000,
                operations / 100_000 % 10,
                audits.audits,
                audits.missed_pages
            ),
        );
    }
}

/// The task that ends a round.
pub(super) struct Driver {
    goal: Goal,
    seed: u64,
    round: u64,
    /// The operations at which the round ends.
    end: u64,
    next_report_us: u64,
}

impl Driver {
    pub(super) fn new(goal: Goal, seed: u64, round: u64) -> Self {
        STOPPING.store(false, Ordering::Relaxed);
        Self { goal, seed, round, end: counts::operations() + ROUND, next_report_us: 0 }
    }
}

impl Task for Driver {
    fn step(&mut self) -> Progress {
        self.goal.report_progress(self.seed, self.round);
        let now = time::now_us();
        if now >= self.next_report_us {
            self.next_report_us = now + REPORT_US;
            counts::report(self.round);
        }
        if contents::corrupted() > 0 {
            events::report(report::line);
        }
        let has_failed = has_failed() || contents::corrupted() > 0 || !audit_log::summary().is_clean();
        if !has_failed && counts::operations() < self.end && !self.goal.is_reached() {
            return Progress::Again;
        }
        STOPPING.store(true, Ordering::Relaxed);
        Job::stop_all();
        Progress::Done
    }
}
