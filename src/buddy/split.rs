//! Allocates a block of one migratetype: finds the smallest that is large enough and splits it.
//!
//! This is `__rmqueue_smallest` and `expand` of Linux, except that blocks below the pageblock order
//! come from the fullest pageblock that has one.

use crate::base::{FreeKind, Geometry, MigrateType, Order};
use crate::buddy::counters::{Change, Pool};
use crate::buddy::free_block::FreeBlock;
use crate::buddy::lists::Buddy;
use crate::buddy::local::Taker;
use crate::instruments::Faults;
use crate::records::{BuddyTree, Descriptors, FrameIndex, FrameState, FreePlaces, PageblockRecords};

impl<G: Geometry> Buddy<G> {
    /// Allocates a block of `order` from the lists of one migratetype.
    ///
    /// It comes from the fullest pageblock that has a block of at least that order, and from its
    /// smallest; if there is none, from the smallest block of at least the pageblock order.
    pub(crate) fn alloc_smallest(
        &mut self,
        desc: &Descriptors<'_, G>,
        migratetype: MigrateType,
        order: Order,
        taker: Option<Taker<'_>>,
    ) -> Option<FreeBlock> {
        let kind = FreeKind::Listed(migratetype);
        if let Some(pfn) = self.misfiled.smallest(desc, order, kind) {
            let block = self.remove(desc, pfn);
            return Some(self.expand(desc, block, order));
        }
        loop {
            let found = self
                .alloc_small(desc, kind, order, taker)
                .or_else(|| self.alloc_linked(desc, kind, order, taker));
            // A block of deferred memory may be in a tree or on a list.
            if found.is_some() || kind != FreeKind::Listed(MigrateType::Movable) || !self.init_one(desc) {
                return found;
            }
        }
    }

    /// Allocates from the fullest pageblock that has a block of at least `order` in its tree.
    #[inline]
    fn alloc_small(
        &mut self,
        desc: &Descriptors<'_, G>,
        kind: FreeKind,
        order: Order,
        taker: Option<Taker<'_>>,
    ) -> Option<FreeBlock> {
        let tree = self.choose(desc, kind, order, taker)?;
        let (found, index) = tree.take_smallest(order)?;
        self.count_removed(found, kind);
        desc.frames.set_state_at(index, FrameState::TAIL);
        tree.summary.add_pages((found.pages() as u32).wrapping_neg());
        self.expand_small(desc, tree, index, found, order, kind);
        self.regroup(desc, tree, kind);
        // So that the rest of a refill finds it. It is not reserved before that has its pages.
        if taker.is_some_and(|taker| !taker.owns(tree)) {
            self.note_taken_elsewhere(desc, tree, taker);
        }
        Some(FreeBlock::new(desc.frames.pfn(index), order))
    }

    /// Allocates blocks for these places, of this order, from the fullest pageblock of this kind
    /// that has one: first those of the order, then parts of larger blocks, the smallest first.
    /// Gives them the state `cached`. Returns false if there is none.
    #[inline]
    pub(super) fn alloc_batch(
        &mut self,
        desc: &Descriptors<'_, G>,
        kind: FreeKind,
        order: Order,
        taker: Option<Taker<'_>>,
        places: &mut FreePlaces<'_>,
        cached: FrameState,
    ) -> bool {
        let chosen = self.choose(desc, kind, order, taker);
        let Some(records) = chosen.and_then(|tree| desc.pageblocks.records_at(tree.pageblock)) else {
            return false;
        };
        let (tree, before) = (records.tree, places.len());
        while places.len() > 0
            && let Some(found) = tree.summary.smallest(order)
        {
            let (blocks, mut rest) = if order == Order::ZERO {
                Self::take_pages(&records, found, places, cached)
            } else {
                Self::take_blocks(&records, found, order, places, cached)
            };
            if blocks == 0 && tree.summary.smallest(order) == Some(found) {
                debug_assert!(false, "an order that is empty has no bit any more");
                break;
            }
            self.block_counts[kind.index()].leave(found, blocks);
            while rest.alignment() < found {
                let part = rest.alignment();
                self.insert_small(desc, tree, rest, part, kind);
                rest = rest.up(part.pages() as u32);
            }
        }
        let taken = before.wrapping_sub(places.len());
        let pages = taken.wrapping_shl(order.get().into());
        let rest = tree.summary.add_pages(pages.wrapping_neg());
        self.counters.account(Pool::List(kind), Change::Leave, pages as usize);
        self.regroup(desc, tree, kind);
        self.note_taken(desc, tree, taker, rest);
        taken > 0
    }

