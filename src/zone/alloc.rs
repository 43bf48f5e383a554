//! Allocates blocks of a zone: the watermark check and the allocation are in one lock hold.
//!
//! The check uses the exact free count. A block on a pcplist has passed it when it left the buddy.

use crate::base::{AllocRequest, Depth, Geometry, Mobility, Pfn, TraceEvent, ZoneKind};
use crate::buddy::{FromReserve, Reserved, Room, Taker, Wanted};
use crate::limits::Mark;
use crate::records::{Descriptors, FrameState, FreePlaces};
use crate::zone::lock::ZoneInner;
use crate::zone::reach::Reach;

impl<G: Geometry> ZoneInner<G> {
    /// The free pages that a request of this depth must leave, which may use zones up to `highest`.
    pub(super) fn floor(&self, mobility: Mobility, highest: ZoneKind, mark: Mark, depth: Depth) -> usize {
        let lowmem_reserve = match depth {
            Depth::Emergency => 0,
            Depth::Normal | Depth::Atomic => self.reserves.of(mobility)[highest.index()],
        };
        self.marks.floor(mark, depth).saturating_add(lowmem_reserve)
    }

    /// The pages that the request may take until the zone is at its floor.
    fn headroom(&self, request: &AllocRequest, reach: Reach) -> Room {
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
    ) -> Room {
        let floor = self.floor(request.mobility, request.highest_zone, reach.mark(), depth);
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
        let floor = self.floor(Mobility::Unmovable, highest, Mark::Min, depth);
        let uses_reserve = depth != Depth::Normal;
        let usable = self.buddy.counters().pages_above(0, Mobility::Unmovable, uses_reserve);
        let left = usable.pages() + returning;
        (left < floor).then_some((left, floor))
    }

    /// Allocates a block if the zone then still is at or above its floor.
    pub(crate) fn alloc_above(
        &mut self,
        desc: &Descriptors<'_, G>,
        request: &AllocRequest,
        reach: Reach,
    ) -> Option<Pfn> {
        if !self.has_room(request, reach) {
            return None;
        }
        let wanted = self.wanted(request, reach, None);
        self.alloc_block(desc, request, &wanted)
    }

    /// Whether the zone is at or above its floor after it has served the request.
    pub(crate) fn has_room(&self, request: &AllocRequest, reach: Reach) -> bool {
        self.headroom(request, reach).pages() >= self.buddy.cost(request.order)
    }

    /// Allocates a block. The caller has checked the watermarks.
    pub(crate) fn alloc_block(
        &mut self,
        desc: &Descriptors<'_, G>,
        request: &AllocRequest,
        wanted: &Wanted<'_>,
    ) -> Option<Pfn> {
        let block = self.buddy.alloc(desc, wanted)?;
        self.hand_out(desc, request, block.pfn());
        Some(block.pfn())
    }

    /// Makes a block that has left the lists of the zone the allocated block of this request.
    pub(crate) fn hand_out(&mut self, desc: &Descriptors<'_, G>, request: &AllocRequest, pfn: Pfn) {
        let events = self.buddy.events_mut();
        events.allocs += 1;
        events.alloc_pages += request.order.pages() as u64;
        self.reserve_highatomic(desc, pfn, request);
        let state = FrameState::allocated_for(request);
        let (order, mobility) = (request.order, request.mobility);
        desc.trace.emit(|| TraceEvent::ZoneAlloc { pfn, order, mobility });
        let index = desc.frames.index_of(pfn);
        desc.check_poison(request.order.block(pfn));
        desc.sites.set(index, request.site);
        desc.frames.set_allocated(index, state, request.owner);
    }

