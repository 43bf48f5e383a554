//! The contiguous allocations of the 2014 discussion, first counted right, then wrong.
//!
//! A task like the jobs. It waits until the jobs use the CMA area, takes chunks of it at the usual
//! pace, switches the mistake on, takes as many again, and ends the run. Chunks are given back while
//! others are taken, so that jobs move into the area again. A chunk that cannot be had, or that cannot
//! be given back, is counted: with a mistake on, anything may happen.
//! Neighbours: [`super`] sets it up, [`audit_log`] watches.

use core::mem;
use core::sync::atomic::{AtomicBool, Ordering};

use heapless::Deque;
use pageblock::{CmaArea, Faults, Order, PfnRange};
use pageblock_protocol::{BootConfig, Line, Text};

use super::meeting;
use crate::jobs::{Job, Progress, Task, file_cache};
use crate::memory::allocator;
use crate::scenarios::audit_log::{self, AuditLog};
use crate::scenarios::audited::{Audited, check, fill};
use crate::space::contents;
use crate::{report, time};

/// The most chunks held at a time.
const CHUNKS: usize = 16;
/// How long one chunk is tried for before it has failed.
const PATIENCE_US: u64 = 2_000_000;
/// The part of the area that jobs have to use before the first chunk is taken: one in so many pages ...
const WARM: usize = 3;
/// ... unless this much time has passed.
const WARM_UP_US: u64 = 10_000_000;
/// Meetings of each kind in each half, so that every mistake has its chance ...
const MEETINGS: u64 = 6;
/// ... unless this much time has passed since the last chunk.
const OVERTIME_US: u64 = 5_000_000;
/// Time between two lines while nothing is counted.
const LINE_PACE_US: u64 = 500_000;

static MEASURING: AtomicBool = AtomicBool::new(false);
static OVER: AtomicBool = AtomicBool::new(false);

/// Whether chunks are being taken.
pub(super) fn is_measuring() -> bool {
    MEASURING.load(Ordering::Acquire)
}

/// Whether all is done.
pub(super) fn is_over() -> bool {
    OVER.load(Ordering::Acquire)
}

/// What one half of the run showed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Half {
    pub(super) log: AuditLog,
    /// Chunks that could not be had in time.
    pub(super) failed: u32,
    pub(super) contents_checked: u64,
    pub(super) contents_corrupted: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    WarmUp,
    Right,
    Wrong,
}

/// The task that takes the chunks.
pub(super) struct Experiment {
    faults: Faults,
    area: &'static CmaArea<'static>,
    chunk_pages: usize,
    cycles: u32,
    interval_us: u64,
    phase: Phase,
    /// Chunks taken or given up in this half.
    done: u32,
    failed: u32,
    /// When the next cycle starts; while warming up, when it starts at the latest.
    next_us: u64,
    next_line_us: u64,
    last_cycle_us: u64,
    /// Meetings at the start of this half.
    met_before: u64,
    /// When the cycle started whose chunk is still to be had.
    trying_since_us: Option<u64>,
    chunks: Deque<PfnRange, CHUNKS>,
    /// Without the mistake.
    pub(super) right: Half,
    /// With it.
    pub(super) wrong: Half,
}

impl Half {
    /// The half that ends now.
    fn end(failed: u32) -> Self {
        audit_log::audit_now();
        Self {
            log: audit_log::summary(),
            failed,
            contents_checked: contents::checked(),
            contents_corrupted: contents::corrupted(),
        }
    }
}

impl Experiment {
    pub(super) fn new(
        config: &BootConfig<'_>,
        faults: Faults,
        area: &'static CmaArea<'static>,
        chunk_pages: usize,
    ) -> Self {
        let nothing =
            Half { log: audit_log::summary(), failed: 0, contents_checked: 0, contents_corrupted: 0 };
        Self {
            faults,
            area,
            chunk_pages,
            cycles: config.cycles,
            interval_us: u64::from(config.interval_ms) * 1000,
            phase: Phase::WarmUp,
            done: 0,
            failed: 0,
            next_us: time::now_us() + WARM_UP_US,
            next_line_us: 0,
            last_cycle_us: 0,
            met_before: 0,
            trying_since_us: None,
            chunks: Deque::new(),
            right: nothing,
            wrong: nothing,
        }
    }

