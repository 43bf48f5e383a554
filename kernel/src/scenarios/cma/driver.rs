//! The driver: allocates contiguous chunks from the CMA area, one per interval, while the jobs run.
//!
//! It is a task like the jobs: any CPU may run its next step, and the others continue with jobs.
//! Every chunk is filled at once and checked before it is released, so that a frame that another
//! owner still uses is noticed. Chunks are kept until the area is full, and then all are released.
//! The first allocation, and the first one after each release, waits until the jobs use the area
//! again, because the allocation of an unused range would test nothing.

use core::fmt;

use heapless::{Deque, String, Vec};
use pageblock::{CmaArea, Order, PfnRange};
use pageblock_protocol::{BootConfig, stat};

use crate::jobs::{Job, Progress, Task, page_cache};
use crate::memory::allocator;
use crate::scenarios::audit_log;
use crate::scenarios::auditing_migration::AuditingMigration;
use crate::scenarios::frames::{check, fill, pages_in};
use crate::scenarios::latency::Latency;
use crate::space::{contents, pages};
use crate::{report, time};

/// The most chunks held at a time.
const CHUNKS: usize = 512;
/// An allocation has failed after retries for this long, during which jobs run on.
const RETRY_US: u64 = 5_000_000;
/// The driver waits until one in this many pages of the area is used by jobs ...
const WARM: usize = 2;
/// ... but no longer than this after the start, and after each release of all chunks. A run of
/// fewer cycles than the default waits as much less at the start, but not less than after a
/// release.
const WARM_UP_US: u64 = 15_000_000;
const WARM_UP_AGAIN_US: u64 = 3_000_000;

/// The least work for a meaningful result of the default number of cycles, or of more. For fewer
/// cycles it is as much less. The run goes on until all of it is done ...
const QUOTA: [Quota; 3] = [
    Quota { of: "page allocations", for_default: 1_000_000, count: pages::allocations },
    Quota { of: "page contents checked", for_default: 100_000, count: contents::checked },
    Quota { of: "audits", for_default: 1_000, count: || audit_log::summary().audits },
];
/// ... or this long after the last cycle, or when an audit has found drift.
const OVERTIME_US: u64 = 60_000_000;

/// An amount of work.
struct Quota {
    of: &'static str,
    for_default: u64,
    count: fn() -> u64,
}

impl Quota {
    /// The work that a run of that many cycles has to do.
    fn at_least(&self, cycles: u32) -> u64 {
        share_of(self.for_default, cycles)
    }
}

/// The share of what the default number of cycles needs that fewer cycles need.
fn share_of(for_default: u64, cycles: u32) -> u64 {
    let default = BootConfig::DEFAULT.cycles;
    (for_default * u64::from(cycles.min(default))).div_ceil(u64::from(default))
}

/// The results of the cycles.
#[derive(Default)]
pub(super) struct Outcome {
    pub(super) succeeded: u64,
    pub(super) failed: u64,
    pub(super) latency: Latency,
    /// The most pages of the area that movable allocations used.
    pub(super) cma_used_peak: usize,
    /// Violations that `verify` found during the run.
    pub(super) violations: Vec<String<200>, 4>,
}

/// The task that makes the contiguous allocations.
pub(super) struct Driver {
    area: &'static CmaArea<'static>,
    cycles: u32,
    chunk_pages: usize,
    interval_us: u64,
    /// The number of chunks at which all are released.
    keep: usize,
    done: u32,
    /// The start of the next cycle.
    next_us: u64,
    /// Until when to wait for the jobs to use the area; `None` if they do.
    warm_by_us: Option<u64>,
    /// The start of the current cycle; `None` between cycles.
    trying_since_us: Option<u64>,
    last_cycle_us: u64,
    chunks: Deque<PfnRange, CHUNKS>,
    outcome: Outcome,
}

impl Driver {
    pub(super) fn new(config: &BootConfig<'_>, area: &'static CmaArea<'static>) -> Self {
        let chunk_pages = pages_in(config.chunk_mib);
        let places = area.range().len() / chunk_pages;
        let interval_us = u64::from(config.interval_ms) * 1000;
        Self {
            area,
            cycles: config.cycles,
            chunk_pages,
            interval_us,
            keep: places.min(CHUNKS),
            done: 0,
            next_us: 0,
            warm_by_us: Some(time::now_us() + share_of(WARM_UP_US, config.cycles).max(WARM_UP_AGAIN_US)),
            trying_since_us: None,
            last_cycle_us: 0,
            chunks: Deque::new(),
            outcome: Outcome::default(),
        }
    }

    pub(super) fn into_outcome(self) -> Outcome {
        self.outcome
    }

