//! Floor 9: the allocator: the only place where a zone meets the pcplists.
//!
//! An order-0 allocation starts in [`alloc`], takes a block from a pcplist in [`fast`], or else one
//! from a zone, and refills the list. A free starts in [`free`], puts the block on a pcplist in
//! [`fast`], or else spills the list to its zone or frees to the zone. [`drain`] empties the lists
//! of other CPUs.
//!
//! | file | what it has |
//! |---|---|
//! | [`tuning`] | what a kernel can tune |
//! | [`rate_limit`] | how often the log is told of an event |
//! | [`allocator`] | [`PageAllocator`](allocator::PageAllocator): its parts, its zones, its counts |
//! | [`fast`] | access to this CPU's pcplists, and the fast paths |
//! | [`drain`] | the pcplists of all CPUs are emptied, by any CPU |
//! | [`free_error`] | why a block was not freed |
//! | [`owner`] | whether the caller can own a block, and its owner word |
//! | [`alloc`] | allocates: pcplist, zones, fallback under pressure |
//! | [`take_cached`] | serves atomic requests from the pcplists of other CPUs |
//! | [`free`] | frees: pcplist, or the zone |
//! | [`init`] | from a memory map to an allocator |
//! | [`at_offset`] | the same, for a kernel whose physical memory is mapped at an offset |

mod alloc;
mod allocator;
mod at_offset;
mod drain;
mod fast;
mod free;
mod free_error;
mod init;
mod owner;
mod rate_limit;
mod take_cached;
mod tuning;

pub use alloc::AllocError;
pub use allocator::PageAllocator;
pub(crate) use drain::Revocation;
pub use free_error::FreeError;
pub use tuning::Tuning;
