//! Allocates blocks of a zone: the watermark check and the allocation are in one lock hold.
//!
//! The check uses the exact free count. A block on a pcplist has passed it when it left the buddy.

use crate::base::{AllocRequest, Depth, Geometry, Mobility, Pfn, ZoneKind};
use crate::buddy::{FromReserve, Wanted};
use crate::limits::Mark;
use crate::records::{Descriptors, FrameIndex, FrameState};
use crate::zone::lock::ZoneInner;
use crate::zone::reach::Reach;

impl<G: Geometry> ZoneInner<G> {
    /// The free pages that a request of this depth must leave, which may use zones up to `highest`.
    fn floor(&self, highest: ZoneKind, mark: Mark, depth: Depth) -> usize {
        let lowmem_reserve = match depth {
            Depth::Emergency => 0,
            Depth::Normal | Depth::Atomic => self.reserves[highest.index()],
        };
        self.marks.floor(mark, depth).saturating_add(lowmem_reserve)
    }

    /// The pages that the request may take until the zone is at its floor.
    fn headroom(&self, request: &AllocRequest, reach: Reach) -> usize {
        let uses_reserve = reach.reserve_use(request) != FromReserve::Never;
        self.headroom_at(request, reach, request.depth, uses_reserve)
    }

    /// As [`headroom`](Self::headroom), for a request of this depth.
    pub(super) fn headroom_at(
        &self,
        request: &AllocRequest,
        reach: Reach,
        depth: Depth,
        uses_reserve: bool,
    ) -> usize {
        let floor = self.floor(request.highest_zone, reach.mark(), depth);
        self.buddy.counters().pages_above(floor, request.mobility, uses_reserve)
    }

    /// Whether the zone, once `returning` pages have been freed to it, has fewer free pages than a
    /// request of this depth must leave, which may use zones up to `highest`. If so, returns the
    /// pages that it has and those that it must have. Counts what unmovable requests can use.
    pub(crate) fn below_floor(
        &self,
        depth: Depth,
        highest: ZoneKind,
        returning: usize,
    ) -> Option<(usize, usize)> {
        let floor = self.floor(highest, Mark::Min, depth);
        let uses_reserve = depth != Depth::Normal;
        let left = self.buddy.counters().pages_above(0, Mobility::Unmovable, uses_reserve) + returning;
        (left < floor).then_some((left, floor))
    }

    /// Allocates a block if the zone then still is at or above its floor.
    pub(crate) fn alloc_above(
        &mut self,
        desc: &Descriptors<'_, G>,
        request: &AllocRequest,
        reach: Reach,
    ) -> Option<Pfn> {
        if self.has_room(request, reach) { self.alloc_block(desc, request, reach) } else { None }
    }

    /// Whether the zone is at or above its floor after it has served the request.
    pub(crate) fn has_room(&self, request: &AllocRequest, reach: Reach) -> bool {
        self.headroom(request, reach) >= self.buddy.cost(request.order)
    }

    /// Allocates a block. The caller has checked the watermarks.
    pub(crate) fn alloc_block(
        &mut self,
        desc: &Descriptors<'_, G>,
        request: &AllocRequest,
        reach: Reach,
    ) -> Option<Pfn> {
        let wanted = self.wanted(request, reach);
        let block = self.buddy.alloc(desc, &wanted)?;
        let events = self.buddy.events_mut();
        events.allocs += 1;
        events.alloc_pages += request.order.pages() as u64;
        self.reserve_highatomic(desc, block.pfn(), request);
        let state = FrameState::allocated_for(request);
        desc.frames.set_allocated(desc.frames.index_of(block.pfn()), state, request.owner);
        Some(block.pfn())
    }

    /// Allocates up to `limit` more blocks of the request's order and mobility, for a pcplist.
    /// Calls `give` with the first frame of each, whose state `give` must set.
    pub(crate) fn alloc_for_pcp(
        &mut self,
        desc: &Descriptors<'_, G>,
        request: &AllocRequest,
        reach: Reach,
        limit: u32,
        give: impl FnMut(FrameIndex),
    ) {
        self.buddy.alloc_many(desc, &self.wanted(request, reach), limit, give);
    }

    fn wanted(&self, request: &AllocRequest, reach: Reach) -> Wanted {
        Wanted {
            order: request.order,
            mobility: request.mobility,
            reserve: reach.reserve_use(request),
            cma_first_above: self.cma_first_above,
        }
    }

    /// The number of blocks that a refill of a pcplist may take, including the requested one.
    ///
    /// It is a batch as long as the zone is above the floor of [`Depth::Normal`] for `reach`. Below
    /// that, and out of the atomic reserve, it is only the block of an atomic or emergency request
    /// itself: the rest of a batch would be on the pcplist, where normal requests could allocate
    /// it.
    pub(crate) fn refill_blocks(&self, request: &AllocRequest, reach: Reach) -> usize {
        let batch = self.limits.batch_of(request.order);
        let cost = self.buddy.cost(request.order);
        let ordinary = self.headroom_at(request, reach, Depth::Normal, false) / cost;
        // A high-order atomic request also reserves the pageblock that serves it. A batch would
        // come from several.
        let alone = reach.reserve_use(request) != FromReserve::Never;
        if ordinary > 0 && !alone {
            return batch.min(ordinary);
        }
        (self.headroom(request, reach) / cost).min(1)
    }
}
