//! A task that allocates ranges of the CMA area, and frees them whole or in parts.

use heapless::Deque;
use pageblock::{CmaArea, Order, Pfn, PfnRange};
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::jobs::{Progress, Task};
use crate::memory::allocator;
use crate::scenarios::frames::{check, fill};
use crate::scenarios::soak::counts;
use crate::scenarios::soak::driver::{is_quiet, is_stopping};
use crate::scenarios::soak::owners::Owners;

/// The most ranges at a time.
const HELD: usize = 8;
/// One in this many frames of a range is filled and checked.
const SAMPLE: usize = 4;

/// The task.
pub(super) struct Area {
    area: &'static CmaArea<'static>,
    rng: SmallRng,
    held: Deque<PfnRange, HELD>,
}

fn sample(range: PfnRange) -> impl Iterator<Item = Pfn> {
    range.iter().step_by(SAMPLE)
}

impl Area {
    pub(super) fn new(area: &'static CmaArea<'static>, seed: u64) -> Self {
        Self { area, rng: SmallRng::seed_from_u64(seed ^ 0x2 << 48), held: Deque::new() }
    }

    fn free(&mut self, range: PfnRange) {
        check(sample(range));
        let free = |part: PfnRange| {
            if let Err(error) = self.area.free(allocator(), part) {
                panic!("freeing {part} of {range} of the CMA area: {error}");
            }
            counts::CMA.add(1);
        };
        if range.len() > 1 && self.rng.random_ratio(1, 4) {
            let middle = Pfn::new(range.start().number() + self.rng.random_range(1..range.len()));
            free(PfnRange::new(range.start(), middle));
            free(PfnRange::new(middle, range.end()));
        } else {
            free(range);
        }
    }
}

impl Task for Area {
    fn step(&mut self) -> Progress {
        let stopping = is_stopping();
        if is_quiet() && !stopping {
            return Progress::Again;
        }
        if stopping || self.held.is_full() || self.rng.random_ratio(2, 5) {
            match self.held.pop_front() {
                Some(range) => self.free(range),
                None if stopping => return Progress::Done,
                None => {}
            }
            return Progress::Again;
        }
        let most = (self.area.range().len() / 8).max(1);
        let (pages, align) = (self.rng.random_range(1..=most), Order::new(self.rng.random_range(0..=4)));
        let owners = Owners::new();
        if let Ok(range) = self.area.alloc(allocator(), pages, align, &owners) {
            drop(owners);
            fill(sample(range));
            counts::CMA.add(1);
            self.held.push_back(range).expect("it is not full");
        }
        Progress::Again
    }
}
