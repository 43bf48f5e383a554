//! What the buddy system does under another accounting design. Compiled with the `designs` feature only.
//!
//! Two things: an isolator's corrections of the free count, and the list of parked blocks. Neighbour:
//! [`designs`](crate::designs), which says what for.

use super::{Buddy, FreeBlock};
use crate::designs::{Rule, parks};
use crate::frame::state::{FrameKind, FrameState};
use crate::free_list::FreeList;
use crate::geometry::Geometry;
use crate::mem_map::MemMap;
use crate::pageblock::Pageblock;

/// Blocks that were freed in pageblocks that are being isolated: unmerged, neither free nor allocated.
#[derive(Debug)]
pub(crate) struct Parking {
    list: FreeList,
    pages: usize,
}

impl Parking {
    pub(crate) const fn new() -> Self {
        Self { list: FreeList::new(), pages: 0 }
    }

    /// Parks the block if its pageblock is being isolated. Gives it back otherwise.
    pub(crate) fn admit<G: Geometry>(&mut self, mem: &MemMap<'_, G>, block: FreeBlock) -> Option<FreeBlock> {
        if !parks(mem, block.pfn) {
            return Some(block);
        }
        mem.frames.set_state(block.pfn, FrameState::parked(block.order));
        self.list.push(&mem.frames, block.pfn);
        self.pages += block.order.pages();
        None
    }

    /// Whether the list is not what it should be.
    pub(crate) fn is_damaged<G: Geometry>(&self, mem: &MemMap<'_, G>) -> bool {
        let (mut blocks, mut pages) = (0, 0);
        for pfn in self.list.iter(&mem.frames) {
            let state = mem.frames.state(pfn);
            if !state.is(FrameKind::Parked) {
                return true;
            }
            blocks += 1;
            pages += state.order().pages();
        }
        (blocks, pages) != (self.list.len(), self.pages)
    }
}

impl<G: Geometry> Buddy<G> {
    pub(crate) fn set_rule(&mut self, rule: Rule) {
        self.counters.rule = rule;
    }

    /// An isolator settles its account: the free count changes though no page has moved. Not in our design.
    pub(crate) fn correct_free(&mut self, pages: isize) {
        self.counters.free = self.counters.free.wrapping_add_signed(pages);
    }

    pub(crate) fn parked_pages(&self) -> usize {
        self.parking.pages
    }

    /// Gives the parked blocks of a pageblock to the list that its state names now.
    pub(crate) fn unpark(&mut self, mem: &MemMap<'_, G>, block: Pageblock) {
        if self.parking.pages == 0 {
            return;
        }
        for pfn in block.frames::<G>().iter() {
            let state = mem.frames.state(pfn);
            if state.is(FrameKind::Parked) {
                self.parking.list.remove(&mem.frames, pfn);
                self.parking.pages -= state.order().pages();
                mem.frames.set_state(pfn, FrameState::TAIL);
                self.merge(mem, FreeBlock { pfn, order: state.order() });
            }
        }
    }
}
