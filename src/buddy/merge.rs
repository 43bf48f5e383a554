//! A block comes back: merged with its buddies as far as these are free, and filed.
//!
//! `free_one_page`, `split_large_buddy` and `__free_one_page` in Linux. Below the pageblock's order all buddies are in one
//! pageblock, of one kind, and one record says where they are listed; from there on each step asks whether the kinds
//! agree. Neighbours: [`super`] for the lists, [`guard`](crate::guard) for what else may stand beside a block.

use super::{Buddy, FreeBlock};
use crate::block_area::BlockTree;
use crate::counters::{Change, Pool};
use crate::faults::{Stale, fault, when_fault};
use crate::frame::FrameIndex;
use crate::frame::state::{FrameKind, FrameState};
use crate::geometry::Geometry;
use crate::mem_map::MemMap;
use crate::migratetype::FreeKind;
#[cfg(feature = "faults")]
use crate::migratetype::MigrateType;
use crate::order::{Order, aligned_blocks};
use crate::pageblock::Pageblock;
use crate::pcp::ListId;
use crate::pfn::Pfn;

impl<G: Geometry> Buddy<G> {
    /// Gives a block back: splits it where pageblocks may differ, merges each part with its buddies,
    /// files the result (`free_one_page` and `split_large_buddy` in Linux).
    pub(crate) fn free(&mut self, mem: &MemMap<'_, G>, block: FreeBlock) {
        if block.order <= G::PAGEBLOCK_ORDER {
            if let Some(block) = self.parking.admit(mem, block) {
                self.merge(mem, block);
            }
            return;
        }
        for (pfn, order) in aligned_blocks(block.range(), G::PAGEBLOCK_ORDER) {
            if let Some(block) = self.parking.admit(mem, FreeBlock { pfn, order }) {
                self.merge(mem, block);
            }
        }
    }

    /// As [`free`](Self::free), unless a fault has the caller believe in a state of the past.
    #[inline]
    pub(crate) fn free_or_stale(&mut self, mem: &MemMap<'_, G>, block: FreeBlock, stale: Option<Stale>) {
        match stale {
            None => self.free(mem, block),
            #[cfg(feature = "faults")]
            Some(stale) => self.free_stale(mem, block, stale),
            #[cfg(not(feature = "faults"))]
            Some(Stale(never)) => match never {},
        }
    }

    /// Gives blocks back that were cached on this pcplist. The list is not asked: the pageblock says where
    /// a block belongs now.
    #[inline(never)]
    pub(crate) fn free_cached(
        &mut self,
        mem: &MemMap<'_, G>,
        id: ListId,
        blocks: impl Iterator<Item = FrameIndex>,
    ) {
        let order = id.order();
        for index in blocks {
            when_fault!(mem, CACHED_TYPE_AT_SPILL => {
                let pfn = mem.frames.pfn(index);
                let cached_as = match mem.kind(pfn) {
                    FreeKind::Isolated => FreeKind::Listed(id.mobility().migratetype()),
                    kind @ FreeKind::Listed(_) => kind,
                };
                self.merge_historically(mem, FreeBlock { pfn, order }, cached_as, mem.kind(pfn));
                continue;
            });
            if !Self::is_small(order) || cfg!(any(feature = "faults", feature = "designs")) {
                self.free(mem, FreeBlock { pfn: mem.frames.pfn(index), order });
            } else if let Some((kind, whole)) = self.merge_small(mem, index, order) {
                self.merge_large(mem, whole, kind);
            }
        }
    }

    pub(super) fn merge(&mut self, mem: &MemMap<'_, G>, block: FreeBlock) {
        let kind = mem.kind(block.pfn);
        when_fault!(mem, MERGE_ACROSS | FREED_BLOCK_ONLY => {
            return self.merge_historically(mem, block, kind, kind);
        });
        if !Self::is_small(block.order) {
            self.merge_large(mem, block, kind);
        } else if let Some((kind, whole)) = self.merge_small(mem, mem.frames.link(block.pfn), block.order) {
            self.merge_large(mem, whole, kind);
        }
    }

    /// Merges and files a block within its pageblock. If it has become a whole pageblock gives it back, and the pageblock's kind.
    ///
    /// What free pages the pageblock has more in the end is what came, however much of it was merged.
    #[inline(always)]
    fn merge_small(
        &mut self,
        mem: &MemMap<'_, G>,
        mut index: FrameIndex,
        mut order: Order,
    ) -> Option<(FreeKind, FreeBlock)> {
        let (kind, tree) = mem.blocks.kind_and_tree(index)?;
        let (mut node, mut pages) = (BlockTree::<G>::node(index, order), order.pages());
        tree.area.add_pages(pages as u32);
        while Self::is_small(order) && order < G::MAX_ORDER {
            if tree.has(node.buddy()) {
                tree.remove(node.buddy(), order);
                self.tallies[kind.index()].change(order, Change::Leave);
                self.counters.account(Pool::List(kind), Change::Leave, pages);
            } else if self.takes_other(mem, index.buddy(order), order, kind) {
                tree.area.add_pages(pages as u32);
            } else {
                break;
            }
            // The upper of the two heads no block any more.
            let upper = FrameIndex::new(index.number() | pages as u32);
            mem.frames.set_state_at(upper, FrameState::TAIL);
            index = FrameIndex::new(index.number() & !(pages as u32));
            (node, order, pages) = (node.both(), order.up(), pages << 1);
        }
        let whole = if Self::is_small(order) {
            self.put_small(mem, tree, index, node, order, kind);
            self.count(mem, order, kind);
            None
        } else {
            tree.area.add_pages((pages as u32).wrapping_neg());
            Some((kind, FreeBlock { pfn: mem.frames.pfn(index), order }))
        };
        self.settle(mem, tree, kind);
        whole
    }

