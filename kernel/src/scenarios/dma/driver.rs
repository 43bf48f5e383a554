//! The driver: allocates buffers, has the disk read and write them, and gives them back.
//!
//! It is a task like the jobs, so that its steps are on any CPU. A batch of requests is in flight
//! from one step to another while jobs run and pages migrate. Each request of a batch has a part of
//! the buffer and a part of the disk for itself, because requests that are in flight together have
//! no order. The frames of a buffer in flight do not move, because nothing migrates a contiguous
//! allocation, and they are pinned; in some batches the driver tries to isolate them and to free
//! them, which must be refused.

use core::fmt;

use heapless::{Deque, String};
use pageblock::{CmaArea, FreeError, IsolateError, Obstacle, PAGE_SIZE, Pfn, PfnRange};
use pageblock_protocol::{BootConfig, Value, stat};
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::devices::disk::{DEPTH, Disk, Transfer};
use crate::jobs::{Job, Progress, Task, page_cache};
use crate::memory::allocator;
use crate::scenarios::audit_log;
use crate::scenarios::dma::buffer::{self, KINDS, Kind, Refusal};
use crate::scenarios::dma::disk_pages;
use crate::scenarios::latency::Latency;
use crate::scenarios::refusals::Refusals;
use crate::sync::Lock;
use crate::{report, time};

/// Buffers that the driver holds at a time, and requests for each before it is given back.
const HELD: usize = 24;
const REQUESTS: u32 = 60;
/// The most pages of a request.
const MOST: u64 = 16;
/// Batches in one step, unless one is left in flight.
const BATCHES: u32 = 24;
/// One in this many batches is left in flight until another step, and of one in this many of those
/// the driver tries to take the frames, which must be refused.
const LEAVE_EVERY: u64 = 16;
const TAKE_EVERY: u64 = 4;
/// How long a step waits for a batch, and how long the disk may take.
const SPIN_US: u64 = 2_000;
const PATIENCE_US: u64 = 30_000_000;
/// The driver waits until the jobs use a quarter of the area, but no longer than this.
const WARM_UP_US: u64 = 10_000_000;

/// The durations of allocations: of each kind, and of all.
static LATENCY: [Lock<Latency>; KINDS + 1] = [const { Lock::new(Latency::new()) }; KINDS + 1];

/// The durations of all allocations of a buffer.
pub(super) fn latency() -> &'static Lock<Latency> {
    &LATENCY[KINDS]
}

/// The results.
#[derive(Default)]
pub(super) struct Outcome {
    pub(super) requests: u64,
    pub(super) bytes: u64,
    pub(super) buffers: u64,
    pub(super) refusals: Refusals,
    /// Attempts to isolate frames of a buffer in flight, all of which were refused.
    pub(super) isolations_refused: u64,
    /// The first that did not hold.
    pub(super) broken: Option<String<200>>,
}

/// The results of one kind.
#[derive(Clone, Copy, Default)]
struct OfKind {
    buffers: u64,
    requests: u64,
    refusals: u64,
    last: Option<Refusal>,
}

/// A buffer that was lent.
#[derive(Clone, Copy, Debug)]
struct Lent {
    kind: usize,
    frames: PfnRange,
    left: u32,
}

/// A request of the batch in flight: its frames, and its first page of the disk.
#[derive(Clone, Copy, Debug)]
struct Request {
    transfer: Transfer,
    page: u64,
    frames: PfnRange,
}

/// The task.
pub(super) struct Driver {
    disk: Disk,
    /// The pages of the disk that are used.
    pages: u64,
    area: &'static CmaArea<'static>,
    kinds: [Kind; KINDS],
    of_kind: [OfKind; KINDS],
    seed: u64,
    rng: SmallRng,
    wanted: u64,
    warm_by_us: Option<u64>,
    held: Deque<Lent, HELD>,
    batch: [Option<Request>; DEPTH],
    batches: u64,
    started_us: u64,
    outcome: Outcome,
}

impl Driver {
    pub(super) fn new(config: &BootConfig<'_>, area: &'static CmaArea<'static>, disk: Disk) -> Self {
        Self {
            pages: disk.pages().min(disk_pages::MAX_PAGES),
            disk,
            area,
            kinds: Kind::all(area.range(), u64::from(config.chunk_mib) << 20),
            of_kind: [OfKind::default(); KINDS],
            seed: config.seed,
            rng: SmallRng::seed_from_u64(config.seed),
            wanted: u64::from(config.cycles) * 1000,
            warm_by_us: Some(time::now_us() + WARM_UP_US),
            held: Deque::new(),
            batch: [None; DEPTH],
            batches: 0,
            started_us: 0,
            outcome: Outcome::default(),
        }
    }

