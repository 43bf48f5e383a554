//! A task that drains, verifies, retires frames and reads reports.

use core::fmt;
use core::hint::black_box;

use pageblock::{ContigOptions, Pfn, SoftOffline};
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::jobs::{Progress, Task, page_cache};
use crate::memory::{self, allocator};
use crate::scenarios::soak::counts;
use crate::scenarios::soak::driver::{fail, is_quiet, is_stopping};
use crate::scenarios::soak::owners::Owners;
use crate::time;

/// The time from one verification of all records to the next.
const VERIFY_US: u64 = 5_000_000;
/// The time from one retired frame to the next.
const RETIRE_US: u64 = 500_000;
/// The most bad frames: so many that they are met, so few that memory is not short of ranges.
const MAX_BAD: usize = 64;

/// The task.
pub(super) struct Upkeep {
    rng: SmallRng,
    next_verify_us: u64,
    next_retire_us: u64,
}

/// The state that must be the same at the start and at the end of a round.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Balance {
    /// Free pages and retired ones.
    free: usize,
    /// Managed pages and retired ones.
    managed: usize,
    allocated: usize,
}

impl Balance {
    pub(super) fn now() -> Self {
        let allocator = allocator();
        let bad = bad_frames();
        Self {
            free: allocator.free_count() + bad,
            managed: allocator.managed_count() + bad,
            allocated: allocator.allocated_count(),
        }
    }
}

impl fmt::Display for Balance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { free, managed, allocated } = self;
        write!(f, "{free} pages free or bad, {managed} managed or bad, {allocated} allocated")
    }
}

fn bad_frames() -> usize {
    allocator().meminfo().hwpoisoned
}

impl Upkeep {
    pub(super) fn new(seed: u64) -> Self {
        let now = time::now_us();
        Self {
            rng: SmallRng::seed_from_u64(seed ^ 0x5 << 48),
            next_verify_us: now,
            next_retire_us: now + RETIRE_US,
        }
    }

    /// Retires a frame. Those of the CMA area are spared: no range there could include it.
    fn retire(&mut self) {
        let span = allocator().span();
        let pfn = Pfn::new(self.rng.random_range(span.start().number()..span.end().number()));
        let in_area = memory::cma().is_some_and(|area| area.range().contains(pfn));
        if in_area || bad_frames() >= MAX_BAD {
            return;
        }
        let owners = Owners::new();
        let outcome = allocator().soft_offline_page(pfn, &owners, ContigOptions::default().attempts(2));
        if let Ok(SoftOffline::Retired | SoftOffline::WhenFreed(_)) = outcome {
            counts::RETIRED.add(1);
        }
    }
}

impl Task for Upkeep {
    fn step(&mut self) -> Progress {
        if is_stopping() {
            return Progress::Done;
        }
        if is_quiet() {
            return Progress::Again;
        }
        let now = time::now_us();
        if now >= self.next_verify_us {
            self.next_verify_us = now + VERIFY_US;
            counts::VERIFICATIONS.add(1);
            if let Err(violation) = allocator().verify() {
                fail(format_args!("verify: {violation}"));
            }
        } else if now >= self.next_retire_us {
            self.next_retire_us = now + RETIRE_US;
            self.retire();
        } else if self.rng.random_ratio(1, 3) {
            allocator().drain_all();
            counts::DRAINS.add(1);
        } else if self.rng.random_ratio(1, 16) {
            black_box((allocator().vmstat(), allocator().buddyinfo(), allocator().zoneinfo()));
        } else if self.rng.random_ratio(1, 16) {
            page_cache::shrink(256);
        }
        Progress::Again
    }
}
