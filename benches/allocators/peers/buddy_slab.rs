//! `buddy-slab-allocator`: a buddy allocator with a record for each page, under one lock.

#![expect(unsafe_code, reason = "the allocator takes memory as a slice")]

use buddy_slab_allocator::BuddyAllocator;
use pageblock::{Mobility, Order, PAGE_SIZE, Pfn};
use spin::Mutex;

use crate::arena::{Arena, BYTES, FRAMES, MARGIN};
use crate::peer::{Peer, PeerId};

const PAGE: usize = PAGE_SIZE as usize;

/// An upper bound for the head of its records, whose size the crate does not publish.
const HEAD: usize = PAGE;

/// The adapter of `buddy-slab-allocator`.
pub(crate) struct BuddySlab {
    allocator: Mutex<BuddyAllocator<PAGE>>,
    first_frame: Pfn,
    _arena: Arena,
}

impl Peer for BuddySlab {
    const ID: PeerId = PeerId::BuddySlab;

    fn new(arena: Arena) -> Self {
        let records = (BuddyAllocator::<PAGE>::required_meta_size(BYTES) + HEAD).next_multiple_of(PAGE);
        assert!(records <= MARGIN);
        let start = std::ptr::with_exposed_provenance_mut::<u8>(arena.start() - records);
        // SAFETY: the arena has a margin before the frames, lives as long as the allocator, is
        // initialised (it is mapped zeroed), and has no other user.
        let region = unsafe { std::slice::from_raw_parts_mut(start, records + BYTES) };
        let mut allocator = BuddyAllocator::new();
        // SAFETY: as above.
        unsafe { allocator.init(region) }.expect("a good region");
        let section = allocator.section(0).expect("one region");
        assert_eq!((section.start, section.total_pages), (arena.start(), FRAMES));
        let first_frame = Pfn::new(arena.start() / PAGE);
        Self { allocator: Mutex::new(allocator), first_frame, _arena: arena }
    }

    fn first_frame(&self) -> Pfn {
        self.first_frame
    }

    #[inline(always)]
    fn alloc(&self, order: Order, _: Mobility) -> Option<Pfn> {
        // Blocks are aligned to their size relative to the first frame, which is aligned. Asking
        // for an alignment would only cost a search.
        let address = self.allocator.lock().alloc_pages(1 << order.get(), PAGE).ok()?;
        Some(Pfn::new(address / PAGE))
    }

    #[inline(always)]
    fn free(&self, pfn: Pfn, order: Order) {
        self.allocator.lock().dealloc_pages(pfn.number() * PAGE, 1 << order.get());
    }

    fn metadata_bytes(&self) -> Option<usize> {
        Some(BuddyAllocator::<PAGE>::required_meta_size(BYTES))
    }
}
