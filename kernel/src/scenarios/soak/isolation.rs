//! A task that isolates ranges of any length for a while.

use heapless::Deque;
use pageblock::{IsolatedRange, Pfn, PfnRange};
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::jobs::{Progress, Task};
use crate::memory::allocator;
use crate::memory::platform::ThisMachine;
use crate::scenarios::soak::counts;
use crate::scenarios::soak::driver::{is_quiet, is_stopping};

/// The most ranges at a time.
const HELD: usize = 3;
/// The most frames of a range.
const FRAMES: usize = 3000;

/// The task.
pub(super) struct Isolation {
    rng: SmallRng,
    held: Deque<IsolatedRange<'static, 'static, ThisMachine>, HELD>,
}

impl Isolation {
    pub(super) fn new(seed: u64) -> Self {
        Self { rng: SmallRng::seed_from_u64(seed ^ 0x4 << 48), held: Deque::new() }
    }

    fn isolate(&mut self) {
        let span = allocator().span();
        let start = self.rng.random_range(span.start().number()..span.end().number());
        let frames = self.rng.random_range(1..=FRAMES);
        let range = PfnRange::with_len(Pfn::new(start), frames);
        if let Ok(isolated) = allocator().isolate(range) {
            counts::ISOLATION.add(1);
            let full = self.held.push_back(isolated).is_err();
            assert!(!full, "it is not full");
        }
    }

    fn release(&mut self) {
        if let Some(mut isolated) = self.held.pop_front() {
            isolated.drain();
            // Whether all its frames are free does not matter here.
            let _ = isolated.test();
            drop(isolated);
            counts::ISOLATION.add(1);
        }
    }
}

impl Task for Isolation {
    fn step(&mut self) -> Progress {
        let stopping = is_stopping();
        if is_quiet() && !stopping {
            return Progress::Again;
        }
        if stopping && self.held.is_empty() {
            return Progress::Done;
        }
        if stopping || self.held.is_full() || self.rng.random_ratio(2, 5) {
            self.release();
        } else {
            self.isolate();
        }
        Progress::Again
    }
}
