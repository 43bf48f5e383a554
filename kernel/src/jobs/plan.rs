//! How much memory the jobs use, and below which reserves they stop growing.
//!
//! The target sizes of all jobs together exceed memory, so that free memory gets low enough for
//! movable allocations to use CMA areas. A job grows only while the reserves below are free, so
//! that enough memory remains to migrate to.

use crate::memory::allocator;

/// The sizes and reserves of a set of jobs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// The seed of the pseudo-random choices of the jobs.
    pub(crate) seed: u64,
    /// The average target size of a process.
    pub(crate) pages_per_job: u32,
    /// No job grows with fewer free pages than this.
    reserve: usize,
    /// No job grows with fewer free pages outside CMA areas than this.
    reserve_outside_cma: usize,
}

impl Plan {
    /// Sizes for `jobs` jobs on a machine with `free` free pages. The scenario allocates up to
    /// `headroom` pages at a time beside them.
    pub(crate) fn new(seed: u64, jobs: usize, free: usize, headroom: usize) -> Self {
        let peak = free / 100 * 130;
        let pages_per_job = (peak / jobs.max(1)).clamp(64, 1 << 20) as u32;
        let reserve = (free / 8 + headroom).min(free / 2);
        Self { seed, pages_per_job, reserve, reserve_outside_cma: free / 20 }
    }

    /// Whether more pages than the reserves are free.
    pub(crate) fn may_grow(&self) -> bool {
        let free = allocator().free_count();
        let outside_cma = free.saturating_sub(allocator().free_cma_count());
        free > self.reserve && outside_cma > self.reserve_outside_cma
    }
}
