//! The regions of interest: the functions whose instructions callgrind counts.
//!
//! A count is inclusive of these: a call's return, the adapter, and the allocator. Loops, random numbers and vectors are in the
//! callers. They are told apart by name, so that a name in here must not end up in another function: no closures.
//! Neighbour: [`callgrind`](crate::callgrind) knows the names.

use pageblock::{Mobility, Order, Pfn};

use crate::arena::Arena;
use crate::peer::Peer;

#[inline(never)]
pub(crate) fn roi_alloc<P: Peer>(peer: &P, order: Order, mobility: Mobility) -> Option<Pfn> {
    peer.alloc(order, mobility)
}

#[inline(never)]
pub(crate) fn roi_free<P: Peer>(peer: &P, pfn: Pfn, order: Order) {
    peer.free(pfn, order);
}

#[inline(never)]
pub(crate) fn roi_init<P: Peer>(arena: Arena) -> P {
    P::new(arena)
}
