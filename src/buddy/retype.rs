//! A pageblock changes state, and its free pages change lists: one lock hold, one function.
//!
//! Isolation, its undo, claims for another type, the atomic reserve and CMA activation all come through
//! [`Buddy::retype`]. There is no count of "pages moved" for a caller to account: the lists
//! account for themselves (the 2014 discussion's patch 9 is about a caller that added up the wrong
//! number). Neighbours: [`fallback`](super::fallback), [`isolate`](crate::isolate).

use super::{Buddy, FreeBlock};
use crate::counters::{Change, Pool};
use crate::faults::when_fault;
use crate::frame::state::{FrameKind, FrameState};
use crate::geometry::Geometry;
use crate::mem_map::MemMap;
use crate::migratetype::{FreeKind, MigrateType};
use crate::order::Order;
use crate::pageblock::{BlockState, Pageblock};

impl<G: Geometry> Buddy<G> {
    /// Gives `block` the state `to` and moves its free pages to the list that `to` names. Visits each
    /// free block of the pageblock once.
    pub(crate) fn retype(&mut self, mem: &MemMap<'_, G>, block: Pageblock, to: BlockState) {
        when_fault!(mem, MOVED_MEANS_FOUND | FIRST_BLOCK_ONLY => {
            self.count_found_as_moved(mem, block, to);
        });
        self.list_all_of(mem, block.frames::<G>());
        self.split_around(mem, block);
        let was = mem.blocks.state(block.start());
        self.atomic_blocks -= usize::from(was.migratetype == MigrateType::HighAtomic);
        self.atomic_blocks += usize::from(to.migratetype == MigrateType::HighAtomic);
        mem.blocks.set_state(block, to);
        let state = mem.frames.state(block.start());
        if state.is(FrameKind::Free) && state.order() >= G::PAGEBLOCK_ORDER {
            let whole = self.unfile(mem, block.start());
            self.file(mem, whole);
        } else {
            self.relist(mem, block, was.free_kind(), to.free_kind());
        }
        self.join_neighbours(mem, block);
    }

    /// The free blocks within a pageblock leave the lists of one kind and join those of another. They stay with their
    /// pageblock, which changes shelves; each is told the kind that it is counted as now.
    fn relist(&mut self, mem: &MemMap<'_, G>, block: Pageblock, from: FreeKind, to: FreeKind) {
        let Some(tree) = mem.blocks.tree(block.start()) else {
            return;
        };
        for order in Order::ZERO.up_to(G::MAX_ORDER).filter(|order| Self::is_small(*order)) {
            for index in tree.blocks(order) {
                mem.frames.set_state_at(index, FrameState::free(order, to));
                self.tallies[from.index()].change(order, Change::Leave);
                self.counters.account(Pool::List(from), Change::Leave, order.pages());
                self.tallies[to.index()].change(order, Change::Join);
                self.counters.account(Pool::List(to), Change::Join, order.pages());
            }
        }
        self.settle(mem, tree, to);
        // Not before: what is listed with the pageblock is of one kind.
        #[cfg(feature = "faults")]
        self.gather_strays(mem, block);
    }

    /// If a free block larger than the pageblock covers it, splits that one so that the pageblock's
    /// frames are a block of their own; the rest stays on its list.
    fn split_around(&mut self, mem: &MemMap<'_, G>, block: Pageblock) {
        let Some((head, state)) = mem.frames.head_of(block.start(), G::MAX_ORDER) else {
            return;
        };
        if !state.is(FrameKind::Free) || state.order() <= G::PAGEBLOCK_ORDER {
            return;
        }
        let mut part = self.unfile(mem, head);
        while part.order > G::PAGEBLOCK_ORDER {
            let (low, high) = part.halves();
            let (rest, with_block) = if block.start() < high.pfn { (high, low) } else { (low, high) };
            self.file(mem, rest);
            part = with_block;
        }
        self.file(mem, part);
    }

    /// A pageblock that is one free block, or lies in a guard, may now be of its buddy's kind: merge it.
    fn join_neighbours(&mut self, mem: &MemMap<'_, G>, block: Pageblock) {
        let Some((head, state)) = mem.frames.head_of(block.start(), G::MAX_ORDER) else {
            return;
        };
        let order = state.order();
        if order < G::PAGEBLOCK_ORDER || order == G::MAX_ORDER {
            return;
        }
        let free = match state.kind() {
            FrameKind::Free => head,
            FrameKind::Guard => order.buddy(head),
            _ => return,
        };
        let state = mem.frames.state(free);
        if state.is(FrameKind::Free) && state.order() == order {
            let whole: FreeBlock = self.unfile(mem, free);
            self.merge(mem, whole);
        }
    }
}