    pub(super) fn into_outcome(self) -> Outcome {
        self.outcome
    }

    /// Reports a row for each kind of device, and for each refusal.
    pub(super) fn report(&self) {
        for (number, (kind, of)) in self.kinds.iter().zip(&self.of_kind).enumerate() {
            let latency = LATENCY[number].lock();
            let count = |value: u64| Value::Integer(value.cast_signed());
            let mut last: String<96> = String::new();
            match of.last {
                // An error means that the text was truncated.
                Some(refusal) => drop(fmt::write(&mut last, format_args!("{refusal}"))),
                None => drop(last.push('-')),
            }
            let last: String<96> = last.chars().map(|c| if c == ' ' { '_' } else { c }).collect();
            report::row(
                kind.name,
                [
                    ("buffers", count(of.buffers)),
                    ("requests", count(of.requests)),
                    ("p50_us", count(latency.percentile(50))),
                    ("max_us", count(latency.max())),
                    ("refusals", count(of.refusals)),
                    ("last_in_the_way", Value::Word(&last)),
                ],
            );
        }
        self.outcome.refusals.report();
    }

    /// Allocates one more buffer. Whether there is one.
    fn lend(&mut self) -> bool {
        let kind = self.rng.random_range(0..KINDS);
        let bytes = self.kinds[kind].size(&mut self.rng);
        let since = time::now_us();
        let taken = self.kinds[kind].alloc(self.area, bytes);
        let took = time::now_us() - since;
        match taken {
            Ok(frames) => {
                LATENCY[kind].lock().record(took);
                latency().lock().record(took);
                self.of_kind[kind].buffers += 1;
                self.outcome.buffers += 1;
                // There is room: `step` asks for no more than are held.
                let _ = self.held.push_back(Lent { kind, frames, left: REQUESTS });
                true
            }
            Err(refusal) => {
                self.of_kind[kind].refusals += 1;
                self.of_kind[kind].last = Some(refusal);
                self.outcome.refusals.add(refusal.pfn, refusal.reason);
                let name = self.kinds[kind].name;
                log::info!("no buffer of {bytes} bytes for {name}: {refusal}");
                page_cache::shrink((bytes / PAGE_SIZE) as usize);
                false
            }
        }
    }

    /// Starts a batch with the buffer that is used next.
    fn start(&mut self) {
        let Some(lent) = self.held.front().copied() else { return };
        self.set_pinned(lent.frames, true);
        let part = (lent.frames.len() / DEPTH) as u64;
        let of_disk = self.pages / DEPTH as u64;
        for place in 0..DEPTH {
            let pages = self.rng.random_range(1..=part.min(MOST));
            let offset = place as u64 * part + self.rng.random_range(0..=part - pages);
            let page = place as u64 * of_disk + self.rng.random_range(0..=of_disk - pages);
            let first = Pfn::new(lent.frames.start().number() + offset as usize);
            let frames = PfnRange::with_len(first, pages as usize);
            let transfer = if self.rng.random_bool(0.5) { Transfer::Read } else { Transfer::Write };
            if transfer == Transfer::Write {
                disk_pages::fill(self.seed, page, frames);
            }
            if let Err(error) = self.disk.start(place, transfer, page, frames) {
                self.broken(format_args!("{transfer:?} of {frames}: {error}"));
                continue;
            }
            self.batch[place] = Some(Request { transfer, page, frames });
        }
        self.batches += 1;
        self.started_us = time::now_us();
    }

    fn is_in_flight(&self) -> bool {
        self.batch.iter().any(Option::is_some)
    }

