//! Frees a block: merges it with its buddies as long as they are free, and inserts the result.
//!
//! This is `free_one_page`, `split_large_buddy` and `__free_one_page` of Linux. Below the pageblock
//! order all buddies are in one pageblock and of one kind, and its tree shows which are free. From
//! the pageblock order on, blocks merge only if both are of one kind, or of ordinary types, when
//! the pageblocks of the buddy take the type of the freed block. Isolated blocks never merge across
//! pageblocks, so that an undo concerns one pageblock at a time.

use crate::base::{
    FrameKind, FreeKind, Geometry, MigrateType, Mobility, Order, Pageblock, Pfn, PfnRange, aligned_blocks,
};
use crate::buddy::counters::{Change, Pool};
use crate::buddy::free_block::FreeBlock;
use crate::buddy::lists::Buddy;
use crate::instruments::{Faults, StaleKind};
use crate::records::{BuddyTree, Descriptors, FrameIndex, FrameState};

impl<G: Geometry> Buddy<G> {
    /// Frees a block. One that spans pageblocks is split first, because their kinds may differ.
    pub(crate) fn free(&mut self, desc: &Descriptors<'_, G>, block: FreeBlock) {
        if block.order <= G::PAGEBLOCK_ORDER {
            if let Some(block) = self.parking.insert(desc, block) {
                self.merge(desc, block);
            }
            return;
        }
        for (pfn, order) in aligned_blocks(block.range(), G::PAGEBLOCK_ORDER) {
            if let Some(block) = self.parking.insert(desc, FreeBlock { pfn, order, ..block }) {
                self.merge(desc, block);
            }
        }
    }

    /// As [`free`](Self::free), unless a fault passes the kind that it read before the lock.
    #[inline]
    pub(crate) fn free_with_stale_kind(
        &mut self,
        desc: &Descriptors<'_, G>,
        block: FreeBlock,
        stale: Option<StaleKind>,
    ) {
        match stale {
            Some(StaleKind(kind)) if cfg!(feature = "faults") => {
                self.merge_legacy(desc, block, kind, kind);
            }
            _ => self.free(desc, block),
        }
    }

    /// Frees the blocks of a pcplist of this order and mobility. Each goes to the list that its
    /// pageblock names now, whatever pcplist it was on.
    #[inline(never)]
    pub(crate) fn free_batch(
        &mut self,
        desc: &Descriptors<'_, G>,
        order: Order,
        mobility: Mobility,
        blocks: impl Iterator<Item = FrameIndex>,
    ) {
        // The pages of the blocks that were freed last, all of one kind. They are counted together.
        let (mut last, mut pages) = (FreeKind::Isolated, 0);
        for index in blocks {
            if desc.faults.is_on(Faults::CACHED_TYPE_AT_SPILL) {
                let pfn = desc.frames.pfn(index);
                let cached_as = match desc.kind(pfn) {
                    FreeKind::Isolated => FreeKind::Listed(mobility.migratetype()),
                    kind @ FreeKind::Listed(_) => kind,
                };
                self.merge_legacy(desc, FreeBlock::new(pfn, order), cached_as, desc.kind(pfn));
            } else if !Self::is_small(order) || cfg!(any(feature = "faults", feature = "designs")) {
                self.free(desc, FreeBlock::new(desc.frames.pfn(index), order));
            } else if let Some((kind, tree)) = desc.pageblocks.kind_and_tree(index) {
                if kind != last {
                    self.counters.account(Pool::List(last), Change::Join, pages);
                    (last, pages) = (kind, 0);
                }
                pages += order.pages();
                if let Some(whole) = self.merge_small(desc, (kind, tree), index, order) {
                    self.merge_large(desc, whole, kind);
                }
            }
        }
        self.counters.account(Pool::List(last), Change::Join, pages);
    }

    /// Adds memory that is new to the zone. Its frames must be [`FrameState::TAIL`]s.
    pub(crate) fn add(&mut self, desc: &Descriptors<'_, G>, range: PfnRange) {
        let largest = if G::PAGEBLOCK_ORDER < G::MAX_ORDER { G::PAGEBLOCK_ORDER } else { G::MAX_ORDER };
        for (pfn, order) in aligned_blocks(range, largest) {
            self.merge(desc, FreeBlock::new(pfn, order));
        }
    }

    pub(crate) fn unpark(&mut self, desc: &Descriptors<'_, G>, pageblock: Pageblock) {
        let mut from = pageblock.start();
        while let Some(block) = self.parking.remove_next(desc, pageblock, from) {
            from = block.range().end();
            self.merge(desc, block);
        }
    }

