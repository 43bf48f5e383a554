//! Takes contiguous chunks out of the CMA area, one per interval, beside the running jobs.
//!
//! A task like the jobs: whichever CPU picks it makes the allocation, the others go on. Every chunk is
//! filled at once and checked before it is given back, so that a frame that somebody else still uses
//! shows. Chunks are kept until the area is full, then all are given back. The first allocation, and
//! the one after each giving back, waits for the jobs to move into the area: an empty one would be no
//! test.
//! Neighbours: [`super`] sets it up, `space` migrates, [`audit_log`] watches from inside.

use core::fmt;

use heapless::{Deque, String, Vec};
use pageblock::{CmaArea, Order, PfnRange};
use pageblock_protocol::{BootConfig, Line, Text};

use crate::jobs::{Job, Progress, Task, file_cache};
use crate::memory::allocator;
use crate::scenarios::audit_log;
use crate::scenarios::audited::{Audited, check, fill, pages_in};
use crate::scenarios::latency::Latency;
use crate::space::{contents, pages};
use crate::{report, time};

/// The most chunks held at a time.
const CHUNKS: usize = 512;
/// How long one chunk is tried for, while jobs go on and file pages are dropped, before it has failed.
const PATIENCE_US: u64 = 5_000_000;
/// The part of the area that jobs have to use before the first cycle: one in so many pages ...
const WARM: usize = 2;
/// ... unless this much time has passed since the jobs began, or since the area was given back.
const WARM_UP_US: u64 = 15_000_000;
const WARM_UP_AGAIN_US: u64 = 3_000_000;
/// Time between two lines about work that goes on before the first cycle and after the last one.
const LINE_PACE_US: u64 = 500_000;

/// How much work makes the result mean something: the run goes on until all of it is done ...
const QUOTA: [Quota; 3] = [
    Quota { of: "allocations", at_least: 1_000_000, count: pages::allocations },
    Quota { of: "contents checked", at_least: 100_000, count: contents::checked },
    Quota { of: "audits", at_least: 1_000, count: || audit_log::summary().audits },
];
/// ... or until this long after the last cycle, or until there is nothing left to prove.
const OVERTIME_US: u64 = 60_000_000;

/// An amount of work.
struct Quota {
    of: &'static str,
    at_least: u64,
    count: fn() -> u64,
}

/// What came of the cycles.
pub(super) struct Outcome {
    pub(super) succeeded: u64,
    pub(super) failed: u64,
    pub(super) latency: Latency,
    /// Pages of the area that movable allocations used, at the most.
    pub(super) cma_used_peak: usize,
    /// What `verify` found while the CPUs were running.
    pub(super) violations: Vec<String<200>, 4>,
}

impl Outcome {
    pub(super) const fn new() -> Self {
        Self { succeeded: 0, failed: 0, latency: Latency::new(), cma_used_peak: 0, violations: Vec::new() }
    }
}

