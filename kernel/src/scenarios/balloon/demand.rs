//! The task that uses memory: processes that begin and end, so that the demand follows a curve.
//!
//! A process has up to 8 MiB of pages, each with a pattern. In a cycle the demand rises to the
//! peak, stays, falls to an eighth, and stays. The processes that end are chosen at random. While
//! the demand is low, one process ends and another one begins from time to time.

use core::sync::atomic::{AtomicBool, Ordering};

use heapless::Vec;
use pageblock::{AllocRequest, Order, Pfn};
use pageblock_protocol::{BootConfig, Line};
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use x86_64::instructions::hlt;

use crate::jobs::{Progress, Task};
use crate::memory::allocator;
use crate::scenarios::audit_log;
use crate::space::contents::{Contents, Key};
use crate::space::frame::{words, words_of_block};
use crate::space::pages;
use crate::{report, time};

/// The most pages of a process, and of processes.
const PAGES: usize = 2048;
const PROCESSES: usize = 256;
/// The table has a word for each page of each process.
const TABLE: Order = Order::new(10);

/// The parts of a cycle, in tenths of the delay before a report.
const RISE: u64 = 30;
const HIGH: u64 = 30;
const FALL: u64 = 5;
const LOW: u64 = 55;
/// A run without cycles takes as long.
const NOTHING: u64 = 15;

/// From one report of the demand to the next.
const REPORT_US: u64 = 50_000;
/// From one audit to the next.
const AUDIT_US: u64 = 500_000;
/// From the end of one process to the next, while the demand is low.
const CHURN_US: u64 = 100_000;

static OVER: AtomicBool = AtomicBool::new(false);

/// Whether all cycles are over.
pub(super) fn is_over() -> bool {
    OVER.load(Ordering::Relaxed)
}

#[derive(Clone, Copy)]
struct Process {
    /// Its place in the table.
    slot: u16,
    pages: u16,
    /// The owner of its patterns.
    id: u64,
}

/// The task that uses memory.
pub(super) struct Demand {
    table: Pfn,
    processes: Vec<Process, PROCESSES>,
    free_slots: Vec<u16, PROCESSES>,
    used: usize,
    next_id: u64,
    peak: usize,
    low: usize,
    cycles: u32,
    unit_us: u64,
    since_us: u64,
    report_us: u64,
    audit_us: u64,
    churn_us: u64,
    rng: SmallRng,
    /// The pages that were in use when a request failed.
    pub(super) failure: Option<usize>,
}

impl Demand {
    /// `None` if there is no memory for the table.
    pub(super) fn new(config: &BootConfig<'_>, peak: usize) -> Option<Self> {
        OVER.store(false, Ordering::Relaxed);
        let now = time::now_us();
        Some(Self {
            table: pages::allocate(AllocRequest::unmovable().order(TABLE)).ok()?,
            processes: Vec::new(),
            free_slots: (0..PROCESSES as u16).collect(),
            used: 0,
            next_id: 0,
            peak,
            low: peak / 8,
            cycles: config.cycles,
            unit_us: u64::from(config.interval_ms) * 100,
            since_us: now,
            report_us: now,
            audit_us: now,
            churn_us: now,
            rng: SmallRng::seed_from_u64(config.seed),
            failure: None,
        })
    }

    /// The pages that are to be in use now, and whether the demand is low. `None` after the last
    /// cycle.
    fn target(&self, now: u64) -> Option<(usize, bool)> {
        let at = (now - self.since_us) / self.unit_us.max(1);
        let cycle = RISE + HIGH + FALL + LOW;
        if at >= u64::from(self.cycles) * cycle {
            return (self.cycles == 0 && at < NOTHING).then_some((0, false));
        }
        let (first, at) = (at < cycle, at % cycle);
        let bottom = if first { 0 } else { self.low };
        let between = |from: usize, to: usize, part: u64, all: u64| {
            let (from, to) = (from as i64, to as i64);
            (from + (to - from) * part as i64 / all as i64) as usize
        };
        Some(match at {
            _ if at < RISE => (between(bottom, self.peak, at + 1, RISE), false),
            _ if at < RISE + HIGH => (self.peak, false),
            _ if at < RISE + HIGH + FALL => (between(self.peak, self.low, at + 1 - RISE - HIGH, FALL), false),
            _ => (self.low, true),
        })
    }

    fn words(&self, process: Process) -> &'static [core::sync::atomic::AtomicU64] {
        let first = usize::from(process.slot) * PAGES;
        &words_of_block(self.table, TABLE)[first..first + usize::from(process.pages)]
    }

    /// Begins a process of that many pages at most.
    fn begin(&mut self, most: usize) {
        let Some(slot) = self.free_slots.pop() else { return };
        let wanted = self.rng.random_range(1..=PAGES).min(most.max(1)) as u16;
        let mut process = Process { slot, pages: wanted, id: self.next_id };
        self.next_id += 1;
        for (number, word) in self.words(process).iter().enumerate() {
            let Ok(pfn) = pages::allocate(AllocRequest::movable()) else {
                self.failure = Some(self.used + number);
                process.pages = number as u16;
                break;
            };
            Key::new(process.id, number as u64, 0).fill(words(pfn));
            word.store(pfn.number() as u64, Ordering::Relaxed);
        }
        self.used += usize::from(process.pages);
        let _pushed = self.processes.push(process);
    }

    /// Checks a process and ends it.
    fn end(&mut self, index: usize) {
        let process = self.processes.swap_remove(index);
        for (number, word) in self.words(process).iter().enumerate() {
            let pfn = Pfn::new(word.load(Ordering::Relaxed) as usize);
            match Key::new(process.id, number as u64, 0).check(words(pfn)) {
                Contents::Intact | Contents::Corrupted => pages::free(pfn, Order::ZERO),
            }
        }
        self.used -= usize::from(process.pages);
        let _pushed = self.free_slots.push(process.slot);
    }

    fn end_one(&mut self) {
        if !self.processes.is_empty() {
            let index = self.rng.random_range(0..self.processes.len());
            self.end(index);
        }
    }

    fn report(&mut self, now: u64) {
        if now >= self.report_us {
            self.report_us = now + REPORT_US;
            let kib = allocator().allocated_count() as u64 * 4;
            report::line(Line::Used { at_ms: (now - self.since_us) / 1000, kib });
        }
        if now >= self.audit_us {
            self.audit_us = now + AUDIT_US;
            audit_log::audit_now();
        }
        let all = u64::from(self.cycles) * (RISE + HIGH + FALL + LOW);
        let done = ((now - self.since_us) / self.unit_us.max(1)).min(all);
        report::progress(&[(done, all.max(1))], format_args!("{} MiB are in use", self.used >> 8));
    }
}

impl Task for Demand {
    fn step(&mut self) -> Progress {
        let now = time::now_us();
        self.report(now);
        let Some((target, low)) = self.target(now) else {
            while !self.processes.is_empty() {
                self.end(0);
            }
            pages::free(self.table, TABLE);
            OVER.store(true, Ordering::Relaxed);
            return Progress::Done;
        };
        if self.failure.is_none() && self.used < target {
            self.begin(target - self.used);
        } else if self.used > target + PAGES {
            self.end_one();
        } else if low && now >= self.churn_us {
            self.churn_us = now + CHURN_US;
            self.end_one();
        } else {
            hlt();
        }
        Progress::Again
    }
}
