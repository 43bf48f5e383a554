//! Free blocks on a list that is not the one that their pageblock names, which only faults produce.
//!
//! Free blocks below the pageblock order are recorded with their pageblock, and so are always on
//! the right list. Old kernels could put them on another list, and faults must be able to do so
//! too: such blocks are on the lists of this file, by order and kind, and allocations look here
//! first. Without the feature `faults` there are no such lists.

use crate::base::{FreeKind, Geometry, Order, Pfn};
use crate::records::{Descriptors, FrameState, FreeList};

const ORDERS: usize = if cfg!(feature = "faults") { Order::COUNT } else { 0 };

#[derive(Debug)]
pub(super) struct Misfiled([[FreeList; FreeKind::COUNT]; ORDERS]);

impl Misfiled {
    pub(super) const fn new() -> Self {
        Self([const { [const { FreeList::new() }; FreeKind::COUNT] }; ORDERS])
    }

    #[inline(always)]
    pub(super) fn list(&self, order: Order, kind: FreeKind) -> Option<&FreeList> {
        self.0.get(order.index()).map(|lists| &lists[kind.index()])
    }

    #[inline(always)]
    fn list_mut(&mut self, order: Order, kind: FreeKind) -> Option<&mut FreeList> {
        self.0.get_mut(order.index()).map(|lists| &mut lists[kind.index()])
    }

    #[inline(always)]
    pub(super) fn blocks(&self, order: Order, kind: FreeKind) -> usize {
        self.list(order, kind).map_or(0, FreeList::len)
    }

    /// Inserts the block into the list of `kind`. Returns false if its pageblock names that list.
    #[inline(always)]
    pub(super) fn insert<G: Geometry>(
        &mut self,
        desc: &Descriptors<'_, G>,
        pfn: Pfn,
        order: Order,
        kind: FreeKind,
    ) -> bool {
        let Some(list) = self.list_mut(order, kind).filter(|_| desc.kind(pfn) != kind) else {
            return false;
        };
        desc.frames.set_state(pfn, FrameState::free(order, kind).misfiled());
        list.push(&desc.frames, pfn);
        true
    }

    /// Removes the block from its list if it is misfiled. Otherwise returns false.
    #[inline(always)]
    pub(super) fn remove<G: Geometry>(
        &mut self,
        desc: &Descriptors<'_, G>,
        pfn: Pfn,
        state: FrameState,
    ) -> bool {
        let Some(list) = self.list_mut(state.order(), state.free_kind()).filter(|_| state.is_misfiled())
        else {
            return false;
        };
        list.remove(&desc.frames, pfn);
        true
    }

    /// The smallest misfiled block of this kind and at least this order.
    #[inline(always)]
    pub(super) fn smallest<G: Geometry>(
        &self,
        desc: &Descriptors<'_, G>,
        order: Order,
        kind: FreeKind,
    ) -> Option<Pfn> {
        if !cfg!(feature = "faults") {
            return None;
        }
        order.up_to(G::MAX_ORDER).find_map(|order| self.list(order, kind)?.first(&desc.frames))
    }
}
