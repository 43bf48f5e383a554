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

/// As [`roi_alloc`], by a caller who knows order and mobility when it is compiled, as those in a kernel mostly do.
#[inline(never)]
pub(crate) fn roi_alloc_known<P: Peer, const ORDER: u8>(peer: &P) -> Option<Pfn> {
    peer.alloc(Order::new(ORDER), Mobility::Movable)
}

/// As [`roi_free`], by such a caller.
#[inline(never)]
pub(crate) fn roi_free_known<P: Peer, const ORDER: u8>(peer: &P, pfn: Pfn) {
    peer.free(pfn, Order::new(ORDER));
}

#[inline(never)]
pub(crate) fn roi_init<P: Peer>(arena: Arena) -> P {
    P::new(arena)
}
