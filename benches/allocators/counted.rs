//! The functions whose instructions callgrind counts: the regions of interest.
//!
//! A count includes the return of such a function, the adapter and the allocator. Loops, random
//! numbers and vectors are in the callers. Callgrind finds the functions by name, so no other
//! function, and no closure, may have one of these names in its own.

use pageblock::{Mobility, Order, Pfn};

use crate::arena::Arena;
use crate::peer::Peer;

#[inline(never)]
pub(crate) fn counted_alloc<P: Peer>(peer: &P, order: Order, mobility: Mobility) -> Option<Pfn> {
    peer.alloc(order, mobility)
}

#[inline(never)]
pub(crate) fn counted_free<P: Peer>(peer: &P, pfn: Pfn, order: Order) {
    peer.free(pfn, order);
}

/// Allocates like [`counted_alloc`], for a caller whose order and mobility are constants, as they
/// mostly are in a kernel.
#[inline(never)]
pub(crate) fn counted_alloc_known<P: Peer, const ORDER: u8>(peer: &P) -> Option<Pfn> {
    peer.alloc(Order::new(ORDER), Mobility::Movable)
}

/// Frees like [`counted_free`], for such a caller.
#[inline(never)]
pub(crate) fn counted_free_known<P: Peer, const ORDER: u8>(peer: &P, pfn: Pfn) {
    peer.free(pfn, Order::new(ORDER));
}

/// Any call. It is counted as an allocation.
#[inline(never)]
pub(crate) fn counted_alloc_call(call: &mut dyn FnMut()) {
    call();
}

#[inline(never)]
pub(crate) fn counted_init<P: Peer>(arena: Arena) -> P {
    P::new(arena)
}
