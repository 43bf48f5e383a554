//! A task that holds some ranges of frames, and frees each as a whole or in two parts.

use heapless::Deque;
use pageblock::{Pfn, PfnRange};
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::jobs::{Progress, Task};
use crate::scenarios::frames::{check, fill};
use crate::scenarios::soak::driver::{is_quiet, is_stopping};

/// One in this many frames of a range is filled and checked.
const SAMPLE: usize = 4;

/// Where the ranges come from.
pub(super) trait Source {
    /// One in this many ranges is freed in two parts.
    const SPLIT_ONE_IN: u32;
    /// Whether the upper part is freed first.
    const UPPER_FIRST: bool;

    fn allocate(&self, rng: &mut SmallRng) -> Option<PfnRange>;

    /// Frees a range, or a part of `whole`. It must succeed.
    fn free(&self, part: PfnRange, whole: PfnRange);

    /// Counts a range that was allocated or freed.
    fn count(&self);
}

/// The task, with at most `MOST` ranges at a time.
pub(super) struct Held<S, const MOST: usize> {
    source: S,
    rng: SmallRng,
    ranges: Deque<PfnRange, MOST>,
}

fn sample(range: PfnRange) -> impl Iterator<Item = Pfn> {
    range.iter().step_by(SAMPLE)
}

impl<S: Source, const MOST: usize> Held<S, MOST> {
    pub(super) fn new(source: S, seed: u64) -> Self {
        Self { source, rng: SmallRng::seed_from_u64(seed), ranges: Deque::new() }
    }

    fn free(&mut self, range: PfnRange) {
        check(sample(range));
        let free = |part: PfnRange| {
            self.source.free(part, range);
            self.source.count();
        };
        if range.len() > 1 && self.rng.random_ratio(1, S::SPLIT_ONE_IN) {
            let middle = Pfn::new(range.start().number() + self.rng.random_range(1..range.len()));
            let mut parts = [PfnRange::new(range.start(), middle), PfnRange::new(middle, range.end())];
            if S::UPPER_FIRST {
                parts.reverse();
            }
            parts.into_iter().for_each(free);
        } else {
            free(range);
        }
    }
}

impl<S: Source + Send, const MOST: usize> Task for Held<S, MOST> {
    fn step(&mut self) -> Progress {
        let stopping = is_stopping();
        if is_quiet() && !stopping {
            return Progress::Again;
        }
        if stopping || self.ranges.is_full() || self.rng.random_ratio(2, 5) {
            match self.ranges.pop_front() {
                Some(range) => self.free(range),
                None if stopping => return Progress::Done,
                None => {}
            }
        } else if let Some(range) = self.source.allocate(&mut self.rng) {
            fill(sample(range));
            self.source.count();
            self.ranges.push_back(range).expect("it is not full");
        }
        Progress::Again
    }
}
