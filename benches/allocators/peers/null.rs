//! The harness alone: an allocator that always returns the same frame.

use pageblock::{Mobility, Order, Pfn};

use crate::arena::Arena;
use crate::peer::{Peer, PeerId};

/// The harness alone.
#[derive(Debug)]
pub(crate) struct Null;

impl Peer for Null {
    const ID: PeerId = PeerId::Null;

    fn new(_: Arena) -> Self {
        Self
    }

    fn first_frame(&self) -> Pfn {
        Pfn::new(0)
    }

    #[inline(always)]
    fn alloc(&self, _: Order, _: Mobility) -> Option<Pfn> {
        Some(Pfn::new(std::hint::black_box(0)))
    }

    #[inline(always)]
    fn free(&self, pfn: Pfn, order: Order) {
        std::hint::black_box((pfn, order));
    }

    fn metadata_bytes(&self) -> Option<usize> {
        None
    }
}
