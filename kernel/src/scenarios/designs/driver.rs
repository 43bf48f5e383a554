//! The driver: allocates units from the CMA area, in turns, each under one design.
//!
//! It is a task like the jobs. Every design has several turns, in changing order, so that no design
//! meets only starting jobs or only working ones. A turn begins when the jobs use the area (again),
//! and ends with the release of all units and an audit.

use core::fmt;

use heapless::Deque;
use pageblock::{CmaArea, Design, Geometry, PfnRange, X86_64};
use pageblock_protocol::BootConfig;

use crate::jobs::{Job, Progress, Task, page_cache};
use crate::memory::allocator;
use crate::scenarios::designs::selection::{DESIGNS, choose};
use crate::scenarios::designs::stats::{MeasuringMigration, SharedStats, Stats, UNIT};
use crate::scenarios::frames::{check, fill};
use crate::space::pages;
use crate::{report, time};

/// The number of turns of each design.
const ROUNDS: usize = 8;
/// The most units held at a time.
const HELD: usize = 64;
/// The longest wait until the jobs use the area, before the first turn and before each later one.
const WARM_UP_US: [u64; 2] = [10_000_000, 250_000];
/// An allocation has failed after retries for this long.
const RETRY_US: u64 = 5_000_000;

/// The measurements, in the order of [`Design::ALL`].
pub(super) static STATS: [SharedStats; DESIGNS] = [stats(0), stats(1), stats(2), stats(3)];

const fn stats(design: usize) -> SharedStats {
    SharedStats::new(Stats::new(Design::ALL[design].name()))
}

/// The task that makes the contiguous allocations.
pub(super) struct Driver {
    area: &'static CmaArea<'static>,
    /// The units to allocate in each turn.
    units: u32,
    interval_us: u64,
    keep: usize,
    turn: usize,
    stage: Stage,
    held: Deque<PfnRange, HELD>,
}

/// The stage of a turn.
#[derive(Clone, Copy, Debug)]
enum Stage {
    /// The driver waits until the jobs use the area.
    WarmUp { until_us: u64 },
    /// The driver allocates units.
    Allocating { since_us: u64, allocations: u64, done: u32, next_us: u64, trying_since_us: Option<u64> },
}

impl Driver {
    pub(super) fn new(config: &BootConfig<'_>, area: &'static CmaArea<'static>) -> Self {
        let per_chunk = (config.chunk_mib / 4).max(1);
        let interval_us = u64::from(config.interval_ms) * 1000;
        Self {
            area,
            units: (config.cycles * per_chunk).div_ceil(ROUNDS as u32),
            interval_us: interval_us / u64::from(per_chunk),
            keep: (area.range().len() / UNIT / 2).clamp(1, HELD),
            turn: 0,
            stage: Stage::WarmUp { until_us: time::now_us() + WARM_UP_US[0] },
            held: Deque::new(),
        }
    }

    /// The design of the current turn: each has one in a round, and each round begins with another.
    fn index(&self) -> usize {
        (self.turn + self.turn / DESIGNS) % DESIGNS
    }

    fn design(&self) -> Design {
        Design::ALL[self.index()]
    }

    fn stats(&self) -> &'static SharedStats {
        &STATS[self.index()]
    }

    /// Whether movable allocations use more than half of the area.
    fn is_warm(&self) -> bool {
        2 * allocator().free_cma_count() < self.area.range().len()
    }

    fn begin_turn(&mut self) {
        choose(self.design());
        let now = time::now_us();
        self.stage = Stage::Allocating {
            since_us: now,
            allocations: pages::allocations(),
            done: 0,
            next_us: now,
            trying_since_us: None,
        };
    }

    fn end_turn(&mut self, since_us: u64, allocations: u64) {
        let (time_us, allocations) = (time::now_us() - since_us, pages::allocations() - allocations);
        while !self.held.is_empty() {
            self.release_oldest();
        }
        let mut stats = self.stats().lock();
        stats.time_us += time_us;
        stats.allocations += allocations;
        let drift = stats.audit();
        stats.final_drift = stats.final_drift.max(drift);
        self.turn += 1;
        self.stage = Stage::WarmUp { until_us: time::now_us() + WARM_UP_US[1] };
    }

    /// Tries to allocate one unit. Returns false if it is to be tried again.
    fn allocate(&mut self, since_us: u64) -> bool {
        let migrate = MeasuringMigration::new(self.stats());
        match self.area.alloc(allocator(), UNIT, X86_64::MAX_ORDER, &migrate) {
            Ok(unit) => {
                drop(migrate); // jobs may be waiting for pages that did not have to move
                let mut stats = self.stats().lock();
                stats.audit();
                stats.units += 1;
                drop(stats);
                fill(unit.iter());
                if self.held.len() == self.keep {
                    self.release_oldest();
                }
                self.held.push_back(unit).expect("no more units than are kept");
            }
            Err(error) if time::now_us() > since_us + RETRY_US => {
                self.stats().lock().failed += 1;
                let design = self.design();
                report::note(format_args!("{design}: a unit could not be allocated: {error}"));
            }
            Err(_) => {
                page_cache::shrink(UNIT);
                return false;
            }
        }
        true
    }

    fn release_oldest(&mut self) {
        let Some(unit) = self.held.pop_front() else { return };
        check(unit.iter());
        if let Err(error) = self.area.free(allocator(), unit) {
            panic!("releasing {unit}: {error}");
        }
    }

    fn report_progress(&self, done: u32, label: fmt::Arguments<'_>) {
        let units = u64::from(self.units);
        let done = self.turn as u64 * units + u64::from(done);
        report::progress(&[(done, (ROUNDS * DESIGNS) as u64 * units)], label);
    }
}

impl Task for Driver {
    fn step(&mut self) -> Progress {
        if self.turn == ROUNDS * DESIGNS {
            choose(Design::Default);
            Job::stop_all();
            return Progress::Done;
        }
        let now = time::now_us();
        match self.stage {
            Stage::WarmUp { until_us } if now < until_us && !self.is_warm() => {
                self.report_progress(0, format_args!("waiting until jobs use half of the CMA area"));
            }
            Stage::WarmUp { .. } => self.begin_turn(),
            Stage::Allocating { since_us, allocations, done, .. } if done == self.units => {
                self.end_turn(since_us, allocations);
            }
            Stage::Allocating { next_us, trying_since_us: None, .. } if now < next_us => {}
            Stage::Allocating { since_us, allocations, done, next_us, trying_since_us } => {
                let trying_since = trying_since_us.unwrap_or(now);
                let next_us = if trying_since_us.is_none() { now + self.interval_us } else { next_us };
                let is_done = self.allocate(trying_since);
                let done = done + u32::from(is_done);
                let trying_since_us = (!is_done).then_some(trying_since);
                self.stage = Stage::Allocating { since_us, allocations, done, next_us, trying_since_us };
                let design = self.design();
                let (turn, units) = (self.turn + 1, self.units);
                let label =
                    format_args!("turn {turn} of {}, {design}: {done} of {units} units", ROUNDS * DESIGNS);
                self.report_progress(done, label);
            }
        }
        Progress::Again
    }
}
