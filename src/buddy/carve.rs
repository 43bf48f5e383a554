//! Takes a given range of frames off the free lists, whatever blocks they are in.
//!
//! Two steps in one lock hold: [`Buddy::find_blocked`] looks whether every frame of the range is free on
//! the lists of the wanted kind, [`Buddy::carve`] takes them. Blocks that reach over an end are split, and what
//! lies outside stays free. Neighbours: [`isolate`](crate::isolate) takes isolated ranges,
//! [`zone`](crate::zone) reserves free ones.

use super::{Buddy, FreeBlock};
use crate::counters::{Change, Pool};
use crate::frame::state::{FrameKind, FrameState};
use crate::geometry::Geometry;
use crate::mem_map::MemMap;
use crate::migratetype::FreeKind;
use crate::order::{Order, aligned_blocks};
use crate::pfn::{Pfn, PfnRange};

/// The first frame of a range that is not as it should be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Blocked {
    pub(crate) pfn: Pfn,
    /// The block that holds the frame, or the frame itself if no block does.
    pub(crate) head: Pfn,
    pub(crate) state: FrameState,
}

/// What becomes of frames that are taken off the lists.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Taken {
    Contig,
    Offline,
    Reserved,
}

impl Taken {
    fn state(self, order: Order) -> FrameState {
        match self {
            Self::Contig => FrameState::contig(order),
            Self::Offline => FrameState::offline(order),
            Self::Reserved => FrameState::RESERVED,
        }
    }
}

impl<G: Geometry> Buddy<G> {
    /// The first frame of `range` that is not free on a list for which `wanted` holds.
    pub(crate) fn find_blocked(
        mem: &MemMap<'_, G>,
        range: PfnRange,
        wanted: impl Fn(FreeKind) -> bool,
    ) -> Option<Blocked> {
        let mut pfn = range.start();
        while pfn < range.end() {
            let (head, state) = mem.frames.head_of(pfn, G::MAX_ORDER).unwrap_or((pfn, mem.frames.state(pfn)));
            if !(state.is(FrameKind::Free) && wanted(state.filed())) {
                return Some(Blocked { pfn, head, state });
            }
            pfn = state.order().block(head).end();
        }
        None
    }

    /// Takes every frame of `range`, all of which are free, off the lists.
    pub(crate) fn carve(&mut self, mem: &MemMap<'_, G>, range: PfnRange, taken: Taken) {
        let mut pfn = range.start();
        while pfn < range.end() {
            let Some((head, state)) = mem.frames.head_of(pfn, G::MAX_ORDER) else {
                debug_assert!(false, "{pfn} is in no block");
                return;
            };
            debug_assert!(state.is(FrameKind::Free), "{pfn} is {state:?}");
            let block = self.unfile(mem, head).range();
            self.refile(mem, PfnRange::new(block.start(), range.start()));
            let part = block.intersection(range);
            for (pfn, order) in aligned_blocks(part, G::MAX_ORDER) {
                mem.frames.set_state(pfn, taken.state(order));
            }
            if taken == Taken::Offline {
                self.counters.account(Pool::Offline, Change::Join, part.len());
            }
            self.refile(mem, PfnRange::new(range.end().max(block.start()), block.end()));
            pfn = block.end();
        }
    }

    /// Files the part of a split block that nobody takes. Its buddies are being taken: no merge.
    fn refile(&mut self, mem: &MemMap<'_, G>, rest: PfnRange) {
        for (pfn, order) in aligned_blocks(rest, G::MAX_ORDER) {
            self.file(mem, FreeBlock { pfn, order });
        }
    }

    /// Files the frames of `range`, all of which are offline, and none of whose blocks reaches over its ends.
    pub(crate) fn put_online(&mut self, mem: &MemMap<'_, G>, range: PfnRange) {
        self.counters.account(Pool::Offline, Change::Leave, range.len());
        let mut pfn = range.start();
        while pfn < range.end() {
            let order = mem.frames.state(pfn).order();
            mem.frames.set_state(pfn, FrameState::TAIL);
            self.free(mem, FreeBlock { pfn, order });
            pfn = pfn.up(order.pages());
        }
    }

    /// Frees the guards whose buddies reach into `range`, of which frames have left for good: nothing will merge with them any more.
    pub(crate) fn release_guards_beside(&mut self, mem: &MemMap<'_, G>, range: PfnRange) {
        let guard_below = self.guard_below;
        for order in Order::ZERO.up_to(G::MAX_ORDER).filter(|order| *order < guard_below) {
            let first = order.align_down(range.start());
            for number in (first.number()..range.end().number()).step_by(order.pages()) {
                let pfn = order.buddy(Pfn::new(number));
                if mem.frames.state(pfn) == FrameState::guard(order) {
                    self.absorb_guard(mem, FreeBlock { pfn, order }, mem.kind(pfn));
                    mem.frames.set_state(pfn, FrameState::TAIL);
                    self.free(mem, FreeBlock { pfn, order });
                }
            }
        }
    }
}
