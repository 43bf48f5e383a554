//! Changes the state of a pageblock and moves its free blocks to the new list, in one lock hold.
//!
//! Isolation and its undo, the high-atomic reserve, CMA, and claims of a part of a pageblock use
//! [`Buddy::retype`]. (A claim of a whole free block and a merge across pageblocks store the new
//! type themselves, because they move that block anyway.) It does not return a number of moved
//! pages for the caller to count, because the lists do that: in patch 9 of the 2014 discussion a
//! caller added up the wrong number.

use crate::base::{FrameKind, FreeKind, Geometry, MigrateType, Order, Pageblock};
use crate::buddy::counters::{Change, Pool};
use crate::buddy::lists::Buddy;
use crate::instruments::Faults;
use crate::records::{Descriptors, FrameState, Isolation, PageblockState};

impl<G: Geometry> Buddy<G> {
    /// Gives a pageblock the state `to` and moves its free blocks to the list that `to` names.
    /// Takes time in proportion to its free blocks.
    pub(crate) fn retype(&mut self, desc: &Descriptors<'_, G>, pageblock: Pageblock, to: PageblockState) {
        if desc.faults.is_on(Faults::MOVED_MEANS_FOUND | Faults::FIRST_BLOCK_ONLY) {
            self.count_found_as_moved(desc, pageblock, to);
        }
        self.init_range(desc, pageblock.range::<G>());
        self.split_around(desc, pageblock);
        let was = desc.pageblocks.state(pageblock.start());
        self.count_retype(was, to);
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

    /// Counts a pageblock that joins or leaves the atomic reserve, or is isolated or not any more.
    fn count_retype(&mut self, was: PageblockState, to: PageblockState) {
        let reserved = |state: PageblockState| state.migratetype == MigrateType::HighAtomic;
        let isolated = |state: PageblockState| state.isolation != Isolation::None;
        let events = &mut self.events;
        match (reserved(was), reserved(to)) {
            (false, true) => {
                self.atomic_pageblocks += 1;
                events.reserved_pageblocks += 1;
            }
            (true, false) => {
                self.atomic_pageblocks -= 1;
                events.unreserved_pageblocks += 1;
            }
            _ => {}
        }
        events.isolated_pageblocks += u64::from(!isolated(was) && isolated(to));
        events.unisolated_pageblocks += u64::from(isolated(was) && !isolated(to));
    }

    /// Moves the free blocks in the tree of a pageblock to the lists of another kind. They stay in
    /// the tree; the pageblock moves to a fullness group of that kind.
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
            // Last, when all blocks in the tree are of the new kind.
            self.gather_misfiled(desc, pageblock);
        }
    }

    /// Splits a larger free block around the pageblock, so that this is a block of its own.
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

    /// Merges the block of the pageblock with its buddy, if they can merge in the new state.
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
