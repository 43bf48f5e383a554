//! Floor 9: the allocator: the only place where a zone meets the pcplists.
//!
//! An order-0 allocation starts in [`alloc`], takes a block from a pcplist in [`fast`], or else one
//! from a zone, and refills the list. A free starts in [`free`], puts the block on a pcplist in
//! [`fast`], or else spills the list to its zone or frees to the zone. [`drain`] empties the lists of
//! other CPUs.
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
//! | [`free`] | frees: pcplist, or the zone |
//! | [`init`] | from a memory map to an allocator |
//! | [`at_offset`] | the same, for a kernel whose physical memory is mapped at an offset |

pub(crate) mod alloc;
pub(crate) mod allocator;
pub(crate) mod at_offset;
pub(crate) mod drain;
pub(crate) mod fast;
pub(crate) mod free;
pub(crate) mod free_error;
pub(crate) mod init;
pub(crate) mod owner;
pub(crate) mod rate_limit;
pub(crate) mod tuning;
