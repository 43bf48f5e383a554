//! Frees guards that have nothing to guard any more.
//!
//! A guard ends when its buddy is freed and merges with it. From the pageblock order on the two may
//! not be of one kind by then: the pageblocks of the buddy are isolated, say, or in a CMA area.
//! Then they cannot merge, and the guard is freed by itself. So a guard stays only as long as
//! something in its buddy is allocated.

use crate::base::{FrameKind, Geometry, Order, Pfn, PfnRange};
use crate::buddy::free_block::FreeBlock;
use crate::buddy::lists::Buddy;
use crate::records::{Descriptors, FrameState};

impl<G: Geometry> Buddy<G> {
    /// Frees the guards of at least the pageblock order whose buddies include `pfn` and are free.
    #[cold]
    pub(super) fn release_idle_guards(&mut self, desc: &Descriptors<'_, G>, pfn: Pfn) {
        for order in G::PAGEBLOCK_ORDER.up_to(G::MAX_ORDER.down()) {
            let guarded = order.block(order.align_down(pfn));
            if !is_free(desc, guarded) {
                return;
            }
            let guard = order.buddy(guarded.start());
            if desc.frames.state(guard) == FrameState::guard(order) {
                // Its merges look at the larger blocks.
                return self.release_guard(desc, guard, order);
            }
        }
    }

    /// Frees a guard by itself.
    pub(super) fn release_guard(&mut self, desc: &Descriptors<'_, G>, pfn: Pfn, order: Order) {
        self.absorb_guard(desc, FreeBlock::new(pfn, order), desc.kind(pfn));
        desc.frames.set_state(pfn, FrameState::TAIL);
        self.free(desc, FreeBlock::new(pfn, order));
    }

    /// Frees the guards whose buddies overlap `range`. Its frames are not managed any more, so that
    /// these guards would never merge.
    pub(crate) fn release_guards_beside(&mut self, desc: &Descriptors<'_, G>, range: PfnRange) {
        let guard_below = self.guard_below;
        for order in Order::ZERO.up_to(G::MAX_ORDER).filter(|order| *order < guard_below) {
            let first = order.align_down(range.start());
            for number in (first.number()..range.end().number()).step_by(order.pages()) {
                let pfn = order.buddy(Pfn::new(number));
                if desc.frames.state(pfn) == FrameState::guard(order) {
                    self.release_guard(desc, pfn, order);
                }
            }
        }
    }
}

/// Whether every frame of a block of at least the pageblock order is on a free list.
fn is_free<G: Geometry>(desc: &Descriptors<'_, G>, block: PfnRange) -> bool {
    let mut pfn = block.start();
    while pfn < block.end() {
        let state = desc.frames.state(pfn);
        if !state.is(FrameKind::Free) {
            return false;
        }
        pfn = state.order().block(pfn).end();
    }
    true
}