    /// Tries to allocate the next chunk.
    fn cycle(&mut self) {
        self.outcome.cma_used_peak = self.outcome.cma_used_peak.max(self.used_pages());
        let since = *self.trying_since_us.get_or_insert_with(time::now_us);
        let migrate = AuditingMigration::new();
        let taken = self.area.alloc(allocator(), self.chunk_pages, Order::ZERO, &migrate);
        let ended = time::now_us();
        let took_us = ended - since;
        if taken.is_ok() {
            migrate.send_latency("contiguous-allocation", since, ended);
        }
        drop(migrate); // jobs may be waiting for pages that did not have to move
        match taken {
            Ok(chunk) => {
                self.outcome.latency.record(took_us);
                self.outcome.succeeded += 1;
                self.keep(chunk);
            }
            Err(error) if time::now_us() > since + RETRY_US => {
                self.outcome.failed += 1;
                report::note(format_args!("no contiguous allocation in cycle {}: {error}", self.done + 1));
            }
            Err(_) => {
                page_cache::shrink(self.chunk_pages);
                return;
            }
        }
        self.trying_since_us = None;
        self.done += 1;
        self.last_cycle_us = time::now_us();
        self.report_progress(format_args!("{} of {} contiguous allocations", self.done, self.cycles));
        if self.done.is_multiple_of(self.cycles.div_ceil(4)) {
            self.verify();
        }
    }

    fn keep(&mut self, chunk: PfnRange) {
        audit_log::audit_now();
        fill(chunk.iter());
        check(chunk.iter());
        self.chunks.push_back(chunk).expect("room for every chunk that is kept");
        if self.chunks.len() == self.keep {
            self.release_all();
            self.warm_by_us = Some(time::now_us() + WARM_UP_AGAIN_US);
        }
    }

    /// Whether the jobs use the area, or the time to wait for them is over.
    fn is_warm(&mut self, now: u64) -> bool {
        if let Some(by) = self.warm_by_us {
            let (used, wanted) = (self.used_pages(), self.area.range().len() / WARM);
            if now < by && used <= wanted {
                self.report_progress(format_args!(
                    "waiting until jobs use {wanted} pages of the CMA area ({used} now); {} of {} contiguous allocations",
                    self.done, self.cycles
                ));
                return false;
            }
            self.warm_by_us = None;
        }
        true
    }

    /// The pages of the area that movable allocations use.
    fn used_pages(&self) -> usize {
        let taken = self.chunks.len() * self.chunk_pages;
        let not_used = allocator().free_cma_count().saturating_add(taken);
        self.area.range().len().saturating_sub(not_used)
    }

    fn release_all(&mut self) {
        while let Some(chunk) = self.chunks.pop_front() {
            check(chunk.iter());
            if let Err(error) = self.area.free(allocator(), chunk) {
                panic!("releasing {chunk}: {error}");
            }
            audit_log::audit();
        }
    }

    fn verify(&mut self) {
        if let Err(violation) = allocator().verify() {
            let mut text = String::new();
            // An error means that the text was truncated.
            let _ = fmt::write(&mut text, format_args!("verify, cycle {}: {violation}", self.done));
            // The first few are enough.
            let _ = self.outcome.violations.push(text);
        }
    }

    fn report_progress(&self, label: fmt::Arguments<'_>) {
        if !report::is_progress_due() {
            return; // the counts take a lock
        }
        let cycles = [(u64::from(self.done), u64::from(self.cycles))];
        let quotas = QUOTA.each_ref().map(|quota| ((quota.count)(), quota.at_least(self.cycles)));
        let parts: Vec<_, 4> = cycles.into_iter().chain(quotas).collect();
        report::progress(&parts, label);
        report::stats([(stat::SUCCEEDED, self.outcome.succeeded), (stat::FAILED, self.outcome.failed)]);
    }

    /// Whether the run can end. Reports if it ends with less work than the quota.
    fn has_worked_enough(&mut self) -> bool {
        let is_short = |quota: &&Quota| (quota.count)() < quota.at_least(self.cycles);
        let Some(quota) = QUOTA.iter().find(is_short) else {
            return true;
        };
        if !audit_log::summary().is_clean() {
            return true;
        }
        let (done, now) = ((quota.count)(), time::now_us());
        let late = now > self.last_cycle_us + OVERTIME_US;
        let (of, at_least) = (quota.of, quota.at_least(self.cycles));
        if late {
            report::note(format_args!("out of time with {done} {of}, less than {at_least}"));
        } else {
            self.report_progress(format_args!("{done} of {at_least} {of}"));
        }
        late
    }
}

impl Task for Driver {
    fn step(&mut self) -> Progress {
        if self.done < self.cycles {
            let now = time::now_us();
            if self.trying_since_us.is_some() {
                self.cycle();
            } else if now >= self.next_us && self.is_warm(now) {
                self.next_us = now + self.interval_us; // from start to start
                self.cycle();
            }
            return Progress::Again;
        }
        if !self.has_worked_enough() {
            return Progress::Again;
        }
        self.release_all();
        Job::stop_all();
        Progress::Done
    }
}