    /// Merges a block, all of whose pageblocks are of one kind, with its buddies, and inserts it.
    pub(super) fn merge(&mut self, desc: &Descriptors<'_, G>, block: FreeBlock) {
        let kind = desc.kind(block.pfn);
        if desc.faults.is_on(Faults::MERGE_ACROSS | Faults::FREED_BLOCK_ONLY) {
            return self.merge_legacy(desc, block, kind, kind);
        }
        if !Self::is_small(block.order) {
            return self.merge_large(desc, block, kind);
        }
        let index = desc.frames.index_of(block.pfn);
        if let Some(place) = desc.pageblocks.kind_and_tree(index) {
            self.counters.account(Pool::List(kind), Change::Join, block.order.pages());
            if let Some(whole) = self.merge_small(desc, place, index, block.order) {
                self.merge_large(desc, whole, kind);
            }
        }
    }

    /// Merges a block within its pageblock, whose kind and tree these are, and inserts it. If the
    /// whole pageblock is free now, it instead returns that block, which is on no list. Adds only
    /// the freed block to the page count of the pageblock, and the caller does so with that of the
    /// zone: the buddies are in them already.
    #[inline(always)]
    fn merge_small(
        &mut self,
        desc: &Descriptors<'_, G>,
        (kind, tree): (FreeKind, BuddyTree<'_, G>),
        mut index: FrameIndex,
        mut order: Order,
    ) -> Option<FreeBlock> {
        let (mut node, mut pages) = (BuddyTree::<G>::node(index, order), order.pages());
        tree.summary.add_pages(pages as u32);
        while Self::is_small(order) && order < G::MAX_ORDER {
            if tree.has(node.buddy()) {
                tree.remove(node.buddy(), order);
                self.block_counts[kind.index()].change(order, Change::Leave);
            } else if (self.counters.guard() == 0 && !cfg!(feature = "faults"))
                || !self.absorb_unlisted(desc, (kind, tree), index.buddy(order), order)
            {
                break;
            }
            // The upper half is no head any more.
            let upper = FrameIndex::new(index.number() | pages as u32);
            desc.frames.set_state_at(upper, FrameState::TAIL);
            index = FrameIndex::new(index.number() & !(pages as u32));
            (node, order, pages) = (node.parent(), order.up(), pages << 1);
        }
        let whole = if Self::is_small(order) {
            self.insert_small(desc, tree, index, node, order, kind);
            if desc.faults.is_on(Faults::SKIPPED_ACCOUNT) && order == Order::ZERO {
                self.counters.account(Pool::List(kind), Change::Leave, pages);
            }
            None
        } else {
            tree.summary.add_pages((pages as u32).wrapping_neg());
            self.counters.account(Pool::List(kind), Change::Leave, pages);
            Some(FreeBlock::new(desc.frames.pfn(index), order))
        };
        self.regroup(desc, tree, kind);
        whole
    }

    /// Absorbs a buddy that is a guard or a misfiled block, and counts its pages in the pageblock
    /// and in the zone. Returns false if it is neither.
    #[cold]
    #[inline(never)]
    fn absorb_unlisted(
        &mut self,
        desc: &Descriptors<'_, G>,
        (kind, tree): (FreeKind, BuddyTree<'_, G>),
        buddy: FrameIndex,
        order: Order,
    ) -> bool {
        let block = FreeBlock::new(desc.frames.pfn(buddy), order);
        let absorbed = self.absorb(desc, block, kind, desc.frames.state_at(buddy));
        if absorbed {
            tree.summary.add_pages(order.pages() as u32);
            self.counters.account(Pool::List(kind), Change::Join, order.pages());
        }
        absorbed
    }

    /// Merges a block of at least the pageblock order with its buddies, and inserts it.
    #[inline(never)]
    fn merge_large(&mut self, desc: &Descriptors<'_, G>, mut block: FreeBlock, kind: FreeKind) {
        while block.order < G::MAX_ORDER {
            let buddy = block.order.buddy(block.pfn);
            let state = desc.frames.state(buddy);
            if state.order() != block.order
                || !matches!(state.kind(), FrameKind::Free | FrameKind::Guard)
                || !Self::merges_across(desc, kind, buddy, block.order)
                || !self.absorb(desc, FreeBlock::new(buddy, block.order), kind, state)
            {
                break;
            }
            let (low, high) = if buddy < block.pfn { (buddy, block.pfn) } else { (block.pfn, buddy) };
            desc.frames.set_state(high, FrameState::TAIL);
            // What was not reported of either half is to be reported with the whole.
            let reported = block.reported && state.is_reported();
            block = FreeBlock { pfn: low, order: block.order.up(), reported };
        }
        let pfn = block.pfn;
        self.insert(desc, block);
        if self.guard_below > G::PAGEBLOCK_ORDER && self.counters.guard() != 0 {
            self.release_idle_guards(desc, pfn);
        }
    }

    /// Removes a buddy, for a merge, that is a guard or a free block outside the trees; else false.
    fn absorb(
        &mut self,
        desc: &Descriptors<'_, G>,
        buddy: FreeBlock,
        kind: FreeKind,
        state: FrameState,
    ) -> bool {
        if state.order() != buddy.order {
            return false;
        }
        match state.kind() {
            FrameKind::Guard => self.absorb_guard(desc, buddy, kind),
            FrameKind::Free => {
                // The caller inserts the merged block.
                let _merged = self.remove(desc, buddy.pfn);
            }
            _ => return false,
        }
        true
    }

    /// Ends a guard, which is on no list. The caller counts its pages with the merged block.
    #[cold]
    pub(super) fn absorb_guard(&mut self, desc: &Descriptors<'_, G>, buddy: FreeBlock, kind: FreeKind) {
        let pages = buddy.order.pages();
        desc.guards.release(buddy.range());
        self.counters.account(Pool::Guard, Change::Leave, pages);
        if desc.faults.is_on(Faults::GUARD_COUNTED) && kind == FreeKind::Isolated {
            let counted = Pool::List(FreeKind::Listed(MigrateType::Movable));
            self.counters.account(counted, Change::Join, pages);
        }
        if desc.faults.is_on(Faults::GUARD_NOT_COUNTED) {
            self.counters.account(Pool::List(kind), Change::Leave, pages);
        }
    }

    /// Whether a block of at least the pageblock order and of this kind may merge with its buddy.
    /// If both are of ordinary types, gives the buddy's pageblocks the type of this one.
    fn merges_across(desc: &Descriptors<'_, G>, kind: FreeKind, buddy: Pfn, order: Order) -> bool {
        let FreeKind::Listed(own) = kind else {
            return desc.faults.is_on(Faults::FIRST_BLOCK_ONLY) && desc.kind(buddy) == FreeKind::Isolated;
        };
        let FreeKind::Listed(other) = desc.kind(buddy) else {
            return false;
        };
        // A guard may span pageblocks of which only some are isolated; a free block does not.
        let mut pageblocks = Pageblock::covering::<G>(order.block(buddy));
        if pageblocks.any(|pageblock| desc.kind(pageblock.start()) == FreeKind::Isolated) {
            return false;
        }
        if own == other {
            return true;
        }
        let ordinary = own.is_ordinary() && other.is_ordinary();
        if ordinary {
            for pageblock in Pageblock::covering::<G>(order.block(buddy)) {
                let state = desc.pageblocks.state(pageblock.start());
                desc.pageblocks.set_state(pageblock, state.with_type(own));
            }
        }
        ordinary
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use crate::base::{AllocRequest, Order};
    use crate::buddy::FreeBlock;
    use crate::inspect::Violation;
    use crate::page_allocator::Tuning;
    use crate::page_allocator::testing::{Bare, machine};
    use crate::records::FrameState;

    /// What `verify` finds when both halves of a block were freed and not merged.
    fn found_after_no_merge(order: Order) -> Option<(Violation, Violation)> {
        let machine = machine(Bare, 8 << 20, Tuning::default());
        let start = machine.alloc_pages(AllocRequest::movable().order(order.up())).unwrap();
        machine.verify().unwrap();
        let desc = machine.desc();
        machine.in_zone(&machine.zones()[2], |inner| {
            for pfn in [start, start.up(order.pages())] {
                desc.frames.set_state(pfn, FrameState::TAIL);
                inner.buddy.insert(desc, FreeBlock::new(pfn, order));
            }
        });
        let expected = Violation::Unmerged { pfn: start, order, site: desc.site(start) };
        machine.verify().err().map(|found| (found, expected))
    }

    #[test]
    fn verify_finds_two_free_halves_of_every_order() {
        for order in (0..10).map(Order::new) {
            let (found, expected) = found_after_no_merge(order).unwrap();
            assert_eq!(found, expected);
        }
    }
}
