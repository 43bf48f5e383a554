//! The driver: contiguous allocations, first without the mistake and then with it.
//!
//! It is a task like the jobs. It waits until the jobs use the CMA area, allocates chunks of it,
//! one per interval, switches the mistake on, allocates as many again, and ends the run. The oldest
//! chunks are released meanwhile, so that jobs use their pages again. A chunk that cannot be
//! allocated or released is counted and is no panic: a mistake may cause any failure.

use core::mem;
use core::sync::atomic::{AtomicBool, Ordering};

use heapless::Deque;
use pageblock::{CmaArea, Faults, Order, PfnRange};
use pageblock_protocol::BootConfig;

use crate::jobs::{Job, Progress, Task, page_cache};
use crate::memory::allocator;
use crate::scenarios::audit_log::{self, AuditLog};
use crate::scenarios::auditing_migration::AuditingMigration;
use crate::scenarios::faults::race;
use crate::scenarios::frames::{check, fill};
use crate::space::contents;
use crate::{report, time};

/// The most chunks held at a time.
const CHUNKS: usize = 16;
/// An allocation has failed after retries for this long.
const RETRY_US: u64 = 2_000_000;
/// The first chunk is allocated when jobs use one in this many pages of the area ...
const WARM: usize = 3;
/// ... but no later than after this time.
const WARM_UP_US: u64 = 10_000_000;
/// Each half goes on until this many races of each kind have completed ...
const RACES: u64 = 6;
/// ... but no longer than this after the last chunk.
const OVERTIME_US: u64 = 5_000_000;

static MEASURING: AtomicBool = AtomicBool::new(false);
static OVER: AtomicBool = AtomicBool::new(false);

/// Whether one of the halves is going on.
pub(super) fn is_measuring() -> bool {
    MEASURING.load(Ordering::Acquire)
}

/// Whether both halves are finished.
pub(super) fn is_over() -> bool {
    OVER.load(Ordering::Acquire)
}

/// The results of one half of the run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Half {
    pub(super) log: AuditLog,
    /// Chunks that could not be allocated in time, or not released.
    pub(super) failed: u32,
    pub(super) contents_checked: u64,
    pub(super) contents_corrupted: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    WarmUp,
    WithoutFault,
    WithFault,
}

/// The task that allocates the chunks.
pub(super) struct Experiment {
    faults: Faults,
    area: &'static CmaArea<'static>,
    chunk_pages: usize,
    cycles: u32,
    interval_us: u64,
    phase: Phase,
    /// Chunks of this half that were allocated or have failed.
    done: u32,
    failed: u32,
    /// The start of the next cycle; during the warm-up, the latest start of the first one.
    next_us: u64,
    last_cycle_us: u64,
    /// Completed races at the start of this half.
    races_before: u64,
    /// The start of the current cycle; `None` between cycles.
    trying_since_us: Option<u64>,
    chunks: Deque<PfnRange, CHUNKS>,
    /// The half without the mistake.
    pub(super) without_fault: Half,
    /// The half with the mistake.
    pub(super) with_fault: Half,
}

impl Half {
    /// Makes a last audit and collects the results of the half that ends now.
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
            last_cycle_us: 0,
            races_before: 0,
            trying_since_us: None,
            chunks: Deque::new(),
            without_fault: nothing,
            with_fault: nothing,
        }
    }

    fn is_warm(&self) -> bool {
        let used = self.area.range().len().saturating_sub(allocator().free_cma_count());
        used > self.area.range().len() / WARM || time::now_us() >= self.next_us
    }

    /// Tries to allocate the next chunk.
    fn cycle(&mut self) {
        let since = *self.trying_since_us.get_or_insert_with(time::now_us);
        let migrate = AuditingMigration::new();
        let taken = self.area.alloc(allocator(), self.chunk_pages, Order::ZERO, &migrate);
        drop(migrate);
        match taken {
            Ok(chunk) => self.keep(chunk),
            Err(_) if time::now_us() > since + RETRY_US => self.failed += 1,
            Err(_) => {
                page_cache::shrink(self.chunk_pages);
                return;
            }
        }
        self.trying_since_us = None;
        self.done += 1;
        self.last_cycle_us = time::now_us();
        self.report_progress();
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
            if let Err(error) = self.area.free(allocator(), chunk) {
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

    fn report_progress(&self) {
        // A part of one half, of both.
        let half = u64::from(self.phase == Phase::WithFault);
        let part = |done: u64, all: u64| (half * all + done.min(all), 2 * all);
        let (done, cycles) = (u64::from(self.done), u64::from(self.cycles));
        let races = race::completed().saturating_sub(self.races_before);
        let parts = match self.phase {
            Phase::WarmUp => [(0, 1); 2],
            Phase::WithoutFault | Phase::WithFault => [part(done, cycles), part(races, RACES)],
        };
        let with = if self.phase == Phase::WithFault { "with" } else { "without" };
        if self.phase == Phase::WarmUp {
            report::progress(&parts, format_args!("waiting until jobs use a third of the CMA area"));
        } else if done < cycles {
            report::progress(
                &parts,
                format_args!("{done} of {cycles} contiguous allocations {with} the fault"),
            );
        } else {
            report::progress(
                &parts,
                format_args!("{races} of {RACES} forced races of each kind {with} the fault"),
            );
        }
    }

    /// Begins the next half, or ends the run.
    fn next_phase(&mut self) -> Progress {
        match self.phase {
            Phase::WarmUp => {
                self.phase = Phase::WithoutFault;
                MEASURING.store(true, Ordering::Release);
            }
            Phase::WithoutFault => {
                self.release_all();
                self.without_fault = Half::end(mem::take(&mut self.failed));
                audit_log::reset_for_mistakes();
                allocator().set_faults(self.faults);
                self.phase = Phase::WithFault;
            }
            Phase::WithFault => {
                self.release_all();
                self.with_fault = Half::end(mem::take(&mut self.failed));
                allocator().set_faults(Faults::empty());
                race::uninstall();
                OVER.store(true, Ordering::Release);
                Job::stop_all();
                return Progress::Done;
            }
        }
        self.done = 0;
        self.races_before = race::completed();
        self.next_us = time::now_us();
        Progress::Again
    }
}

impl Task for Experiment {
    fn step(&mut self) -> Progress {
        let now = time::now_us();
        let waits = match self.phase {
            Phase::WarmUp => !self.is_warm(),
            Phase::WithoutFault | Phase::WithFault if self.done < self.cycles => {
                if self.trying_since_us.is_some() {
                    self.cycle();
                } else if now >= self.next_us {
                    self.next_us = (self.next_us + self.interval_us).max(now);
                    self.cycle();
                }
                return Progress::Again;
            }
            Phase::WithoutFault | Phase::WithFault => {
                race::completed() < self.races_before + RACES && now < self.last_cycle_us + OVERTIME_US
            }
        };
        if !waits {
            return self.next_phase();
        }
        self.report_progress();
        Progress::Again
    }
}
