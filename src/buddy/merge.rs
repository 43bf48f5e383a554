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
use crate::buddy::fullness::set_local;
use crate::buddy::lists::Buddy;
use crate::instruments::{Faults, StaleKind};
use crate::records::{BuddyTree, Descriptors, FrameIndex, FrameState, LocalCpu, PageblockRecords};

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

    /// Frees the blocks of a pcplist of this order and mobility, whose state is `cached`; an entry
    /// whose block has another is stale. Each goes to the list that its pageblock names now,
    /// whatever pcplist it was on. Returns the number of blocks.
    #[inline(never)]
    pub(crate) fn free_batch(
        &mut self,
        desc: &Descriptors<'_, G>,
        order: Order,
        mobility: Mobility,
        cached: FrameState,
        entries: impl Iterator<Item = FrameIndex> + Clone,
    ) -> usize {
        if desc.faults.is_on(Faults::CACHED_TYPE_AT_SPILL)
            || !Self::is_small(order)
            || order == G::MAX_ORDER
            || self.counters.guard() != 0
            || cfg!(any(feature = "faults", feature = "designs"))
        {
            let mut freed = 0;
            for index in entries {
                if desc.frames.written_state_at(index) == cached {
                    desc.sites.mark_old(index);
                    self.free_cached(desc, FreeBlock::new(desc.frames.pfn(index), order), mobility);
                    freed += 1;
                }
            }
            return freed;
        }
        // Single pages, which are most, have code of their own.
        if order == Order::ZERO {
            return self.free_small_batch(desc, Order::ZERO, cached, entries);
        }
        self.free_small_batch(desc, order, cached, entries)
    }

    /// As [`free_batch`](Self::free_batch), for blocks below the pageblock order, while there is no
    /// guard. What the blocks of pageblocks of one state become is counted together.
    #[inline(always)]
    fn free_small_batch(
        &mut self,
        desc: &Descriptors<'_, G>,
        order: Order,
        cached: FrameState,
        entries: impl Iterator<Item = FrameIndex> + Clone,
    ) -> usize {
        let mut freed = 0;
        let first = entries.clone().next();
        let mut bits = first.and_then(|index| desc.pageblocks.bits(index)).unwrap_or_default();
        let mut state = FrameState::free(Order::ZERO, bits.kind());
        // By order, how many blocks became one of that order.
        let mut merged = [0_u32; Order::COUNT];
        for index in entries {
            let Some(records) = desc.pageblocks.boot_records_of(index) else {
                freed += self.free_added(desc, index, order, cached);
                continue;
            };
            if bits != records.bits {
                freed += self.count_merged(state, order, &mut merged);
                bits = records.bits;
                state = FrameState::free(Order::ZERO, bits.kind());
            }
            if records.frames.state_at(index) == cached {
                desc.sites.mark_old(index);
                self.merge_small(desc, records, index, order, (state, false), |_, to| {
                    if let Some(blocks) = merged.get_mut(to.index()) {
                        *blocks = blocks.wrapping_add(1);
                    }
                });
            }
        }
        freed + self.count_merged(state, order, &mut merged)
    }

    /// Frees a block of a pcplist that is in memory which was added after boot. Returns the number
    /// of blocks: 0 if the entry is stale.
    #[cold]
    #[inline(never)]
    fn free_added(
        &mut self,
        desc: &Descriptors<'_, G>,
        index: FrameIndex,
        order: Order,
        cached: FrameState,
    ) -> usize {
        let is_cached = desc.frames.written_state_at(index) == cached;
        if is_cached {
            desc.sites.mark_old(index);
            self.free(desc, FreeBlock::new(desc.frames.pfn(index), order));
        }
        usize::from(is_cached)
    }

    /// Counts freed blocks of order `from` in the zone, of which `merged[n]` became blocks of order
    /// n, and sets that to 0. `state` is that of a free page of their pageblocks. Returns the
    /// number of blocks.
    #[inline(never)]
    fn count_merged(&mut self, state: FrameState, from: Order, merged: &mut [u32; Order::COUNT]) -> usize {
        let kind = state.free_kind();
        let freed = self.block_counts[kind.index()].merge_all(from, merged) as usize;
        *merged = [0; Order::COUNT];
        self.counters.account(Pool::List(kind), Change::Join, freed << from.get());
        freed
    }

    /// Frees a block of a pcplist of this mobility.
    fn free_cached(&mut self, desc: &Descriptors<'_, G>, block: FreeBlock, mobility: Mobility) {
        if desc.faults.is_on(Faults::CACHED_TYPE_AT_SPILL) {
            let kind = desc.kind(block.pfn);
            let cached_as = match kind {
                FreeKind::Isolated => FreeKind::Listed(mobility.migratetype()),
                FreeKind::Listed(_) => kind,
            };
            return self.merge_legacy(desc, block, cached_as, kind);
        }
        self.free(desc, block);
    }

    /// Adds memory that is new to the zone. Its frames must be [`FrameState::TAIL`]s.
    pub(crate) fn add(&mut self, desc: &Descriptors<'_, G>, range: PfnRange) {
        desc.write_range(range);
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
        if block.order == G::MAX_ORDER {
            return self.insert(desc, block);
        }
        let index = desc.frames.index_of(block.pfn);
        if let Some(records) = desc.pageblocks.records_of(index) {
            let absorbs = self.counters.guard() != 0 || cfg!(feature = "faults");
            let state = FrameState::free(Order::ZERO, kind);
            self.counters.account(Pool::List(kind), Change::Join, block.order.pages());
            self.merge_small(desc, records, index, block.order, (state, absorbs), |buddy, to| {
                buddy.block_counts[kind.index()].merge(block.order, to);
            });
        }
    }

    /// Merges a block, not a largest one, within its pageblock, whose records these are, and
    /// inserts it; if the whole pageblock is free then, merges that on. `state` is that of a free
    /// page of the pageblock; `absorbs` says that there may be guards and misfiled blocks.
    ///
    /// Adds only the freed block to the page count of the pageblock. The caller does so with that
    /// of the zone, which has the buddies already. `count` changes the block counts of the zone,
    /// for the order that the block has in its pageblock now, where it took a block of each order
    /// between.
    #[inline(always)]
    fn merge_small(
        &mut self,
        desc: &Descriptors<'_, G>,
        PageblockRecords { tree, frames, .. }: PageblockRecords<'_, G>,
        index: FrameIndex,
        from: Order,
        (state, absorbs): (FrameState, bool),
        mut count: impl FnMut(&mut Self, Order),
    ) {
        let (mut node, mut order) = (BuddyTree::<G>::node(index, from), from);
        let mut note_inserted = |this: &mut Self, order: Order| {
            frames.set_state_at(index.align_down(order), state.of_order(order));
            let free = tree.summary.add(order, from.pages() as u32);
            count(this, order);
            if desc.faults.is_on(Faults::SKIPPED_ACCOUNT) && order == Order::ZERO {
                this.counters.account(Pool::List(state.free_kind()), Change::Leave, 1);
            }
            if !tree.summary.stays_in_group(free, order) {
                this.regroup_at(desc, tree.pageblock, state);
            }
        };
        loop {
            let Some(pair) = tree.pair(node) else {
                return;
            };
            if pair.has_buddy() {
                pair.take_buddy();
            } else if !absorbs || !self.absorb_unlisted(desc, state, tree.index(node.buddy(), order), order) {
                pair.insert();
                // Most of the blocks merge with no buddy.
                return if order == from { note_inserted(self, from) } else { note_inserted(self, order) };
            }
            // The upper half is no head any more.
            frames.set_state_at(tree.index(node.upper(), order), FrameState::TAIL);
            (node, order) = (node.parent(), order.up());
            if !Self::is_small(order) {
                count(self, order);
                return self.merge_whole(desc, index, state);
            }
            if order == G::MAX_ORDER {
                tree.insert(node, order, 0);
                return note_inserted(self, order);
            }
        }
    }

    /// Moves a pageblock of the list of this state to the fullness group that it belongs in.
    #[cold]
    #[inline(never)]
    fn regroup_at(&mut self, desc: &Descriptors<'_, G>, pageblock: u32, state: FrameState) {
        if let Some(tree) = desc.pageblocks.tree_at(pageblock) {
            self.regroup(desc, tree, state.free_kind());
        }
    }

    /// Merges a pageblock that is free as a whole now, and is on no list, with its buddies. Its
    /// pages but those of the freed block are in the page count of the pageblock still, and all
    /// will be in that of the zone.
    #[cold]
    #[inline(never)]
    fn merge_whole(&mut self, desc: &Descriptors<'_, G>, index: FrameIndex, state: FrameState) {
        let (kind, start) = (state.free_kind(), index.align_down(G::PAGEBLOCK_ORDER));
        let block = FreeBlock::new(desc.frames.pfn(start), G::PAGEBLOCK_ORDER);
        // It was counted as a block that is in a tree.
        self.block_counts[kind.index()].change(block.order, Change::Leave);
        if let Some(tree) = desc.pageblocks.tree(block.pfn) {
            tree.summary.set_empty();
            self.regroup(desc, tree, kind);
            set_local(&mut self.groups, &desc.pageblocks, tree, LocalCpu::NONE);
        }
        self.counters.account(Pool::List(kind), Change::Leave, block.order.pages());
        self.merge_large(desc, block, kind);
    }

    /// Absorbs a buddy that is a guard or a misfiled block, and counts its pages in the pageblock
    /// and in the zone, and itself in the zone, as a buddy that is in the tree is counted. Returns
    /// false if it is neither.
    #[cold]
    #[inline(never)]
    fn absorb_unlisted(
        &mut self,
        desc: &Descriptors<'_, G>,
        state: FrameState,
        buddy: FrameIndex,
        order: Order,
    ) -> bool {
        let kind = state.free_kind();
        let pfn = desc.frames.pfn(buddy);
        let state = desc.frames.written_state_at(buddy);
        if state.is(FrameKind::Free) && !state.is_misfiled() {
            return false;
        }
        let absorbed = self.absorb(desc, FreeBlock::new(pfn, order), kind, state);
        if absorbed && let Some(tree) = desc.pageblocks.tree(pfn) {
            tree.summary.add_pages(order.pages() as u32);
            self.counters.account(Pool::List(kind), Change::Join, order.pages());
            self.block_counts[kind.index()].change(order, Change::Join);
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
