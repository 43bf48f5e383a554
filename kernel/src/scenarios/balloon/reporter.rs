//! The task that reports free memory to the host.
//!
//! As in Linux, the first free after a round of reports sets the time of the next round, and a
//! round reports all free blocks that have not been reported. A batch takes two steps: it is handed
//! over in the first, and the host is told of it in the second. Other CPUs allocate meanwhile.

use heapless::Vec;
use pageblock::{PfnRange, ReportBatch, ReportOptions};
use virtio_drivers::Error;
use x86_64::instructions::hlt;

use crate::devices::balloon::{BLOCKS, Balloon};
use crate::jobs::{Progress, Task};
use crate::memory::allocator;
use crate::memory::platform::ThisMachine;
use crate::scenarios::balloon::demand;
use crate::scenarios::balloon::witness::Witness;
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
    /// A round, which began then.
    Round { since_us: u64, pages: usize },
}

/// The task that reports free memory.
pub(super) struct Reporter {
    balloon: Balloon,
    delay_us: u64,
    phase: Phase,
    out: Option<(ReportBatch<'static, 'static, ThisMachine>, Vec<PfnRange, BLOCKS>)>,
    /// Uses memory while a batch is out that is as large as a batch can be. What it frees is
    /// reported later: if it did so during each batch, a round would have no end.
    pub(super) witness: Witness,
    /// The round with the most pages.
    pub(super) largest: Round,
    pub(super) error: Option<Error>,
}

impl Reporter {
    pub(super) fn new(balloon: Balloon, delay_us: u64) -> Self {
        let phase = Phase::Idle { frees: pages::frees() };
        Self {
            balloon,
            delay_us,
            phase,
            out: None,
            witness: Witness::default(),
            largest: Round::default(),
            error: None,
        }
    }

    /// Hands a batch over, or tells the host of it. Returns false if there is nothing to report.
    fn report(&mut self, pages: &mut usize) -> bool {
        if let Some((batch, blocks)) = self.out.take() {
            match self.balloon.report(&blocks) {
                Ok(()) => {
                    batch.acknowledged();
                    *pages += blocks.iter().map(|block| block.len()).sum::<usize>();
                }
                // The host may still discard the blocks, so that they stay out.
                Err(error) => self.error = Some(error),
            }
            self.witness.check_and_free();
            return self.error.is_none();
        }
        let options = ReportOptions::default().blocks(BLOCKS);
        let Ok(Some(mut batch)) = allocator().report_free_pages(options) else {
            return false;
        };
        let mut blocks = Vec::new();
        while !blocks.is_full()
            && let Some(block) = batch.hand_over()
        {
            let _pushed = blocks.push(block);
        }
        if let Some(last) = blocks.last().filter(|_| blocks.is_full()) {
            self.witness.allocate(*last);
        }
        self.out = Some((batch, blocks));
        true
    }
}

impl Task for Reporter {
    fn step(&mut self) -> Progress {
        if self.out.is_none() && (demand::is_over() || self.error.is_some()) {
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
            Phase::Delay { .. } => Phase::Round { since_us: time::now_us(), pages: 0 },
            Phase::Round { since_us, mut pages } => {
                let frees = pages::frees();
                let more = self.report(&mut pages);
                if pages > self.largest.pages {
                    self.largest = Round { pages, us: time::now_us() - since_us };
                }
                // With a mistake in the allocator the same blocks may come again and again.
                let all = allocator().managed_count();
                if more && pages <= all { Phase::Round { since_us, pages } } else { Phase::Idle { frees } }
            }
        };
        Progress::Again
    }
}