/// The task that makes the contiguous allocations.
pub(super) struct Driver {
    area: &'static CmaArea<'static>,
    cycles: u32,
    chunk_pages: usize,
    interval_us: u64,
    /// Chunks to hold at a time.
    keep: usize,
    done: u32,
    /// When the next cycle is due.
    next_us: u64,
    /// While the jobs have yet to move into the area: until when they are waited for.
    warm_by_us: Option<u64>,
    /// When the cycle started whose chunk is still to be had.
    trying_since_us: Option<u64>,
    last_cycle_us: u64,
    next_line_us: u64,
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
            warm_by_us: Some(time::now_us() + WARM_UP_US),
            trying_since_us: None,
            last_cycle_us: 0,
            next_line_us: 0,
            chunks: Deque::new(),
            outcome: Outcome::new(),
        }
    }

    pub(super) fn into_outcome(self) -> Outcome {
        self.outcome
    }

    /// Makes an attempt at the next chunk.
    fn cycle(&mut self) {
        self.outcome.cma_used_peak = self.outcome.cma_used_peak.max(self.used_pages());
        let since = *self.trying_since_us.get_or_insert_with(time::now_us);
        let migrate = Audited::new();
        let taken = self.area.alloc(allocator(), self.chunk_pages, Order::ZERO, &migrate);
        drop(migrate); // jobs may be waiting for pages that did not have to move
        match taken {
            Ok(chunk) => {
                self.outcome.latency.record(time::now_us() - since);
                self.outcome.succeeded += 1;
                self.keep(chunk);
            }
            Err(error) if time::now_us() > since + PATIENCE_US => {
                self.outcome.failed += 1;
                report::line(Line::Note(Text::new(format_args!(
                    "no contiguous allocation in cycle {}: {error}",
                    self.done + 1
                ))));
            }
            Err(_) => {
                file_cache::shrink(self.chunk_pages);
                return;
            }
        }
        self.trying_since_us = None;
        self.done += 1;
        self.last_cycle_us = time::now_us();
        self.say_progress(format_args!("contiguous allocations"));
        if self.done.is_multiple_of(self.cycles.div_ceil(4)) {
            self.verify();
        }
    }

    fn keep(&mut self, chunk: PfnRange) {
        audit_log::audit_now();
        fill(chunk.iter());
        check(chunk.iter());
        self.chunks.push_back(chunk).expect("a place for each chunk that is kept");
        if self.chunks.len() == self.keep {
            self.release_all();
            self.warm_by_us = Some(time::now_us() + WARM_UP_AGAIN_US);
        }
    }

    /// Whether the jobs have moved into the area, or had their time.
    fn is_warm(&mut self, now: u64) -> bool {
        if let Some(by) = self.warm_by_us {
            if now < by && self.used_pages() <= self.area.range().len() / WARM {
                if now >= self.next_line_us {
                    self.next_line_us = now + LINE_PACE_US;
                    self.say_progress(format_args!("jobs move in"));
                }
                return false;
            }
            self.warm_by_us = None;
        }
        true
    }

    /// Pages of the area that movable allocations use.
    fn used_pages(&self) -> usize {
        let taken = self.chunks.len() * self.chunk_pages;
        let not_used = allocator().free_cma_count().saturating_add(taken);
        self.area.range().len().saturating_sub(not_used)
    }

    fn release_all(&mut self) {
        while let Some(chunk) = self.chunks.pop_front() {
            check(chunk.iter());
            if let Err(error) = self.area.release(allocator(), chunk) {
                panic!("releasing {chunk}: {error}");
            }
            audit_log::audit();
        }
    }

    fn verify(&mut self) {
        if let Err(violation) = allocator().verify() {
            let mut text = String::new();
            // An error only says that the text was cut short.
            let _ = fmt::write(&mut text, format_args!("verify, cycle {}: {violation}", self.done));
            // The first few are enough.
            let _ = self.outcome.violations.push(text);
        }
    }

    fn say_progress(&self, label: fmt::Arguments<'_>) {
        report::line(Line::Progress {
            done: u64::from(self.done),
            total: u64::from(self.cycles),
            label: Text::new(label),
        });
    }

    /// Whether the run can end. Says so when it ends short of its quota.
    fn has_worked_enough(&mut self) -> bool {
        let Some(quota) = QUOTA.iter().find(|quota| (quota.count)() < quota.at_least) else {
            return true;
        };
        if !audit_log::summary().is_clean() {
            return true;
        }
        let (done, now) = ((quota.count)(), time::now_us());
        let late = now > self.last_cycle_us + OVERTIME_US;
        if late {
            report::line(Line::Note(Text::new(format_args!(
                "out of time with {done} {}, less than {}",
                quota.of, quota.at_least
            ))));
        } else if now >= self.next_line_us {
            self.next_line_us = now + LINE_PACE_US;
            self.say_progress(format_args!("{done} of {} {}", quota.at_least, quota.of));
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
