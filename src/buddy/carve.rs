//! Allocates a given range of free frames, whatever blocks they are in.
//!
//! It takes two steps in one lock hold: [`Buddy::find_not`] checks that every frame of the
//! range is free, and [`Buddy::carve`] removes the blocks from their lists. A block that extends
//! beyond the range is split, and its other part stays free. A pageblock of the atomic reserve that
//! is carved leaves the reserve.

use crate::base::{FrameKind, Geometry, MigrateType, Order, Pageblock, Pfn, PfnRange, aligned_blocks};
use crate::buddy::counters::{Change, Pool};
use crate::buddy::free_block::FreeBlock;
use crate::buddy::lists::Buddy;
use crate::records::{Descriptors, Found, FrameState};

/// What the frames become that are removed from the lists.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Taken {
    Contig,
    /// A contiguous allocation that a CMA area keeps track of.
    Cma,
    Offline,
    Reserved,
    /// A bad frame.
    HwPoison,
}

impl Taken {
    fn state(self, order: Order) -> FrameState {
        match self {
            Self::Contig => FrameState::contig(order),
            Self::Cma => FrameState::contig_of_area(order),
            Self::Offline => FrameState::offline(order),
            Self::Reserved => FrameState::RESERVED,
            Self::HwPoison => FrameState::HWPOISON,
        }
    }
}

impl<G: Geometry> Buddy<G> {
    /// The first frame of `range` whose block is in a state that is not `wanted`. Also that state,
    /// or that of the frame if it is in no block.
    pub(crate) fn find_not(
        desc: &Descriptors<'_, G>,
        range: PfnRange,
        mut wanted: impl FnMut(FrameState) -> bool,
    ) -> Option<(Pfn, FrameState)> {
        for Found { pfn, block } in desc.frames.blocks(range, G::MAX_ORDER) {
            let state = block.map_or_else(|| desc.frames.state(pfn), |(_, state)| state);
            if !wanted(state) {
                return Some((pfn, state));
            }
        }
        None
    }

    /// Removes the frames of `range`, all of which must be free or retired, from the lists. Returns
    /// the number of those that were free.
    pub(crate) fn carve(&mut self, desc: &Descriptors<'_, G>, range: PfnRange, taken: Taken) -> usize {
        let (mut pfn, mut removed) = (range.start(), 0);
        while pfn < range.end() {
            let Some((head, state)) = desc.frames.head_of(pfn, G::MAX_ORDER) else {
                debug_assert!(false, "{pfn} is in no block");
                return removed;
            };
            if state.is(FrameKind::HwPoison) {
                pfn = pfn.up(1);
                continue;
            }
            debug_assert!(state.is(FrameKind::Free), "{pfn} is {state:?}");
            let block = self.remove(desc, head).range();
            self.insert_range(desc, PfnRange::new(block.start(), range.start()));
            let part = block.intersection(range);
            for (pfn, order) in aligned_blocks(part, G::MAX_ORDER) {
                desc.frames.set_state(pfn, taken.state(order));
            }
            match taken {
                Taken::Contig | Taken::Cma => {}
                Taken::Offline => {
                    self.counters.account(Pool::Offline, Change::Join, part.len());
                    self.count_movable_only(desc, part, Change::Leave);
                }
                Taken::Reserved => self.count_movable_only(desc, part, Change::Leave),
                Taken::HwPoison => {
                    self.counters.account(Pool::HwPoison, Change::Join, part.len());
                    self.count_movable_only(desc, part, Change::Leave);
                }
            }
            removed += part.len();
            self.insert_range(desc, PfnRange::new(range.end().max(block.start()), block.end()));
            pfn = block.end();
        }
        for pageblock in Pageblock::covering::<G>(range) {
            self.end_reserve(desc, pageblock, range);
        }
        removed
    }

    /// Makes a pageblock of the atomic reserve movable if more than half of its frames have been
    /// taken, now with `range` or before. It would count against the size of the reserve and be of
    /// no use to it; now another pageblock can take its place. When the frames come back, they are
    /// movable pages.
    fn end_reserve(&mut self, desc: &Descriptors<'_, G>, pageblock: Pageblock, range: PfnRange) {
        let state = desc.pageblocks.state(pageblock.start());
        if state.migratetype != MigrateType::HighAtomic {
            return;
        }
        let frames = pageblock.range::<G>();
        let mut taken = frames.intersection(range).len();
        let mut pfn = frames.start();
        while pfn < frames.end() {
            let state = desc.frames.state(pfn);
            let kept = matches!(state.kind(), FrameKind::Free | FrameKind::Allocated | FrameKind::Guard);
            if range.contains(pfn) {
                pfn = range.end();
            } else {
                taken += if kept { 0 } else { state.pages() };
                pfn = pfn.up(state.pages());
            }
        }
        if taken > G::PAGEBLOCK_ORDER.pages() / 2 {
            self.retype(desc, pageblock, state.with_type(MigrateType::Movable));
        }
    }

    /// Inserts the part of a split block that is outside the range. Its buddies are inside.
    fn insert_range(&mut self, desc: &Descriptors<'_, G>, rest: PfnRange) {
        for (pfn, order) in aligned_blocks(rest, G::MAX_ORDER) {
            self.insert(desc, FreeBlock::new(pfn, order));
        }
    }

    /// Makes the frames of `range`, which must be whole offline blocks and retired frames, holes.
    pub(crate) fn remove_offline(&mut self, desc: &Descriptors<'_, G>, range: PfnRange) {
        let mut pfn = range.start();
        while pfn < range.end() {
            let state = desc.frames.state(pfn);
            let pool = if state.is(FrameKind::HwPoison) { Pool::HwPoison } else { Pool::Offline };
            self.counters.account(pool, Change::Leave, state.pages());
            pfn = pfn.up(state.pages());
        }
        desc.frames.fill(range, FrameState::HOLE);
    }

    /// Frees the frames of `range`, which must be whole offline blocks and retired frames, except
    /// the retired ones.
    pub(crate) fn put_online(&mut self, desc: &Descriptors<'_, G>, range: PfnRange) {
        let mut pfn = range.start();
        while pfn < range.end() {
            let state = desc.frames.state(pfn);
            let block = PfnRange::with_len(pfn, state.pages());
            if !state.is(FrameKind::HwPoison) {
                self.counters.account(Pool::Offline, Change::Leave, block.len());
                self.count_movable_only(desc, block, Change::Join);
                desc.frames.set_state(pfn, FrameState::TAIL);
                desc.poison.fill(state.order().block(pfn));
                self.free(desc, FreeBlock::new(pfn, state.order()));
            }
            pfn = block.end();
        }
    }
}
