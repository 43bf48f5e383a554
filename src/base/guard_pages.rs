//! The trait through which the allocator reports guard pages to the kernel.
//!
//! With [`Tuning::guard_below`](crate::Tuning::guard_below) set, a split keeps leftover halves
//! below that order as guards instead of inserting them into a free list
//! (`debug_guardpage_minorder` in Linux). A guard is counted as guard pages only. When its buddy is
//! freed the two merge, and the pages are counted for the list that the merged block joins.

use crate::base::pfn::PfnRange;

/// Receives which frames become guards and which stop being guards.
///
/// The methods are called with a zone's lock held and interrupts masked. They must not call the
/// allocator, and must not wait for another CPU, which may be waiting for that lock: a TLB
/// shootdown flushes this CPU at once and the others later, without an acknowledgement.
pub trait GuardPages {
    /// The frames have become guards. The kernel may unmap them, so that accesses fault.
    fn keep(&self, frames: PfnRange);
    /// The frames stop being guards. A kernel that unmapped them must map them again.
    fn release(&self, frames: PfnRange);
}
