//! Takes units out of the CMA area beside the running jobs, in turns, each turn under one design.
//!
//! A task like the jobs. Every design has several turns, in changing order, so that none of them meets the jobs only as they start
//! or only at work. A turn begins when the jobs have (again) moved into the area, and ends with everything given back and an audit.
//! Neighbours: [`super`] sets it up, [`tally`](super::tally) keeps the score.

use core::fmt;

use heapless::Deque;
use pageblock::{CmaArea, Design, Geometry, Pfn, PfnRange, X86_64};
use pageblock_protocol::{BootConfig, Line, Text};

use super::tally::{Score, Scored, Tally, UNIT};
use super::{DESIGNS, choose};
use crate::jobs::{Job, Progress, Task, file_cache};
use crate::memory::allocator;
use crate::space::contents::{Contents, Key};
use crate::space::frame::words;
use crate::space::pages;
use crate::{report, time};

/// Turns that each design has.
const ROUNDS: usize = 8;
/// The most units held at a time.
const HELD: usize = 64;
/// How long the jobs have to move into the area before the first turn, and before each other one.
const WARM_UP_US: [u64; 2] = [10_000_000, 250_000];
/// How long one unit is tried for before it has failed.
const PATIENCE_US: u64 = 5_000_000;
/// The owner in the keys of what is written into units; neither a space nor the files have this number.
const DRIVER: u64 = u64::MAX - 1;

/// By design, in the order of [`Design::ALL`].
pub(super) static SCORES: [Score; DESIGNS] = [const { Score::new(Tally::new()) }; DESIGNS];

/// The task that makes the contiguous allocations.
pub(super) struct Driver {
    area: &'static CmaArea<'static>,
    /// Units to take in each turn.
    units: u32,
    interval_us: u64,
    keep: usize,
    turn: usize,
    stage: Stage,
    held: Deque<PfnRange, HELD>,
    next_line_us: u64,
}

/// Where a turn stands.
#[derive(Clone, Copy, Debug)]
enum Stage {
    /// The jobs move into the area.
    Filling { until_us: u64 },
    /// Units are taken.
    Taking { since_us: u64, allocations: u64, done: u32, next_us: u64, trying_since_us: Option<u64> },
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
            stage: Stage::Filling { until_us: time::now_us() + WARM_UP_US[0] },
            held: Deque::new(),
            next_line_us: 0,
        }
    }

    /// Which design has its turn: all once in each round, in each round another one first.
    fn index(&self) -> usize {
        (self.turn + self.turn / DESIGNS) % DESIGNS
    }

    fn design(&self) -> Design {
        Design::ALL[self.index()]
    }

    fn score(&self) -> &'static Score {
        &SCORES[self.index()]
    }

    /// Whether movable allocations use at least half of the area.
    fn is_warm(&self) -> bool {
        2 * allocator().free_cma_count() < self.area.range().len()
    }

    fn begin_turn(&mut self) {
        choose(self.design());
        let now = time::now_us();
        self.stage = Stage::Taking {
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
        let mut tally = self.score().lock();
        tally.time_us += time_us;
        tally.allocations += allocations;
        let drift = tally.audit();
        tally.final_drift = tally.final_drift.max(drift);
        self.turn += 1;
        self.stage = Stage::Filling { until_us: time::now_us() + WARM_UP_US[1] };
    }

    /// Tries to take one unit. Says whether it has been dealt with.
    fn take(&mut self, since_us: u64) -> bool {
        match self.area.alloc(allocator(), UNIT, X86_64::MAX_ORDER, &Scored::new(self.score())) {
            Ok(unit) => {
                let mut tally = self.score().lock();
                tally.audit();
                tally.units += 1;
                drop(tally);
                unit.iter().for_each(|pfn| key(pfn).fill(words(pfn)));
                if self.held.len() == self.keep {
                    self.release_oldest();
                }
                self.held.push_back(unit).expect("no more units than are kept");
            }
            Err(error) if time::now_us() > since_us + PATIENCE_US => {
                self.score().lock().failed += 1;
                report::line(Line::Note(Text::new(format_args!(
                    "{}: a unit was not to be had: {error}",
                    self.design()
                ))));
            }
            Err(_) => {
                file_cache::shrink(UNIT);
                return false;
            }
        }
        true
    }

    fn release_oldest(&mut self) {
        let Some(unit) = self.held.pop_front() else { return };
        for pfn in unit.iter() {
            if key(pfn).check(words(pfn)) == Contents::Corrupted {
                log::error!("{pfn} of the unit at {unit} changed under its owner");
            }
        }
        if let Err(error) = self.area.release(allocator(), unit) {
            panic!("releasing {unit}: {error}");
        }
    }

    fn say_progress(&mut self, done: u32, label: fmt::Arguments<'_>) {
        const PACE_US: u64 = 500_000;
        let now = time::now_us();
        if now >= self.next_line_us {
            self.next_line_us = now + PACE_US;
            let units = u64::from(self.units);
            report::line(Line::Progress {
                done: self.turn as u64 * units + u64::from(done),
                total: (ROUNDS * DESIGNS) as u64 * units,
                label: Text::new(label),
            });
        }
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
            Stage::Filling { until_us } if now < until_us && !self.is_warm() => {
                self.say_progress(0, format_args!("jobs move into the area"));
            }
            Stage::Filling { .. } => self.begin_turn(),
            Stage::Taking { since_us, allocations, done, .. } if done == self.units => {
                self.end_turn(since_us, allocations);
            }
            Stage::Taking { next_us, trying_since_us: None, .. } if now < next_us => {}
            Stage::Taking { since_us, allocations, done, next_us, trying_since_us } => {
                let trying_since = trying_since_us.unwrap_or(now);
                let next_us = if trying_since_us.is_none() { now + self.interval_us } else { next_us };
                let dealt_with = self.take(trying_since);
                let done = done + u32::from(dealt_with);
                let trying_since_us = (!dealt_with).then_some(trying_since);
                self.stage = Stage::Taking { since_us, allocations, done, next_us, trying_since_us };
                let design = self.design();
                self.say_progress(done, format_args!("units taken, {design}"));
            }
        }
        Progress::Again
    }
}

fn key(pfn: Pfn) -> Key {
    Key::new(DRIVER, pfn.number() as u64, 0)
}
