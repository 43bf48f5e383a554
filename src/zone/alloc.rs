//! Allocates blocks of a zone: the watermark check and the allocation are in one lock hold.
//!
//! The check uses the exact free count. A block on a pcplist has passed it when it left the buddy.

use crate::base::{AllocRequest, Depth, Geometry, Mobility, Order, Pfn, ZoneKind};
use crate::buddy::Wanted;
use crate::limits::Mark;
use crate::records::{Descriptors, FrameIndex, FrameState};
use crate::zone::lock::ZoneInner;

impl<G: Geometry> ZoneInner<G> {
    /// The free pages that a request must leave that may use zones up to `highest`.
    fn floor(&self, highest: ZoneKind, mark: Mark, depth: Depth) -> usize {
        let reserve = match depth {
            Depth::Emergency => 0,
            Depth::Normal | Depth::Atomic => self.reserves[highest.index()],
        };
        self.marks.floor(mark, depth).saturating_add(reserve)
    }

    /// The pages that the request may take until the zone is at its floor for `mark` and `depth`.
    fn headroom(&self, request: &AllocRequest, mark: Mark, depth: Depth) -> usize {
        let floor = self.floor(request.highest_zone, mark, depth);
        self.buddy.counters().pages_above(floor, request.mobility, depth)
    }

    /// If a zone that `returning` pages will be returned to keeps fewer free pages than requests of
    /// this depth must leave, that may use zones up to `highest`: the pages that it keeps, and those
    /// that it must. Counts what unmovable requests can use.
    pub(crate) fn below_floor(
        &self,
        depth: Depth,
        highest: ZoneKind,
        returning: usize,
    ) -> Option<(usize, usize)> {
        let floor = self.floor(highest, Mark::Min, depth);
        let left = self.buddy.counters().pages_above(0, Mobility::Unmovable, depth) + returning;
        (left < floor).then_some((left, floor))
    }

    /// Allocates a block if the zone then still is at or above its floor.
    pub(crate) fn alloc_above(
        &mut self,
        desc: &Descriptors<'_, G>,
        request: &AllocRequest,
        mark: Mark,
    ) -> Option<Pfn> {
        if self.headroom(request, mark, request.depth) < self.buddy.cost(request.order) {
            return None;
        }
        self.alloc_block(desc, request)
    }

    /// Allocates a block. The caller has checked the watermarks.
    pub(crate) fn alloc_block(&mut self, desc: &Descriptors<'_, G>, request: &AllocRequest) -> Option<Pfn> {
        let wanted = self.wanted(request);
        let block = self.buddy.alloc(desc, &wanted)?;
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
        limit: u32,
        give: impl FnMut(FrameIndex),
    ) {
        self.buddy.alloc_many(desc, &self.wanted(request), limit, give);
    }

    fn wanted(&self, request: &AllocRequest) -> Wanted {
        Wanted {
            order: request.order,
            mobility: request.mobility,
            depth: request.depth,
            cma_first_above: self.cma_first_above,
        }
    }

    /// The number of blocks that a refill of a pcplist may take, including the request's own; 0 if
    /// none.
    ///
    /// It is a batch as long as the zone is above the floor of [`Depth::Normal`] for `mark`. Below
    /// that it is only the block of an atomic or emergency request itself: the rest of a batch
    /// would be on the pcplist, where normal requests could allocate it.
    pub(crate) fn refill_blocks(&self, request: &AllocRequest, mark: Mark) -> usize {
        let batch = self.limits.batch_of(request.order);
        let cost = self.buddy.cost(request.order);
        let ordinary = self.headroom(request, mark, Depth::Normal) / cost;
        // A high-order atomic request reserves the pageblock that serves it. A batch would come
        // from several.
        let alone = request.depth == Depth::Atomic && request.order > Order::ZERO;
        if ordinary > 0 && !alone {
            return batch.min(ordinary);
        }
        (self.headroom(request, mark, request.depth) / cost).min(1)
    }
}
