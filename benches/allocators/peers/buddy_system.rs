//! `buddy_system_allocator`: a buddy allocator on ordered sets, which are on the heap.

use buddy_system_allocator::FrameAllocator;
use pageblock::{Mobility, Order, Pfn};
use spin::Mutex;

use crate::arena::{Arena, FRAMES};
use crate::peer::{Peer, PeerId};

/// The adapter of `buddy_system_allocator::FrameAllocator`.
pub(crate) struct BuddySystem {
    allocator: Mutex<FrameAllocator>,
    _arena: Arena,
}

impl Peer for BuddySystem {
    const ID: PeerId = PeerId::BuddySystem;

    fn new(arena: Arena) -> Self {
        let mut allocator = FrameAllocator::new();
        allocator.add_frame(0, FRAMES);
        Self { allocator: Mutex::new(allocator), _arena: arena }
    }

    fn first_frame(&self) -> Pfn {
        Pfn::new(0)
    }

    #[inline(always)]
    fn alloc(&self, order: Order, _: Mobility) -> Option<Pfn> {
        self.allocator.lock().alloc(1 << order.get()).map(Pfn::new)
    }

    #[inline(always)]
    fn free(&self, pfn: Pfn, order: Order) {
        self.allocator.lock().dealloc(pfn.number(), 1 << order.get());
    }

    fn metadata_bytes(&self) -> Option<usize> {
        None
    }
}