    /// Checks the requests that have ended. Whether all have.
    fn finish(&mut self) -> bool {
        while let Some((place, ended)) = self.disk.poll() {
            let Some(Request { transfer, page, frames }) = self.batch[place].take() else { continue };
            if let Err(error) = ended {
                self.broken(format_args!("{transfer:?} of {frames}: {error}"));
            }
            // Of what was written, too: the device must have left it alone.
            if let Some(pfn) = disk_pages::check(self.seed, page, frames) {
                self.broken(format_args!(
                    "{transfer:?}: {pfn} is not page {page} of the disk or one after it"
                ));
            }
            self.outcome.requests += 1;
            self.outcome.bytes += frames.len() as u64 * PAGE_SIZE;
            if let Some(lent) = self.held.front() {
                self.of_kind[lent.kind].requests += 1;
            }
        }
        if self.is_in_flight() {
            let waits = time::now_us() - self.started_us;
            assert!(waits < PATIENCE_US, "the disk has not ended a request for {waits} us");
            return false;
        }
        // The next buffer's turn; or the end of this one.
        if let Some(mut lent) = self.held.pop_front() {
            self.set_pinned(lent.frames, false);
            lent.left = lent.left.saturating_sub(DEPTH as u32);
            if lent.left == 0 {
                buffer::free(self.area, lent.frames);
                audit_log::audit();
            } else {
                let _ = self.held.push_back(lent);
            }
        }
        true
    }

    fn set_pinned(&mut self, frames: PfnRange, pinned: bool) {
        let set = if pinned { allocator().pin_range(frames) } else { allocator().unpin_range(frames) };
        if let Err(error) = set {
            self.broken(format_args!("pinning the buffer {frames} ({pinned}): {error}"));
        }
    }

    /// Tries to isolate a frame of a request in flight, and to free the buffer. Both must be
    /// refused, with that frame and with the first of the buffer.
    fn try_to_take(&mut self) {
        if let Some(Lent { frames, .. }) = self.held.front().copied() {
            match buffer::try_free(self.area, frames) {
                Err(FreeError::Pinned { pfn }) if pfn == frames.start() => {}
                other => self.broken(format_args!("free of {frames}, which is in flight: {other:?}")),
            }
        }
        let Some(Request { frames, .. }) = self.batch.iter().flatten().next().copied() else { return };
        let range = PfnRange::with_len(frames.start(), 1);
        match allocator().isolate(range) {
            Err(IsolateError::Unmovable { pfn, reason: Obstacle::Pinned }) if pfn == frames.start() => {
                self.outcome.isolations_refused += 1;
            }
            // Another call isolates frames around it.
            Err(IsolateError::Overlap { .. }) => {}
            other => self.broken(format_args!("isolation of {range}, which is in flight: {other:?}")),
        }
    }

    fn broken(&mut self, text: fmt::Arguments<'_>) {
        log::error!("{text}");
        self.outcome.broken.get_or_insert_with(|| {
            let mut first = String::new();
            // An error means that the text was truncated.
            let _ = fmt::write(&mut first, text);
            first
        });
    }

    /// Whether the jobs use the area, or the time to wait for them is over.
    fn is_warm(&mut self) -> bool {
        if let Some(by) = self.warm_by_us {
            let pages = self.area.range().len();
            if time::now_us() < by && allocator().free_cma_count() > pages / 4 * 3 {
                return false;
            }
            self.warm_by_us = None;
        }
        true
    }

    fn report_progress(&self) {
        if report::is_progress_due() {
            let Outcome { requests, bytes, refusals, .. } = &self.outcome;
            let label = format_args!("{requests} of {} requests", self.wanted);
            report::progress(&[(*requests, self.wanted)], label);
            report::stats([
                (stat::REQUESTS, *requests),
                (stat::BYTES, *bytes),
                (stat::BUFFERS_REFUSED, refusals.all()),
            ]);
        }
    }
}

impl Task for Driver {
    fn step(&mut self) -> Progress {
        self.report_progress();
        if !self.is_warm() {
            return Progress::Again;
        }
        if self.is_in_flight() && !self.finish() {
            return Progress::Again;
        }
        if self.outcome.requests >= self.wanted || self.outcome.broken.is_some() {
            while let Some(lent) = self.held.pop_front() {
                buffer::free(self.area, lent.frames);
            }
            Job::stop_all();
            return Progress::Done;
        }
        if self.held.len() < HELD && !self.lend() && self.held.is_empty() {
            return Progress::Again;
        }
        for _ in 0..BATCHES {
            if self.held.is_empty() {
                break;
            }
            self.start();
            if self.batches.is_multiple_of(LEAVE_EVERY) {
                if self.batches.is_multiple_of(LEAVE_EVERY * TAKE_EVERY) {
                    self.try_to_take();
                }
                return Progress::Again;
            }
            let until = time::now_us() + SPIN_US;
            while !self.finish() {
                if time::now_us() > until {
                    return Progress::Again;
                }
                core::hint::spin_loop();
            }
        }
        Progress::Again
    }
}
