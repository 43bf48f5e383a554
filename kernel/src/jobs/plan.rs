//! How much memory the jobs use, and when it is short.
//!
//! The jobs together want more memory than there is, so that free memory gets low enough for movable
//! pages to be put into CMA areas; and a job grows only while the reserves below hold, as `make
//! --load-limit` starts no compiler on a busy machine, so that enough remains to migrate into.
//! Neighbours: [`job`](super::job) asks, the scenario makes the plan.

use crate::memory::allocator;

/// The sizes that a set of jobs runs with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// Where the jobs' pseudo-random choices start.
    pub(crate) seed: u64,
    /// Pages that a job has on average when it stops growing.
    pub(crate) pages_per_job: u32,
    /// Free pages below which no job grows.
    reserve: usize,
    /// Free pages outside CMA areas below which no job grows.
    reserve_outside_cma: usize,
}

impl Plan {
    /// Sizes for `jobs` jobs on a machine with `free` free pages, of which somebody else will want
    /// `headroom` at a time.
    pub(crate) fn new(seed: u64, jobs: usize, free: usize, headroom: usize) -> Self {
        let peak = free / 100 * 130;
        let pages_per_job = (peak / jobs.max(1)).clamp(64, 1 << 20) as u32;
        let reserve = (free / 8 + headroom).min(free / 2);
        Self { seed, pages_per_job, reserve, reserve_outside_cma: free / 20 }
    }

    /// Whether there is memory to grow into.
    pub(crate) fn may_grow(&self) -> bool {
        let free = allocator().free_count();
        let outside_cma = free.saturating_sub(allocator().free_cma_count());
        free > self.reserve && outside_cma > self.reserve_outside_cma
    }
}
