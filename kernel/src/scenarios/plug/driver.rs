//! The driver: follows the size that the host requests, while the jobs run.
//!
//! It is a task like the jobs. A step plugs or unplugs a few blocks. A block whose pages do not
//! migrate is refused, and tried again after all others, in a bounded number of passes. When the
//! size is the requested one, or the passes are over, the driver reports what is plugged. Then the
//! host compares that with its own size, and requests another one.

use core::cmp::Ordering;

use pageblock_protocol::config::{DIMM_CHANGES, DimmChange};
use pageblock_protocol::{Line, stat};

use crate::devices::dimm_slots::{self, Event};
use crate::jobs::{Job, Progress, Task};
use crate::memory::allocator;
use crate::scenarios::plug::agreement;
use crate::scenarios::plug::dimm::Dimm;
use crate::scenarios::plug::outcome::Outcome;
use crate::scenarios::plug::pin::Pin;
use crate::scenarios::plug::window::{BLOCK, BLOCK_MIB, Step, Window};
use crate::{report, time};

/// Blocks that one step plugs or unplugs.
const BLOCKS_OF_A_STEP: usize = 8;
/// How often every block is tried for one size.
const PASSES: u32 = 3;
/// The longest wait until the jobs use their memory.
const WARM_UP_US: u64 = 10_000_000;
/// The longest wait for the host, beside the interval between two sizes.
const HOST_US: u64 = 60_000_000;
/// What the driver does now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// The jobs begin to use memory.
    WarmUp,
    /// The size is as reported. The host has not requested another one.
    Settled,
    /// The size changes, in that pass over all blocks.
    Follow { blocks: usize, pass: u32 },
    /// The DIMM is being removed, in that pass over all blocks.
    Remove { pass: u32 },
}

/// The task that follows the requested size.
pub(super) struct Driver {
    pub(super) window: Window,
    pub(super) outcome: Outcome,
    resizes: u32,
    /// The pages that the allocator manages beside the window.
    managed: usize,
    /// The warm-up ends when fewer pages than this are free.
    warm_below: usize,
    interval_us: u64,
    since_us: u64,
    phase: Phase,
    /// The size that was requested last, in bytes.
    requested: u64,
    dimm: Option<Dimm>,
    pin: Option<Pin>,
}

impl Driver {
    pub(super) fn new(window: Window, resizes: u32, warm_below: usize, interval_us: u64) -> Self {
        Self {
            window,
            outcome: Outcome::default(),
            resizes,
            managed: allocator().managed_count(),
            warm_below,
            interval_us,
            since_us: time::now_us(),
            phase: Phase::WarmUp,
            requested: 0,
            dimm: None,
            pin: None,
        }
    }

    /// The changes by DIMMs that were reported.
    fn dimm_changes(&self) -> u32 {
        self.outcome.dimms_inserted + self.outcome.dimms_refused + self.outcome.dimms_removed
    }

    /// All changes that were reported: sizes, and then those by DIMMs.
    fn changes(&self) -> u32 {
        self.outcome.resizes + self.dimm_changes()
    }

    /// The number of changes that the host makes.
    fn all_changes(&self) -> u32 {
        self.resizes + DIMM_CHANGES.len() as u32
    }

    fn is_over(&self) -> bool {
        self.changes() == self.all_changes()
    }

    /// Whether the host requests another size than the last one: after all changes, a sign that it
    /// has compared what was reported.
    fn has_other_request(&self) -> bool {
        self.window.device().config().is_ok_and(|config| config.requested != self.requested)
    }

    /// The pages of the DIMM.
    fn dimm_pages(&self) -> usize {
        self.dimm.as_ref().map_or(0, |dimm| dimm.frames().len())
    }

    /// Handles what the host has done to a DIMM.
    fn look_for_dimm(&mut self) {
        let refuses =
            matches!(DIMM_CHANGES.get(self.dimm_changes() as usize), Some((_, DimmChange::Refused)));
        match (dimm_slots::next_event(), &mut self.dimm) {
            (None, _) => {}
            (Some((slot, Event::Inserted(frames))), None) => match Dimm::insert(slot, frames) {
                Ok(dimm) => {
                    self.dimm = Some(dimm);
                    self.outcome.dimms_inserted += 1;
                    self.check();
                    self.wait_for_host();
                }
                Err(failed) => self.outcome.broken(format_args!("the DIMM at {}: {failed}", failed.pfn())),
            },
            (Some((_, Event::Remove)), Some(dimm)) => {
                dimm.begin_pass();
                if refuses {
                    self.pin = Pin::within(dimm.frames());
                }
                self.phase = Phase::Remove { pass: 1 };
            }
            (Some((_, event)), _) => {
                self.outcome.broken(format_args!("there is one slot at a time: {event:?}"))
            }
        }
    }

    /// Takes a block of the DIMM offline, or begins another pass, or ends the removal.
    fn remove(&mut self, pass: u32) {
        let Some(dimm) = &mut self.dimm else { return };
        match dimm.remove_step() {
            Ok(Step::Waiting) => {}
            Ok(Step::Done) => {
                self.dimm = None;
                self.outcome.dimms_removed += 1;
                self.check();
                self.wait_for_host();
            }
            Ok(Step::Exhausted) if pass < PASSES => {
                dimm.begin_pass();
                self.phase = Phase::Remove { pass: pass + 1 };
            }
            Ok(Step::Exhausted) => {
                dimm.stay();
                if self.pin.take().is_none() {
                    self.outcome.broken(format_args!("the DIMM cannot be removed"));
                }
                self.outcome.dimms_refused += 1;
                self.check();
                self.wait_for_host();
            }
            Err(failed) => self.outcome.refusals.add(failed.pfn(), &failed),
        }
    }

