//! A task that allocates contiguous and exact ranges, and frees them whole or in parts.

use heapless::Deque;
use pageblock::{AllocRequest, ContigOptions, ContigPlace, Order, Pfn, PfnRange};
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::jobs::{Progress, Task};
use crate::memory::allocator;
use crate::scenarios::frames::{check, fill};
use crate::scenarios::soak::counts;
use crate::scenarios::soak::driver::{is_quiet, is_stopping};
use crate::scenarios::soak::owners::Owners;

/// The most ranges at a time.
const HELD: usize = 12;
/// One in this many frames of a range is filled and checked.
const SAMPLE: usize = 4;

/// The task.
pub(super) struct Ranges {
    rng: SmallRng,
    held: Deque<PfnRange, HELD>,
}

fn sample(range: PfnRange) -> impl Iterator<Item = Pfn> {
    range.iter().step_by(SAMPLE)
}

impl Ranges {
    pub(super) fn new(seed: u64) -> Self {
        Self { rng: SmallRng::seed_from_u64(seed ^ 0x1 << 48), held: Deque::new() }
    }

    fn allocate(&mut self) -> Option<PfnRange> {
        if self.rng.random_ratio(1, 2) {
            let pages = self.rng.random_range(1..=700);
            return allocator()
                .alloc_exact(pages, AllocRequest::unmovable())
                .ok()
                .map(|exact| exact.into_raw());
        }
        let pages = match self.rng.random_range(0..4) {
            0 => self.rng.random_range(1..=8),
            1 => self.rng.random_range(512..=2048),
            _ => self.rng.random_range(1..=1024),
        };
        let place = ContigPlace::anywhere().aligned(Order::new(self.rng.random_range(0..=6)));
        let owners = Owners::new();
        let taken =
            allocator().alloc_contig_pages(pages, place, &owners, ContigOptions::default().attempts(2));
        taken.ok().map(|range| range.into_raw())
    }

    fn free(&mut self, range: PfnRange) {
        check(sample(range));
        let free = |part: PfnRange| {
            if let Err(error) = allocator().free_range(part) {
                panic!("freeing {part} of {range}: {error}");
            }
            counts::RANGES.add(1);
        };
        if range.len() > 1 && self.rng.random_ratio(1, 2) {
            let first = self.rng.random_range(1..range.len());
            let middle = Pfn::new(range.start().number() + first);
            free(PfnRange::new(middle, range.end()));
            free(PfnRange::new(range.start(), middle));
        } else {
            free(range);
        }
    }
}

impl Task for Ranges {
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
        } else if let Some(range) = self.allocate() {
            fill(sample(range));
            counts::RANGES.add(1);
            self.held.push_back(range).expect("it is not full");
        }
        Progress::Again
    }
}
