//! `free-list`: an ordered list of free ranges on the heap, searched first fit.

#![expect(unsafe_code, reason = "the allocator asks for promises about the memory it manages")]

use free_list::{FreeList as List, PageLayout, PageRange};
use pageblock::{Mobility, Order, PAGE_SIZE, Pfn};
use spin::Mutex;

use crate::arena::{Arena, BYTES, FRAMES};
use crate::peer::{Peer, PeerId, Refused};

const PAGE: usize = PAGE_SIZE as usize;

/// The address of the first frame. The crate does not allow address 0.
const FIRST_BYTE: usize = BYTES;

/// The adapter of `free-list`.
pub(crate) struct FreeList {
    list: Mutex<List<16>>,
    _arena: Arena,
}

fn range(pfn: Pfn, order: Order) -> Option<PageRange> {
    PageRange::from_start_len(pfn.number() * PAGE, PAGE << order.get()).ok()
}

impl Peer for FreeList {
    const ID: PeerId = PeerId::FreeList;

    fn new(arena: Arena) -> Self {
        let mut list = List::new();
        let all = PageRange::from_start_len(FIRST_BYTE, FRAMES * PAGE).expect("whole pages");
        // SAFETY: the frames are only numbers; nothing uses their contents.
        unsafe { list.deallocate(all) }.expect("the list is empty");
        Self { list: Mutex::new(list), _arena: arena }
    }

    fn first_frame(&self) -> Pfn {
        Pfn::new(FIRST_BYTE / PAGE)
    }

    #[inline(always)]
    fn alloc(&self, order: Order, _: Mobility) -> Option<Pfn> {
        let bytes = PAGE << order.get();
        let layout = PageLayout::from_size_align(bytes, bytes).ok()?;
        let found = self.list.lock().allocate(layout).ok()?;
        Some(Pfn::new(found.start() / PAGE))
    }

    #[inline(always)]
    fn free(&self, pfn: Pfn, order: Order) {
        let _ = self.try_free(pfn, order);
    }

    #[inline(always)]
    fn try_free(&self, pfn: Pfn, order: Order) -> Result<(), Refused> {
        let range = range(pfn, order).ok_or(Refused)?;
        // SAFETY: as above.
        unsafe { self.list.lock().deallocate(range) }.map_err(|_| Refused)
    }

    fn metadata_bytes(&self) -> Option<usize> {
        None
    }
}
