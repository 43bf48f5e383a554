//! The trait through which a kernel is told of guard pages.
//!
//! With [`Tuning::guard_below`](crate::Tuning::guard_below) set, the leftover halves of a split below
//! that order are kept as guards instead of going to a free list (`debug_guardpage_minorder` in
//! Linux). A guard is counted as a guard page only. When its buddy is freed the two merge, and the
//! pages are counted as what they become part of, in an isolated pageblock too. (Linux counts guards
//! apart from the lists: that was wrong in 2014 and is wrong again since v6.10.)

use crate::base::pfn::PfnRange;

/// Told when frames become guards and when they cease to be.
///
/// Called with a zone locked and interrupts masked: an implementation must not call the allocator,
/// and must not wait for a CPU that may be waiting for the zone (so no TLB shootdown that waits for
/// acknowledgement: flush this CPU at once, and the others when they next run).
pub trait GuardPages {
    /// The frames have become guards. A kernel that wants accesses to them to fault unmaps them.
    fn keep(&self, frames: PfnRange);
    /// The frames are about to be allocatable again. A kernel that unmapped them maps them.
    fn release(&self, frames: PfnRange);
}
