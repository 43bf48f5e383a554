//! A block is wanted: found on the lists of one type, split to size.
//!
//! `__rmqueue_smallest` and `expand` in Linux, but that small blocks come from the fullest pageblock that has one. Neighbours:
//! [`fallback`](super::fallback) says which type's lists, [`shelves`](super::shelves) which pageblock.

use super::{Buddy, FreeBlock};
use crate::block_area::BlockTree;
use crate::counters::{Change, Pool};
use crate::faults::when_fault;
use crate::frame::FrameIndex;
use crate::frame::state::FrameState;
use crate::geometry::Geometry;
use crate::mem_map::MemMap;
use crate::migratetype::{FreeKind, MigrateType};
use crate::order::Order;

impl<G: Geometry> Buddy<G> {
    /// A block of exactly `order` from the lists of one type: from the fullest pageblock that has one to give, split from the
    /// smallest there that is large enough; if there is none, from the smallest block of a pageblock's size or more.
    pub(crate) fn take_smallest(
        &mut self,
        mem: &MemMap<'_, G>,
        migratetype: MigrateType,
        order: Order,
    ) -> Option<FreeBlock> {
        let kind = FreeKind::Listed(migratetype);
        #[cfg(feature = "faults")]
        if let Some(pfn) = self.strays.smallest(mem, order, kind) {
            let block = self.unfile(mem, pfn);
            return Some(self.expand(mem, block, order));
        }
        self.take_small_of(mem, kind, order).or_else(|| self.take_large_of(mem, kind, order))
    }

    /// From a block of at least a pageblock; of movable type, from fresh memory if there is none.
    #[cold]
    #[inline(never)]
    fn take_large_of(&mut self, mem: &MemMap<'_, G>, kind: FreeKind, order: Order) -> Option<FreeBlock> {
        let fresh = kind == FreeKind::Listed(MigrateType::Movable);
        self.take_listed(mem, kind, order).or_else(|| {
            if !(fresh && self.list_one(mem)) {
                return None;
            }
            // A fresh pageblock may be larger than the largest block.
            self.take_listed(mem, kind, order).or_else(|| self.take_small_of(mem, kind, order))
        })
    }

    /// From the fullest pageblock that has a block to give.
    #[inline(always)]
    fn take_small_of(&mut self, mem: &MemMap<'_, G>, kind: FreeKind, order: Order) -> Option<FreeBlock> {
        let tree = mem.blocks.tree_at(self.shelves[kind.index()].fullest::<G>(order)?)?;
        let found = tree.area.smallest(order)?;
        let index = tree.first(found)?;
        self.take_small(tree, BlockTree::<G>::node(index, found), found, kind);
        mem.frames.set_state_at(index, FrameState::TAIL);
        tree.area.add_pages((found.pages() as u32).wrapping_neg());
        self.expand_small(mem, tree, index, found, order, kind);
        self.settle(mem, tree, kind);
        Some(FreeBlock { pfn: mem.frames.pfn(index), order })
    }

    /// Up to `limit` blocks of `order` from one pageblock of this kind, the fullest that has any: first those that are of this order,
    /// then a larger one cut up. Calls `give` with each, whose state says nothing yet, and says how many these were.
    #[inline(always)]
    pub(super) fn take_run(
        &mut self,
        mem: &MemMap<'_, G>,
        kind: FreeKind,
        order: Order,
        limit: u32,
        mut give: impl FnMut(FrameIndex),
    ) -> u32 {
        let fullest = self.shelves[kind.index()].fullest::<G>(order);
        let Some(tree) = fullest.and_then(|pageblock| mem.blocks.tree_at(pageblock)) else {
            return 0;
        };
        let mut taken = tree.drain(order, limit, |index| {
            self.leave(order, kind);
            give(index);
        });
        if taken < limit
            && let Some(found) = tree.area.smallest(order)
            && let Some(index) = tree.first(found)
        {
            self.take_small(tree, BlockTree::<G>::node(index, found), found, kind);
            let end = index.up(found.pages() as u32);
            let mut at = index;
            while taken < limit && at != end {
                give(at);
                at = at.up(order.pages() as u32);
                taken = taken.wrapping_add(1);
            }
            while at != end {
                let rest = at.alignment();
                self.put_small(mem, tree, at, BlockTree::<G>::node(at, rest), rest, kind);
                self.count(mem, rest, kind);
                at = at.up(rest.pages() as u32);
            }
        }
        tree.area.add_pages(taken.wrapping_shl(order.get().into()).wrapping_neg());
        self.settle(mem, tree, kind);
        taken
    }

    fn take_listed(&mut self, mem: &MemMap<'_, G>, kind: FreeKind, order: Order) -> Option<FreeBlock> {
        let pfn = order
            .max(G::PAGEBLOCK_ORDER)
            .up_to(G::MAX_ORDER)
            .find_map(|order| self.areas[order.index()].lists[kind.index()].first(&mem.frames))?;
        let block = self.unfile(mem, pfn);
        Some(self.expand(mem, block, order))
    }

    /// Splits a block down to `order`, keeps the lowest part and files the upper halves (`expand`).
    pub(super) fn expand(&mut self, mem: &MemMap<'_, G>, mut block: FreeBlock, order: Order) -> FreeBlock {
        while block.order > order && block.order > G::PAGEBLOCK_ORDER {
            let (low, high) = block.halves();
            when_fault!(mem, FIRST_BLOCK_ONLY => {
                self.file_with_its_other_half(mem, low.pfn, high);
                block = low;
                continue;
            });
            self.leave_over(mem, high);
            block = low;
        }
        if block.order > order
            && let Some(tree) = mem.blocks.tree(block.pfn)
        {
            // What is left lies within one pageblock.
            let kind = mem.kind(block.pfn);
            self.expand_small(mem, tree, mem.frames.link(block.pfn), block.order, order, kind);
            self.settle(mem, tree, kind);
            block.order = order;
        }
        block
    }

    /// The same within a pageblock of this kind. Whoever calls this settles the pageblock.
    #[inline(always)]
    fn expand_small(
        &mut self,
        mem: &MemMap<'_, G>,
        tree: BlockTree<'_, G>,
        index: FrameIndex,
        mut found: Order,
        order: Order,
        kind: FreeKind,
    ) {
        while found > order {
            found = found.down();
            let high = index.buddy(found);
            if found < self.guard_below {
                self.guard(mem, FreeBlock { pfn: mem.frames.pfn(high), order: found });
                continue;
            }
            self.put_small(mem, tree, high, BlockTree::<G>::node(high, found), found, kind);
            tree.area.add_pages(found.pages() as u32);
            self.count(mem, found, kind);
        }
    }

    /// What a split leaves over: a guard if it is small enough for that.
    fn leave_over(&mut self, mem: &MemMap<'_, G>, block: FreeBlock) {
        if block.order < self.guard_below { self.guard(mem, block) } else { self.file(mem, block) }
    }

    #[cold]
    fn guard(&mut self, mem: &MemMap<'_, G>, block: FreeBlock) {
        mem.frames.set_state(block.pfn, FrameState::guard(block.order));
        self.counters.account(Pool::Guard, Change::Join, block.order.pages());
        mem.guards.keep(block.range());
    }
}
