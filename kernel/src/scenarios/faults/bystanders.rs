//! Who else isolates, and who frees there, while contiguous ranges are taken.
//!
//! The historical mistakes need company: isolations that end with pages still in use, two of them in
//! one pageblock, blocks of pageblock size and more that are split and put together at the edge of an
//! isolation, and frees at the wrong moment. Neighbours: [`meeting`] brings the two here together,
//! [`experiment`] says when it is over.

use heapless::Vec;
use pageblock::{AllocRequest, Geometry, Order, Pfn, PfnRange, X86_64};
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};

use super::experiment;
use super::meeting::{self, Meeting};
use crate::jobs::{Progress, Task};
use crate::memory::allocator;
use crate::scenarios::audit_log;
use crate::space::pages;

/// The longest range that is isolated at once: 16 MiB.
const LONGEST: usize = 4096;

/// Isolates two neighbouring ranges and lets go of them again, as memory hot-remove does that finds a
/// page in the way.
pub(super) struct Isolator {
    rng: SmallRng,
    area: PfnRange,
}

impl Isolator {
    /// Works in the area, and wherever the guest is.
    pub(super) fn new(seed: u64, area: PfnRange) -> Self {
        Self { rng: SmallRng::seed_from_u64(seed), area }
    }

    /// A range of any length and alignment.
    fn somewhere(&mut self) -> PfnRange {
        let len = self.rng.random_range(2..=LONGEST.min(self.area.len()));
        let start = self.area.start().number() + self.rng.random_range(0..=self.area.len() - len);
        PfnRange::with_len(Pfn::new(start), len)
    }

    /// Cut in two somewhere, so that the neighbours share a pageblock, mostly.
    fn cut(&mut self, range: PfnRange) -> [PfnRange; 2] {
        let cut = Pfn::new(range.start().number() + self.rng.random_range(1..range.len()));
        [PfnRange::new(range.start(), cut), PfnRange::new(cut, range.end())]
    }
}

impl Task for Isolator {
    fn step(&mut self) -> Progress {
        if experiment::is_over() {
            return Progress::Done;
        }
        if !experiment::is_measuring() {
            return Progress::Again;
        }
        // Somebody else may have isolated a part of it, or own it for good.
        let isolate = |range| allocator().isolate(range).ok();
        meeting::receive_guest(isolate);
        let somewhere = self.somewhere();
        let isolated = self.cut(somewhere).map(isolate);
        audit_log::audit();
        drop(isolated);
        audit_log::audit();
        Progress::Again
    }
}

/// Frees and allocates movable blocks where the isolator is at work, in the middle of its work.
pub(super) struct Guest {
    turn: usize,
}

impl Guest {
    /// Of the two halves of such a block one is freed before the meeting, the other one in it. Too large
    /// for pcplists, and for others to take the first half at once.
    const WHOLE: [Order; 2] = [Order::new(8), Order::new(5)];
    /// Large blocks that are taken at a time, if none of the first is of the place.
    const LARGE_BLOCKS: usize = 64;

    pub(super) const fn new() -> Self {
        Self { turn: 0 }
    }

    /// Frees the second half of a block.
    fn free(with: Meeting) {
        let mut requests = Self::WHOLE.into_iter().map(|order| AllocRequest::movable().order(order));
        let Some(block) = requests.find_map(|request| allocator().alloc(request).ok()) else { return };
        let Ok((first, second)) = block.split() else { return };
        drop(first);
        let place = second.frames();
        meeting::be_guest(with, place, || drop(second));
    }

    /// Makes a free block of two pageblocks, and takes a part of it.
    fn take() {
        let [pageblock, largest] = [X86_64::PAGEBLOCK_ORDER, X86_64::MAX_ORDER];
        let Ok(pfn) = pages::allocate(AllocRequest::movable().order(largest)) else { return };
        pages::free(pfn, largest);
        let mut blocks = Vec::<_, { Self::LARGE_BLOCKS }>::new();
        let place = largest.block(pfn);
        meeting::be_guest(Meeting::TakeWhileLettingGo, place, || {
            while let Ok(pfn) = pages::allocate(AllocRequest::movable().order(pageblock)) {
                blocks.push(pfn).expect("room for one more");
                if place.contains(pfn) || blocks.is_full() {
                    break;
                }
            }
        });
        for pfn in blocks {
            pages::free(pfn, pageblock);
        }
    }
}

impl Task for Guest {
    fn step(&mut self) -> Progress {
        if experiment::is_over() {
            return Progress::Done;
        }
        if !experiment::is_measuring() {
            return Progress::Again;
        }
        self.turn = (self.turn + 1) % Meeting::ALL.len();
        match Meeting::ALL[self.turn] {
            Meeting::TakeWhileLettingGo => Self::take(),
            with => Self::free(with),
        }
        Progress::Again
    }
}
