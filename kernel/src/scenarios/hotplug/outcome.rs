//! The results of the rounds, and the state that must be the same before and after.

use core::fmt;

use heapless::{String, Vec};

use crate::memory::allocator;
use crate::scenarios::latency::Latency;

/// The results of the rounds.
#[derive(Default)]
pub(super) struct Outcome {
    pub(super) rounds: u32,
    /// Rounds in which less than half of memory was offline.
    pub(super) short_rounds: u32,
    pub(super) offlined: u32,
    pub(super) onlined: u32,
    pub(super) pages_moved: usize,
    pub(super) failures: u32,
    pub(super) retries: u32,
    pub(super) latency: Latency,
    pub(super) least_managed: usize,
    pub(super) least_min_mark: usize,
    /// Changes of the watermarks by a block that went offline or online.
    pub(super) recalculations: u32,
    /// What did not hold.
    pub(super) violations: Vec<String<200>, 4>,
}

impl Outcome {
    pub(super) fn new() -> Self {
        Self { least_managed: allocator().managed_count(), least_min_mark: min_mark(), ..Self::default() }
    }
}

/// The sum of the min watermarks of all zones.
pub(super) fn min_mark() -> usize {
    allocator().zoneinfo().zones.iter().map(|zone| zone.watermarks.min).sum()
}

/// The state that must be the same before and after.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Balance {
    pub(super) free: usize,
    pub(super) managed: usize,
    pub(super) min_mark: usize,
}

impl fmt::Display for Balance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { free, managed, min_mark } = self;
        write!(f, "{free} pages free, {managed} managed, {min_mark} at the min watermark")
    }
}

impl Balance {
    pub(super) fn now() -> Self {
        let allocator = allocator();
        Self { free: allocator.free_count(), managed: allocator.managed_count(), min_mark: min_mark() }
    }
}
