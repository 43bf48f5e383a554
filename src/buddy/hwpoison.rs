//! Bad frames: they leave the free lists for good (`take_page_off_buddy` in Linux).
//!
//! A bad frame that is retired is a block of its own that is on no list and merges with nothing.
//! The frames of its block that are not bad are free blocks around it.

use crate::base::{FrameKind, Geometry, Pfn, PfnRange, aligned_blocks};
use crate::buddy::carve::Taken;
use crate::buddy::counters::{Change, Pool};
use crate::buddy::free_block::FreeBlock;
use crate::buddy::lists::Buddy;
use crate::records::{Descriptors, FrameState};

impl<G: Geometry> Buddy<G> {
    /// Retires a free frame: its block is split around it.
    pub(crate) fn retire_free(&mut self, desc: &Descriptors<'_, G>, pfn: Pfn) {
        let frame = PfnRange::with_len(pfn, 1);
        self.carve(desc, frame, Taken::HwPoison);
        self.release_guards_beside(desc, frame);
    }

    /// Retires an offline frame, which is then in no offline block.
    pub(crate) fn retire_offline(&mut self, desc: &Descriptors<'_, G>, pfn: Pfn) {
        let Some((head, state)) = desc.frames.head_of(pfn, G::MAX_ORDER) else {
            return;
        };
        debug_assert!(state.is(FrameKind::Offline), "{pfn} is {state:?}");
        let block = state.order().block(head);
        let around = [PfnRange::new(block.start(), pfn), PfnRange::new(pfn.up(1), block.end())];
        for (pfn, order) in around.into_iter().flat_map(|rest| aligned_blocks(rest, G::MAX_ORDER)) {
            desc.frames.set_state(pfn, FrameState::offline(order));
        }
        desc.frames.set_state(pfn, FrameState::HWPOISON);
        self.counters.account(Pool::Offline, Change::Leave, 1);
        self.counters.account(Pool::HwPoison, Change::Join, 1);
    }

    /// Ends the guard that includes `pfn`: its frames are free.
    pub(crate) fn release_guard_of(&mut self, desc: &Descriptors<'_, G>, pfn: Pfn) {
        if let Some((head, state)) = desc.frames.head_of(pfn, G::MAX_ORDER)
            && state.is(FrameKind::Guard)
        {
            self.release_guard(desc, head, state.order());
        }
    }

    /// Frees the frames of `range`, all of which are tails of no block. Those that are marked as
    /// bad are retired.
    pub(crate) fn free_except_bad(&mut self, desc: &Descriptors<'_, G>, range: PfnRange) {
        let mut rest = range;
        while let Some(pfn) = desc.frames.first_marked_bad(rest) {
            self.free_range(desc, PfnRange::new(rest.start(), pfn));
            let frame = PfnRange::with_len(pfn, 1);
            desc.frames.set_state(pfn, FrameState::HWPOISON);
            self.counters.account(Pool::HwPoison, Change::Join, 1);
            self.count_movable_only(desc, frame, Change::Leave);
            self.release_guards_beside(desc, frame);
            rest = PfnRange::new(frame.end(), rest.end());
        }
        self.free_range(desc, rest);
    }

    fn free_range(&mut self, desc: &Descriptors<'_, G>, range: PfnRange) {
        for (pfn, order) in aligned_blocks(range, G::MAX_ORDER) {
            desc.poison.fill(order.block(pfn));
            self.free(desc, FreeBlock::new(pfn, order));
        }
    }
}
