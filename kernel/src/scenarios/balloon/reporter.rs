//! The task that reports free memory to the host.
//!
//! As in Linux, the first free after a round of reports sets the time of the next round, and a
//! round reports all free blocks that have not been reported. A batch takes two steps: it is handed
//! over in the first, and the host is told of it in the second. Other CPUs allocate meanwhile.

use x86_64::instructions::hlt;

use crate::jobs::{Progress, Task};
use crate::memory::allocator;
use crate::scenarios::balloon::witness::Witness;
use crate::scenarios::balloon::{demand, host};
use crate::space::pages;
use crate::time;

/// A round of reports.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Round {
    /// The pages that the host has acknowledged.
    pub(super) pages: usize,
    /// The time that it took.
    pub(super) us: u64,
}

enum Phase {
    /// Nothing has been freed since the last round, when there had been that many frees.
    Idle { frees: u64 },
    /// The next round begins then.
    Delay { until_us: u64 },
    /// A round, which began then, when the host had acknowledged that many pages.
    Round { since_us: u64, before: usize },
}

/// The task that reports free memory.
pub(super) struct Reporter {
    delay_us: u64,
    phase: Phase,
    is_out: bool,
    /// Uses memory while a batch is out that is as large as a batch can be. What it frees is
    /// reported later: if it did so during each batch, a round would have no end.
    pub(super) witness: Witness,
    /// The round with the most pages.
    pub(super) largest: Round,
}

impl Reporter {
    pub(super) fn new(delay_us: u64) -> Self {
        let phase = Phase::Idle { frees: pages::frees() };
        Self { delay_us, phase, is_out: false, witness: Witness::default(), largest: Round::default() }
    }

    /// Hands a batch over, or tells the host of it. Returns false if there is nothing to report.
    fn report(&mut self) -> bool {
        if self.is_out {
            // Unless a request has needed the memory, and has waited for the host.
            host::finish();
            self.witness.check_and_free();
            self.is_out = false;
            return !host::has_failed();
        }
        let Some((last, is_full)) = host::hand_over() else { return false };
        if is_full {
            self.witness.allocate(last);
        }
        self.is_out = true;
        true
    }
}

impl Task for Reporter {
    fn step(&mut self) -> Progress {
        if !self.is_out && (demand::is_over() || host::has_failed()) {
            return Progress::Done;
        }
        self.phase = match self.phase {
            Phase::Idle { frees } if pages::frees() == frees => {
                hlt();
                Phase::Idle { frees }
            }
            Phase::Idle { .. } => Phase::Delay { until_us: time::now_us() + self.delay_us },
            Phase::Delay { until_us } if time::now_us() < until_us => {
                hlt();
                Phase::Delay { until_us }
            }
            Phase::Delay { .. } => Phase::Round { since_us: time::now_us(), before: host::acknowledged() },
            Phase::Round { since_us, before } => {
                let frees = pages::frees();
                let more = self.report();
                let pages = host::acknowledged() - before;
                if pages > self.largest.pages {
                    self.largest = Round { pages, us: time::now_us() - since_us };
                }
                // With a mistake in the allocator the same blocks may come again and again.
                let all = allocator().managed_count();
                if more && pages <= all { Phase::Round { since_us, before } } else { Phase::Idle { frees } }
            }
        };
        Progress::Again
    }
}
