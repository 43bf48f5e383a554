//! Floor 9: the allocator: the only floor where a zone and the pcplists meet.
//!
//! An order-0 allocation starts in [`alloc`]. It pops a block from a pcplist in [`fast`], or else
//! refills the list from a zone. A free starts in [`free`]. It pushes the block onto a pcplist in
//! [`fast`]; if the list is full it first spills a part of it to the zone; a block that must not be
//! cached goes to the zone. [`drain`] empties the lists of all CPUs.
//!
//! | file | what it has |
//! |---|---|
//! | [`tuning`] | what a kernel can tune |
//! | [`rate_limit`] | how often an event is logged |
//! | [`events`] | the counts of events that are of no zone |
//! | [`allocator`] | [`PageAllocator`]: its parts, its zones, its counts |
//! | [`zone_choice`] | which zone's pcplists the fast path uses |
//! | [`fast`] | access to the pcplists of this CPU, and the fast paths |
//! | [`drain`] | empties the pcplists of all CPUs, from any CPU |
//! | [`free_error`] | why a block was not freed |
//! | [`owner`] | checks that a block is allocated; its owner word, and splits of it |
//! | [`alloc`] | allocates: pcplist, zones, drain, reserve |
//! | [`take_cached`] | serves atomic requests from the pcplists of other CPUs |
//! | [`free`] | frees: pcplist or zone |
//! | [`exchange`] | batches of cached pages that go from one CPU to another |
//! | [`init`] | makes an allocator of a memory map; sets the limits |
//! | [`at_offset`] | the same in one call, if physical memory is mapped at an offset |

mod alloc;
mod allocator;
mod at_offset;
mod drain;
mod events;
mod exchange;
mod fast;
mod free;
mod free_error;
mod init;
mod owner;
mod rate_limit;
mod take_cached;
#[cfg(all(test, not(any(loom, shuttle))))]
pub(crate) mod testing;
mod tuning;
mod zone_choice;

pub use alloc::AllocError;
pub use allocator::PageAllocator;
pub(crate) use drain::Revocation;
pub use events::MachineEvents;
pub use free_error::{FreeBulkError, FreeError};
pub(crate) use owner::check_owned;
pub use tuning::Tuning;
