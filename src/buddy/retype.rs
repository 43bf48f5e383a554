//! Changes the state of a pageblock and moves its free blocks to the new list, in one lock hold.
//!
//! Isolation and its undo, the high-atomic reserve, CMA, and claims of a part of a pageblock use
//! [`Buddy::retype`]. (A claim of a whole free block and a merge across pageblocks store the new
//! type themselves, because they move that block anyway.) It does not return a number of moved
//! pages for the caller to count, because the lists do that: in patch 9 of the 2014 discussion a
//! caller added up the wrong number.

use crate::base::{
    FrameKind, FreeKind, Geometry, MigrateType, Order, Pageblock, Pfn, PfnRange, TraceEvent, aligned_blocks,
};
use crate::buddy::counters::{Change, Pool};
use crate::buddy::free_block::FreeBlock;
use crate::buddy::lists::Buddy;
use crate::instruments::Faults;
use crate::records::{Descriptors, FrameState, Isolation, PageblockRecords, PageblockState};

impl<G: Geometry> Buddy<G> {
    /// Gives a pageblock the state `to` and moves its free blocks to the list that `to` names.
    /// Takes time in proportion to its free blocks.
    pub(crate) fn retype(&mut self, desc: &Descriptors<'_, G>, pageblock: Pageblock, to: PageblockState) {
        if desc.faults.is_on(Faults::MOVED_MEANS_FOUND | Faults::FIRST_BLOCK_ONLY) {
            self.count_found_as_moved(desc, pageblock, to);
        }
        self.init_range(desc, pageblock.range::<G>());
        let whole = self.take_whole(desc, pageblock.start(), G::PAGEBLOCK_ORDER);
        let was = desc.pageblocks.state(pageblock.start());
        self.set_state(desc, pageblock, was, to);
        match whole {
            Some(whole) => self.merge(desc, whole),
            // If it is in a guard, that has no free buddy to merge with in the new state (I6).
            None => self.move_small(desc, pageblock, was.free_kind(), to.free_kind()),
        }
    }

    /// Gives the pageblocks of the free block at the start of `range` another migratetype: of as
    /// much of the block as is in `range`, which is whole pageblocks. The first must not be
    /// isolated. Returns their end; `None`, and nothing has changed, if it is not free as a whole.
    ///
    /// Takes the same time for a largest block as for a pageblock.
    pub(crate) fn retype_free(
        &mut self,
        desc: &Descriptors<'_, G>,
        range: PfnRange,
        migratetype: MigrateType,
    ) -> Option<Pfn> {
        let (start, order) = aligned_blocks(range, G::MAX_ORDER).next()?;
        let part = self.take_deferred(desc, start, order).or_else(|| {
            self.init_range(desc, order.block(start));
            let (_, state) = desc.frames.head_of(start, G::MAX_ORDER)?;
            self.take_whole(desc, start, order.min(state.order()))
        })?;
        let end = part.range().end();
        for pageblock in Pageblock::covering::<G>(part.range()) {
            let was = desc.pageblocks.state(pageblock.start());
            self.set_state(desc, pageblock, was, was.with_type(migratetype));
        }
        self.merge(desc, part);
        Some(end)
    }

    /// Stores the state of a pageblock whose free blocks are moved in the same lock hold.
    #[inline(always)]
    fn set_state(
        &mut self,
        desc: &Descriptors<'_, G>,
        pageblock: Pageblock,
        was: PageblockState,
        to: PageblockState,
    ) {
        self.count_retype(was, to);
        desc.trace.emit(|| TraceEvent::Pageblock {
            range: pageblock.range::<G>(),
            migratetype: to.migratetype,
            isolated: to.isolation != Isolation::None,
        });
        desc.pageblocks.set_state(pageblock, to);
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
        let index = desc.frames.index_of(pageblock.start());
        let records = desc.pageblocks.records_of(index);
        let Some((tree, frames)) = records.and_then(|PageblockRecords { tree, frames, .. }| {
            Some((tree.of_whole_words()?, frames.whole()?))
        }) else {
            return;
        };
        let orders = tree.summary.orders();
        let present = |order: &Order| Self::is_small(*order) && orders >> order.get() & 1 == 1;
        for order in Order::ZERO.up_to(G::MAX_ORDER).filter(present) {
            let (state, mut blocks) = (FrameState::free(order, to), 0_u32);
            tree.for_each_block(order, |index| {
                frames.set_state_at(index, state);
                blocks = blocks.wrapping_add(1);
            });
            self.block_counts[from.index()].leave(order, blocks);
            self.block_counts[to.index()].join(order, blocks);
            let pages = blocks as usize * order.pages();
            self.counters.account(Pool::List(from), Change::Leave, pages);
            self.counters.account(Pool::List(to), Change::Join, pages);
        }
        self.regroup(desc, tree, to);
        if cfg!(feature = "faults") {
            // Last, when all blocks in the tree are of the new kind.
            self.gather_misfiled(desc, pageblock);
        }
    }

    /// If the block of `order`, at least a pageblock, at `pfn` is free as a whole, removes it from
    /// its list as a block of its own. A larger free block is split around it.
    fn take_whole(&mut self, desc: &Descriptors<'_, G>, pfn: Pfn, order: Order) -> Option<FreeBlock> {
        let (head, state) = desc.frames.head_of(pfn, G::MAX_ORDER)?;
        if !state.is(FrameKind::Free) || state.order() < order.max(G::PAGEBLOCK_ORDER) {
            return None;
        }
        let mut part = self.remove(desc, head);
        while part.order > order {
            let (low, high) = part.halves();
            let (rest, with_block) = if pfn < high.pfn { (high, low) } else { (low, high) };
            self.insert(desc, rest);
            part = with_block;
        }
        Some(part)
    }
}