    /// Begins to follow a size that differs from the last one.
    fn look_for_request(&mut self) {
        let config = match self.window.device().config() {
            Ok(config) => config,
            Err(error) => return self.outcome.broken(format_args!("the configuration: {error}")),
        };
        if config.requested == self.requested {
            return;
        }
        self.requested = config.requested;
        self.window.begin_pass();
        if config.requested == 0 && self.outcome.pin_was_named.is_none() {
            self.pin = Pin::within(self.window.frames());
            self.outcome.pin_was_named = self.pin.as_ref().map(|_| false);
        }
        self.phase = Phase::Follow { blocks: (config.requested / (BLOCK as u64 * 4096)) as usize, pass: 1 };
    }

    /// Plugs or unplugs a block, or begins another pass, or ends the phase.
    fn follow(&mut self, blocks: usize, pass: u32) {
        let (plugged, started) = (self.window.plugged(), time::now_us());
        let result = match plugged.cmp(&blocks) {
            Ordering::Less => self.window.plug_one(),
            Ordering::Greater => self.window.unplug_one(),
            Ordering::Equal => return self.settle(blocks),
        };
        match result {
            Ok(Step::Done) if plugged < blocks => self.outcome.blocks_plugged += 1,
            Ok(Step::Done) => {
                self.outcome.blocks_unplugged += 1;
                self.outcome.latency.record(time::now_us() - started);
            }
            Ok(Step::Waiting) => {}
            Ok(Step::Exhausted) => self.next_pass(blocks, pass),
            Err(failed) => {
                self.outcome.refusals.add(failed.pfn(), &failed);
                if self.pin.as_ref().is_some_and(|pin| pin.pfn() == failed.pfn()) {
                    self.outcome.pin_was_named = Some(true);
                }
                if plugged < blocks {
                    // The next one would fail as well.
                    self.next_pass(blocks, pass);
                }
            }
        }
        self.outcome.most = self.outcome.most.max(self.window.plugged());
    }

    fn next_pass(&mut self, blocks: usize, pass: u32) {
        self.pin = None;
        if pass == PASSES {
            return self.settle(blocks);
        }
        self.window.begin_pass();
        self.phase = Phase::Follow { blocks, pass: pass + 1 };
    }

    /// Checks and reports what is plugged.
    fn settle(&mut self, blocks: usize) {
        self.pin = None;
        self.outcome.resizes += 1;
        self.outcome.short_resizes += u32::from(self.window.plugged() != blocks);
        self.check();
        self.wait_for_host();
    }

    /// Reports what is plugged, and waits until the host requests another size.
    fn wait_for_host(&mut self) {
        self.report();
        self.phase = Phase::Settled;
        self.since_us = time::now_us();
    }

    fn check(&mut self) {
        let beside = self.managed + self.dimm_pages().saturating_sub(BLOCK);
        agreement::check(&mut self.outcome, &mut self.window, beside);
    }

    fn report(&self) {
        report::stats([
            (stat::RESIZES, self.outcome.resizes.into()),
            (stat::PLUGGED_MAX_MIB, self.outcome.most as u64 * BLOCK_MIB),
        ]);
        let record_blocks = self.window.record_blocks() + usize::from(self.dimm.is_some());
        report::line(Line::Resized {
            number: self.changes(),
            plugged_mib: (self.window.plugged() + self.dimm_pages() / BLOCK) as u64 * BLOCK_MIB,
            managed_pages: (allocator().managed_count() - self.managed) as u64,
            record_pages: (record_blocks * BLOCK) as u64,
        });
    }

    fn report_progress(&self) {
        let part = (u64::from(self.changes()), u64::from(self.all_changes()));
        let mib = (self.window.plugged() + self.dimm_pages() / BLOCK) as u64 * BLOCK_MIB;
        report::progress(&[part], format_args!("size {} of {}, {mib} MiB are plugged", part.0, part.1));
    }
}

impl Task for Driver {
    fn step(&mut self) -> Progress {
        self.report_progress();
        match self.phase {
            Phase::WarmUp => {
                if allocator().free_count() < self.warm_below || time::now_us() >= self.since_us + WARM_UP_US
                {
                    self.wait_for_host();
                }
            }
            Phase::Settled if self.is_over() && self.has_other_request() => {
                Job::stop_all();
                return Progress::Done;
            }
            Phase::Settled if time::now_us() >= self.since_us + self.interval_us + HOST_US => {
                self.outcome.broken(format_args!("the host requests no other size"));
                Job::stop_all();
                return Progress::Done;
            }
            Phase::Settled if self.is_over() => {}
            Phase::Settled if self.outcome.resizes == self.resizes => self.look_for_dimm(),
            Phase::Settled => self.look_for_request(),
            Phase::Remove { .. } => {
                for _ in 0..BLOCKS_OF_A_STEP {
                    let Phase::Remove { pass } = self.phase else { break };
                    self.remove(pass);
                }
            }
            Phase::Follow { .. } => {
                for _ in 0..BLOCKS_OF_A_STEP {
                    let Phase::Follow { blocks, pass } = self.phase else { break };
                    self.follow(blocks, pass);
                }
            }
        }
        Progress::Again
    }
}