    /// Takes a buddy that is not on its pageblock's list and free all the same: a guard, or a stray. False if it is neither.
    #[inline(always)]
    fn takes_other(&mut self, mem: &MemMap<'_, G>, buddy: FrameIndex, order: Order, kind: FreeKind) -> bool {
        (self.counters.guard != 0 || cfg!(feature = "faults"))
            && self.absorb(
                mem,
                FreeBlock { pfn: mem.frames.pfn(buddy), order },
                kind,
                mem.frames.state_at(buddy),
            )
    }

    /// Merges and files a block of at least a pageblock.
    #[inline(never)]
    fn merge_large(&mut self, mem: &MemMap<'_, G>, mut block: FreeBlock, kind: FreeKind) {
        while block.order < G::MAX_ORDER {
            let buddy = block.order.buddy(block.pfn);
            let state = mem.frames.state(buddy);
            if state.order() != block.order
                || !matches!(state.kind(), FrameKind::Free | FrameKind::Guard)
                || !Self::merges_across(mem, kind, buddy, block.order)
                || !self.absorb(mem, FreeBlock { pfn: buddy, order: block.order }, kind, state)
            {
                break;
            }
            let (low, high) = if buddy < block.pfn { (buddy, block.pfn) } else { (block.pfn, buddy) };
            mem.frames.set_state(high, FrameState::TAIL);
            block = FreeBlock { pfn: low, order: block.order.up() };
        }
        self.file(mem, block);
    }

    /// Takes a buddy from where it is, if it is a guard, a free block of a pageblock's size, or a stray. False if it is none.
    fn absorb(&mut self, mem: &MemMap<'_, G>, buddy: FreeBlock, kind: FreeKind, state: FrameState) -> bool {
        if state.order() != buddy.order {
            return false;
        }
        match state.kind() {
            FrameKind::Guard => self.absorb_guard(mem, buddy, kind),
            FrameKind::Free => {
                // The larger block is filed by who merges: nothing is in hand but the sum.
                let _joined = self.unfile(mem, buddy.pfn);
            }
            _ => return false,
        }
        true
    }

    /// A guard is on no list. It is counted as free by what it becomes part of.
    #[cold]
    #[cfg_attr(
        not(feature = "faults"),
        expect(unused_variables, reason = "faults ask for the kind that a guard is merged into")
    )]
    pub(super) fn absorb_guard(&mut self, mem: &MemMap<'_, G>, buddy: FreeBlock, kind: FreeKind) {
        mem.guards.release(buddy.range());
        self.counters.account(Pool::Guard, Change::Leave, buddy.order.pages());
        when_fault!(mem, GUARD_COUNTED => {
            if kind == FreeKind::Isolated {
                let counted = Pool::List(FreeKind::Listed(MigrateType::Movable));
                self.counters.account(counted, Change::Join, buddy.order.pages());
            }
        });
        when_fault!(mem, GUARD_NOT_COUNTED => {
            self.counters.account(Pool::List(kind), Change::Leave, buddy.order.pages());
        });
    }

    /// Whether a block of at least pageblock size and of this kind may merge with its buddy. If both
    /// are of ordinary types the buddy's pageblocks take this one's.
    fn merges_across(mem: &MemMap<'_, G>, kind: FreeKind, buddy: Pfn, order: Order) -> bool {
        let FreeKind::Listed(own) = kind else {
            return fault!(mem, FIRST_BLOCK_ONLY) && mem.kind(buddy) == FreeKind::Isolated;
        };
        let FreeKind::Listed(other) = mem.kind(buddy) else {
            return false;
        };
        // A guard, unlike a free block, may span pageblocks of which some have been isolated since.
        let mut pageblocks = Pageblock::covering::<G>(order.block(buddy));
        if pageblocks.any(|block| mem.kind(block.start()) == FreeKind::Isolated) {
            return false;
        }
        if own == other {
            return true;
        }
        let ordinary = own.is_ordinary() && other.is_ordinary();
        if ordinary {
            for block in Pageblock::covering::<G>(order.block(buddy)) {
                mem.blocks.set_state(block, mem.blocks.state(block.start()).with_type(own));
            }
        }
        ordinary
    }
}
