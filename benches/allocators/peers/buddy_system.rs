//! `buddy_system_allocator`: the `FrameAllocator` of many tutorials, a buddy on ordered sets, which need a heap.

use buddy_system_allocator::FrameAllocator;
use pageblock::{Mobility, Order, Pfn};
use spin::Mutex;

use crate::arena::{Arena, FRAMES};
use crate::peer::{Peer, PeerId};

/// See the top.
pub(crate) struct BuddySystem(Mutex<FrameAllocator>);

impl Peer for BuddySystem {
    const ID: PeerId = PeerId::BuddySystem;

    fn new(_: Arena) -> Self {
        let mut allocator = FrameAllocator::new();
        allocator.add_frame(0, FRAMES);
        Self(Mutex::new(allocator))
    }

    fn first_frame(&self) -> Pfn {
        Pfn::new(0)
    }

    #[inline(always)]
    fn alloc(&self, order: Order, _: Mobility) -> Option<Pfn> {
        self.0.lock().alloc(1 << order.get()).map(Pfn::new)
    }

    #[inline(always)]
    fn free(&self, pfn: Pfn, order: Order) {
        self.0.lock().dealloc(pfn.number(), 1 << order.get());
    }

    fn metadata_bytes(&self) -> Option<usize> {
        None
    }
}
