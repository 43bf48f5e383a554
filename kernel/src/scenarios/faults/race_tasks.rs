//! The two tasks that race: one isolates ranges, the other one frees and allocates in them.
//!
//! The historical mistakes show only with isolations that end while pages are in use, two
//! isolations in one pageblock, blocks of pageblock size and larger that are split and merged at
//! the border of an isolation, and frees in the middle of an isolation. [`race`] makes the two
//! tasks meet.

use heapless::Vec;
use pageblock::{AllocRequest, Geometry, Order, Pfn, PfnRange, X86_64};
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::jobs::{Progress, Task};
use crate::memory::allocator;
use crate::scenarios::audit_log;
use crate::scenarios::faults::experiment;
use crate::scenarios::faults::race::{self, Race};
use crate::space::pages;

/// The longest range that is isolated at once: 16 MiB.
const LONGEST: usize = 4096;

/// Isolates two adjacent ranges and undoes that, as hot-remove does at an unmovable page.
pub(super) struct IsolationTask {
    rng: SmallRng,
    area: PfnRange,
}

impl IsolationTask {
    /// A task that isolates ranges in `area`, and those of the races.
    pub(super) fn new(seed: u64, area: PfnRange) -> Self {
        Self { rng: SmallRng::seed_from_u64(seed), area }
    }

    /// A range of random length and alignment.
    fn random_range(&mut self) -> PfnRange {
        let len = self.rng.random_range(2..=LONGEST.min(self.area.len()));
        let start = self.area.start().number() + self.rng.random_range(0..=self.area.len() - len);
        PfnRange::with_len(Pfn::new(start), len)
    }

    /// Cuts `range` in two at a random frame, so that both parts mostly share a pageblock.
    fn cut(&mut self, range: PfnRange) -> [PfnRange; 2] {
        let cut = Pfn::new(range.start().number() + self.rng.random_range(1..range.len()));
        [PfnRange::new(range.start(), cut), PfnRange::new(cut, range.end())]
    }
}

impl Task for IsolationTask {
    fn step(&mut self) -> Progress {
        if experiment::is_over() {
            return Progress::Done;
        }
        if !experiment::is_measuring() {
            return Progress::Again;
        }
        // This fails if another task has isolated a part of the range, or a part is not movable.
        let isolate = |range| allocator().isolate(range).ok();
        race::run_isolation_side(isolate);
        let range = self.random_range();
        let isolated = self.cut(range).map(isolate);
        audit_log::audit();
        drop(isolated);
        audit_log::audit();
        Progress::Again
    }
}

/// Frees and allocates movable blocks in a range while the other task isolates it.
pub(super) struct AllocationTask {
    turn: usize,
}

impl AllocationTask {
    /// The orders of the block whose first half is freed before the race, and the second half in
    /// it. The halves are too large for the pcplists, and too large for other tasks to allocate the
    /// first one at once.
    const WHOLE: [Order; 2] = [Order::new(8), Order::new(5)];
    /// The most large blocks that are allocated in search of one in the range.
    const LARGE_BLOCKS: usize = 64;

    pub(super) const fn new() -> Self {
        Self { turn: 0 }
    }

    /// Frees the second half of a block.
    fn free(race: Race) {
        let mut requests = Self::WHOLE.into_iter().map(|order| AllocRequest::movable().order(order));
        let Some(block) = requests.find_map(|request| allocator().alloc(request).ok()) else { return };
        let Ok((first, second)) = block.split() else { return };
        drop(first);
        let range = second.range();
        race::run_allocation_side(race, range, || drop(second));
    }

    /// Frees a block of two pageblocks, and allocates a part of it.
    fn allocate() {
        let [pageblock, largest] = [X86_64::PAGEBLOCK_ORDER, X86_64::MAX_ORDER];
        let Ok(pfn) = pages::allocate(AllocRequest::movable().order(largest)) else { return };
        pages::free(pfn, largest);
        let mut blocks = Vec::<_, { Self::LARGE_BLOCKS }>::new();
        let range = largest.block(pfn);
        race::run_allocation_side(Race::AllocDuringUndo, range, || {
            while let Ok(pfn) = pages::allocate(AllocRequest::movable().order(pageblock)) {
                blocks.push(pfn).expect("room for one more");
                if range.contains(pfn) || blocks.is_full() {
                    break;
                }
            }
        });
        for pfn in blocks {
            pages::free(pfn, pageblock);
        }
    }
}

impl Task for AllocationTask {
    fn step(&mut self) -> Progress {
        if experiment::is_over() {
            return Progress::Done;
        }
        if !experiment::is_measuring() {
            return Progress::Again;
        }
        self.turn = (self.turn + 1) % Race::ALL.len();
        match Race::ALL[self.turn] {
            Race::AllocDuringUndo => Self::allocate(),
            race => Self::free(race),
        }
        Progress::Again
    }
}
