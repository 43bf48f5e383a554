//! A pageblock changes its state, and its free blocks change lists, in one lock hold.
//!
//! Isolation, its undo, claims for another type, the atomic reserve and CMA all use
//! [`Buddy::retype`]. It returns no number of moved pages for a caller to account, because the
//! lists count for themselves (patch 9 of the 2014 discussion is about a caller that added up the
//! wrong number).

use crate::base::{FrameKind, FreeKind, Geometry, MigrateType, Order, Pageblock};
use crate::buddy::counters::{Change, Pool};
use crate::buddy::lists::Buddy;
use crate::instruments::Faults;
use crate::records::{Descriptors, FrameState, PageblockState};

impl<G: Geometry> Buddy<G> {
    /// Gives a pageblock the state `to` and moves its free blocks to the list that `to` names.
    /// Visits each of its free blocks once.
    pub(crate) fn retype(&mut self, desc: &Descriptors<'_, G>, pageblock: Pageblock, to: PageblockState) {
        if desc.faults.is_on(Faults::MOVED_MEANS_FOUND | Faults::FIRST_BLOCK_ONLY) {
            self.count_found_as_moved(desc, pageblock, to);
        }
        self.init_range(desc, pageblock.range::<G>());
        self.split_around(desc, pageblock);
        let was = desc.pageblocks.state(pageblock.start());
        self.atomic_pageblocks -= usize::from(was.migratetype == MigrateType::HighAtomic);
        self.atomic_pageblocks += usize::from(to.migratetype == MigrateType::HighAtomic);
        desc.pageblocks.set_state(pageblock, to);
        let state = desc.frames.state(pageblock.start());
        if state.is(FrameKind::Free) && state.order() >= G::PAGEBLOCK_ORDER {
            let whole = self.remove(desc, pageblock.start());
            self.insert(desc, whole);
        } else {
            self.move_small(desc, pageblock, was.free_kind(), to.free_kind());
        }
        self.join_neighbours(desc, pageblock);
    }

    /// Moves the free blocks below the pageblock order from the lists of one kind to those of
    /// another: they stay in the pageblock's tree, and the pageblock changes its fullness group.
    fn move_small(&mut self, desc: &Descriptors<'_, G>, pageblock: Pageblock, from: FreeKind, to: FreeKind) {
        let Some(tree) = desc.pageblocks.tree(pageblock.start()) else {
            return;
        };
        for order in Order::ZERO.up_to(G::MAX_ORDER).filter(|order| Self::is_small(*order)) {
            for index in tree.blocks(order) {
                desc.frames.set_state_at(index, FrameState::free(order, to));
                self.block_counts[from.index()].change(order, Change::Leave);
                self.counters.account(Pool::List(from), Change::Leave, order.pages());
                self.block_counts[to.index()].change(order, Change::Join);
                self.counters.account(Pool::List(to), Change::Join, order.pages());
            }
        }
        self.regroup(desc, tree, to);
        if cfg!(feature = "faults") {
            // Last, because the blocks of a tree are all of one kind.
            self.gather_misfiled(desc, pageblock);
        }
    }

    /// Splits a free block that is larger than the pageblock and covers it, so that the pageblock's
    /// frames become a block of their own. The rest stays on its list.
    fn split_around(&mut self, desc: &Descriptors<'_, G>, pageblock: Pageblock) {
        let Some((head, state)) = desc.frames.head_of(pageblock.start(), G::MAX_ORDER) else {
            return;
        };
        if !state.is(FrameKind::Free) || state.order() <= G::PAGEBLOCK_ORDER {
            return;
        }
        let mut part = self.remove(desc, head);
        while part.order > G::PAGEBLOCK_ORDER {
            let (low, high) = part.halves();
            let (rest, with_block) = if pageblock.start() < high.pfn { (high, low) } else { (low, high) };
            self.insert(desc, rest);
            part = with_block;
        }
        self.insert(desc, part);
    }

    /// Merges a pageblock that is one free block, or lies in a guard, with its buddy if the two are
    /// of one kind now.
    fn join_neighbours(&mut self, desc: &Descriptors<'_, G>, pageblock: Pageblock) {
        let Some((head, state)) = desc.frames.head_of(pageblock.start(), G::MAX_ORDER) else {
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
        let state = desc.frames.state(free);
        if state.is(FrameKind::Free) && state.order() == order {
            let whole = self.remove(desc, free);
            self.merge(desc, whole);
        }
    }
}