    /// Takes blocks of order `found` for these places, of a pageblock that may have any, and splits
    /// them into blocks of `order`. Returns the number of blocks, and the end of what was taken of
    /// the last one, whose rest is the caller's.
    #[inline(always)]
    fn take_blocks(
        PageblockRecords { tree, frames, .. }: &PageblockRecords<'_, G>,
        found: Order,
        order: Order,
        places: &mut FreePlaces<'_>,
        cached: FrameState,
    ) -> (u32, FrameIndex) {
        let shift = u32::from(found.get().wrapping_sub(order.get())) & 31;
        let (mut free, mut end) = (*places, FrameIndex::new(0));
        let (Some(tree), Some(frames)) = (tree.of_whole_words(), frames.whole()) else {
            return (0, end);
        };
        // Rounded up: the last block may be split.
        let limit = (free.len().wrapping_sub(1) >> shift).wrapping_add(1);
        let taken = tree.drain(found, limit, |first| {
            end = first;
            for place in free.take(1 << shift) {
                frames.set_state_at(end, cached);
                place.fill(end);
                end = end.up(order.pages() as u32);
            }
        });
        *places = free;
        (taken, end)
    }

    /// [`take_blocks`](Self::take_blocks) of single pages. A function of its own, so that all that
    /// it works with is in registers.
    #[inline(never)]
    fn take_pages(
        records: &PageblockRecords<'_, G>,
        found: Order,
        places: &mut FreePlaces<'_>,
        cached: FrameState,
    ) -> (u32, FrameIndex) {
        Self::take_blocks(records, found, Order::ZERO, places, cached)
    }

    /// Allocates from the smallest block on the linked lists that is large enough.
    #[cold]
    #[inline(never)]
    fn alloc_linked(
        &mut self,
        desc: &Descriptors<'_, G>,
        kind: FreeKind,
        order: Order,
        taker: Option<Taker<'_>>,
    ) -> Option<FreeBlock> {
        let pfn = order
            .max(G::PAGEBLOCK_ORDER)
            .up_to(G::MAX_ORDER)
            .find_map(|order| self.areas[order.index()].lists[kind.index()].first(&desc.frames))?;
        let block = self.remove(desc, pfn);
        let block = self.expand(desc, block, order);
        if let Some(tree) = desc.pageblocks.tree(block.pfn) {
            self.note_taken(desc, tree, taker, tree.summary.pages());
        }
        Some(block)
    }

    /// Splits a block down to `order`: inserts the upper halves and returns the lowest part.
    pub(super) fn expand(
        &mut self,
        desc: &Descriptors<'_, G>,
        mut block: FreeBlock,
        order: Order,
    ) -> FreeBlock {
        while block.order > order && block.order > G::PAGEBLOCK_ORDER {
            let (low, high) = block.halves();
            if desc.faults.is_on(Faults::FIRST_BLOCK_ONLY) {
                self.insert_with_lower_half(desc, low.pfn, high);
            } else if high.order < self.guard_below {
                self.guard(desc, high);
            } else {
                self.insert(desc, high);
            }
            block = low;
        }
        if block.order > order
            && let Some(tree) = desc.pageblocks.tree(block.pfn)
        {
            // The rest is within one pageblock.
            let kind = desc.kind(block.pfn);
            self.expand_small(desc, tree, desc.frames.index_of(block.pfn), block.order, order, kind);
            self.regroup(desc, tree, kind);
            block.order = order;
        }
        block
    }

    /// As [`expand`](Self::expand), for a block of order `found` within one pageblock. The caller
    /// calls [`regroup`](Self::regroup).
    #[inline(always)]
    fn expand_small(
        &mut self,
        desc: &Descriptors<'_, G>,
        tree: BuddyTree<'_, G>,
        index: FrameIndex,
        mut found: Order,
        order: Order,
        kind: FreeKind,
    ) {
        let (mut inserted, mut counted) = (0_u32, 0_u32);
        while found > order {
            found = found.down();
            let high = index.buddy(found);
            if found < self.guard_below {
                self.guard(desc, FreeBlock::new(desc.frames.pfn(high), found));
                continue;
            }
            self.insert_small(desc, tree, high, found, kind);
            let pages = 1_u32.wrapping_shl(found.get().into());
            inserted = inserted.wrapping_add(pages);
            if !self.skips_count(desc, found) {
                counted = counted.wrapping_add(pages);
            }
        }
        tree.summary.add_pages(inserted);
        self.counters.account(Pool::List(kind), Change::Join, counted as usize);
    }

    #[cold]
    fn guard(&mut self, desc: &Descriptors<'_, G>, block: FreeBlock) {
        desc.frames.set_state(block.pfn, FrameState::guard(block.order));
        self.counters.account(Pool::Guard, Change::Join, block.order.pages());
        desc.guards.keep(block.range());
    }
}
