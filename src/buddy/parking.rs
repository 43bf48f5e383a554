//! The list of parked blocks, which only the experimental design `Parked` uses.
//!
//! A block that is freed while its pageblock is being isolated is parked: it is not merged, and is
//! neither free nor allocated, until the isolation moves the free blocks of the pageblock. Without
//! the feature `designs` no pageblock is ever in that state.

use crate::base::{FrameKind, Geometry, Pageblock, Pfn};
use crate::buddy::free_block::FreeBlock;
use crate::records::{Descriptors, FrameState, FreeList};

#[derive(Debug)]
pub(crate) struct Parking {
    list: FreeList,
    pages: usize,
}

impl Parking {
    pub(super) const fn new() -> Self {
        Self { list: FreeList::new(), pages: 0 }
    }

    pub(crate) const fn pages(&self) -> usize {
        self.pages
    }

    /// Parks the block if its pageblock is being isolated. Otherwise returns it.
    #[inline(always)]
    pub(super) fn insert<G: Geometry>(
        &mut self,
        desc: &Descriptors<'_, G>,
        block: FreeBlock,
    ) -> Option<FreeBlock> {
        if !desc.pageblocks.is_isolating(block.pfn) {
            return Some(block);
        }
        desc.frames.set_state(block.pfn, FrameState::parked(block.order));
        self.list.push(&desc.frames, block.pfn);
        self.pages += block.order.pages();
        None
    }

    /// Removes the lowest parked block of a pageblock that is at or above `from`.
    pub(super) fn remove_next<G: Geometry>(
        &mut self,
        desc: &Descriptors<'_, G>,
        pageblock: Pageblock,
        from: Pfn,
    ) -> Option<FreeBlock> {
        if self.pages == 0 {
            return None;
        }
        let frames = pageblock.range::<G>();
        let parked = |pfn: &Pfn| *pfn >= from && desc.frames.state(*pfn).is(FrameKind::Parked);
        let pfn = frames.iter().find(parked)?;
        let order = desc.frames.state(pfn).order();
        self.list.remove(&desc.frames, pfn);
        self.pages -= order.pages();
        desc.frames.set_state(pfn, FrameState::TAIL);
        Some(FreeBlock::new(pfn, order))
    }

    /// Whether the list and its lengths differ, or a block on it is not parked.
    #[inline(always)]
    pub(crate) fn is_damaged<G: Geometry>(&self, desc: &Descriptors<'_, G>) -> bool {
        if !cfg!(feature = "designs") {
            return false;
        }
        let (mut blocks, mut pages) = (0, 0);
        for pfn in self.list.iter(&desc.frames) {
            let state = desc.frames.state(pfn);
            if !state.is(FrameKind::Parked) {
                return true;
            }
            blocks += 1;
            pages += state.order().pages();
        }
        (blocks, pages) != (self.list.len(), self.pages)
    }
}