    fn is_warm(&self) -> bool {
        let used = self.area.range().len().saturating_sub(allocator().free_cma_count());
        used > self.area.range().len() / WARM || time::now_us() >= self.next_us
    }

    /// Makes an attempt at the next chunk.
    fn cycle(&mut self) {
        let since = *self.trying_since_us.get_or_insert_with(time::now_us);
        let migrate = Audited::new();
        let taken = self.area.alloc(allocator(), self.chunk_pages, Order::ZERO, &migrate);
        drop(migrate);
        match taken {
            Ok(chunk) => self.keep(chunk),
            Err(_) if time::now_us() > since + PATIENCE_US => self.failed += 1,
            Err(_) => {
                file_cache::shrink(self.chunk_pages);
                return;
            }
        }
        self.trying_since_us = None;
        self.done += 1;
        self.last_cycle_us = time::now_us();
        self.say_progress();
    }

    fn keep(&mut self, chunk: PfnRange) {
        audit_log::audit_now();
        fill(chunk.iter());
        let keep = CHUNKS.min(self.area.range().len() / self.chunk_pages / 2);
        if self.chunks.len() >= keep {
            self.release_oldest();
        }
        self.chunks.push_back(chunk).expect("room after the oldest is released");
    }

    fn release_oldest(&mut self) {
        if let Some(chunk) = self.chunks.pop_front() {
            check(chunk.iter());
            if let Err(error) = self.area.release(allocator(), chunk) {
                log::error!("releasing {chunk}: {error}");
                self.failed += 1;
            }
            audit_log::audit();
        }
    }

    fn release_all(&mut self) {
        while !self.chunks.is_empty() {
            self.release_oldest();
        }
    }

    fn say_progress(&self) {
        let (before, label) = match self.phase {
            Phase::WarmUp => (0, "jobs start"),
            Phase::Right => (0, "counted right"),
            Phase::Wrong => (self.cycles, "counted wrong"),
        };
        report::line(Line::Progress {
            done: u64::from(before + self.done),
            total: 2 * u64::from(self.cycles),
            label: Text::from(label),
        });
    }

    /// Goes on with the next half, or ends the run.
    fn next_phase(&mut self) -> Progress {
        match self.phase {
            Phase::WarmUp => {
                self.phase = Phase::Right;
                MEASURING.store(true, Ordering::Release);
            }
            Phase::Right => {
                self.release_all();
                self.right = Half::end(mem::take(&mut self.failed));
                audit_log::reset_for_mistakes();
                allocator().set_faults(self.faults);
                self.phase = Phase::Wrong;
            }
            Phase::Wrong => {
                self.release_all();
                self.wrong = Half::end(mem::take(&mut self.failed));
                allocator().set_faults(Faults::empty());
                meeting::relax();
                OVER.store(true, Ordering::Release);
                Job::stop_all();
                return Progress::Done;
            }
        }
        self.done = 0;
        self.met_before = meeting::held();
        self.next_us = time::now_us();
        Progress::Again
    }
}

impl Task for Experiment {
    fn step(&mut self) -> Progress {
        let now = time::now_us();
        let waits = match self.phase {
            Phase::WarmUp => !self.is_warm(),
            Phase::Right | Phase::Wrong if self.done < self.cycles => {
                if self.trying_since_us.is_some() {
                    self.cycle();
                } else if now >= self.next_us {
                    self.next_us = (self.next_us + self.interval_us).max(now);
                    self.cycle();
                }
                return Progress::Again;
            }
            Phase::Right | Phase::Wrong => {
                meeting::held() < self.met_before + MEETINGS && now < self.last_cycle_us + OVERTIME_US
            }
        };
        if !waits {
            return self.next_phase();
        }
        if now >= self.next_line_us {
            self.next_line_us = now + LINE_PACE_US;
            self.say_progress();
        }
        Progress::Again
    }
}