    /// Allocates such blocks for a pcplist, gives them the state `cached`, and puts them in these
    /// places. Returns the places that stay free, because there are no more blocks.
    pub(crate) fn alloc_for_pcp<'a>(
        &mut self,
        desc: &Descriptors<'_, G>,
        wanted: &Wanted<'_>,
        places: FreePlaces<'a>,
        cached: FrameState,
    ) -> FreePlaces<'a> {
        self.buddy.alloc_many(desc, wanted, places, cached)
    }

    /// From which lists the request is served, for a refill if there are `reserved` pageblocks of
    /// the CPU. It holds for all blocks of a refill: see [`refill_blocks`](Self::refill_blocks).
    pub(crate) fn wanted<'a>(
        &self,
        request: &AllocRequest,
        reach: Reach,
        reserved: Option<&'a Reserved>,
    ) -> Wanted<'a> {
        Wanted {
            order: request.order,
            mobility: request.mobility,
            reserve: reach.reserve_use(request),
            only_movable_only: self.must_spare_others(request, reach),
            cma_first_above: self.cma_first_above,
            taker: reserved.and_then(|reserved| Taker::new::<G>(reserved, request.order, self.present)),
        }
    }

    /// Whether the request, which has passed the watermark check, has passed it only because of
    /// movable-only memory. All other memory is then at its floor.
    fn must_spare_others(&self, request: &AllocRequest, reach: Reach) -> bool {
        request.mobility == Mobility::Movable
            && self.buddy.counters().free_movable_only() != 0
            && self.headroom(request, reach).other < self.buddy.cost(request.order)
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
        let room = self.headroom_at(request, reach, Depth::Normal, false);
        // Either all blocks come from movable-only memory, or all may come from other memory.
        let ordinary = if room.other < cost { room.pages() } else { room.other } / cost;
        // A high-order atomic request also reserves the pageblock that serves it. A batch would
        // come from several.
        let alone = reach.reserve_use(request) != FromReserve::Never;
        if ordinary > 0 && !alone {
            return batch.min(ordinary);
        }
        (self.headroom(request, reach).pages() / cost).min(1)
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use crate::base::{AllocRequest, Depth, MigrateType, Pageblock, Pfn, X86_64, ZoneKind};
    use crate::limits::PcpLimits;
    use crate::page_allocator::Tuning;
    use crate::page_allocator::testing::{Bare, machine};
    use crate::zone::lock::ZoneInner;
    use crate::zone::reach::Reach;

    /// Passes a zone of 2048 free pages, of which 512 are of this type.
    fn with_pageblock_of(migratetype: MigrateType, f: impl FnOnce(&mut ZoneInner<X86_64>)) {
        let machine = machine(Bare, 8 << 20, Tuning::default());
        let desc = machine.desc();
        machine.in_zone(&machine.zones()[2], |inner| {
            inner.buddy.init_range(desc, machine.span());
            let pageblock = Pageblock::of::<X86_64>(Pfn::new(1 << 20));
            let state = desc.pageblocks.state(pageblock.start());
            inner.buddy.retype(desc, pageblock, state.with_type(migratetype));
            inner.limits = PcpLimits::new(1 << 18, 1286, 1);
            f(inner);
        });
    }

    #[test]
    fn a_refill_is_all_of_movable_only_memory_or_leaves_the_rest_at_its_mark() {
        with_pageblock_of(MigrateType::MovableOnly, |inner| {
            for (above_min, refill, spares_others) in [(10, 10, false), (1, 1, false), (0, 63, true)] {
                inner.marks.min = 1536 - above_min;
                let request = AllocRequest::movable();
                assert_eq!(inner.refill_blocks(&request, Reach::Min), refill, "{above_min} pages above min");
                assert_eq!(inner.must_spare_others(&request, Reach::Min), spares_others);
            }
        });
    }

    #[test]
    fn an_atomic_request_below_the_mark_takes_its_one_block() {
        with_pageblock_of(MigrateType::MovableOnly, |inner| {
            inner.marks.min = 1536;
            let request = AllocRequest::unmovable();
            assert_eq!(inner.refill_blocks(&request, Reach::Min), 0);
            assert_eq!(inner.refill_blocks(&request.depth(Depth::Atomic), Reach::Min), 1);
        });
    }

    #[test]
    fn the_atomic_reserve_counts_for_the_floor_of_those_who_may_use_it() {
        with_pageblock_of(MigrateType::HighAtomic, |inner| {
            inner.marks.min = 1600;
            assert_eq!(inner.below_floor(Depth::Normal, ZoneKind::Normal, 0), Some((1536, 1600)));
            assert_eq!(inner.below_floor(Depth::Normal, ZoneKind::Normal, 64), None);
            // Three eighths of min.
            inner.marks.min = 8 * 600;
            assert_eq!(inner.below_floor(Depth::Atomic, ZoneKind::Normal, 0), None);
        });
    }
}
