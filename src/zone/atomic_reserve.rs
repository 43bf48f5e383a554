//! The high-atomic reserve: pageblocks that are kept for high-order atomic requests.
//!
//! When a zone serves such a request, it gives the pageblock of the block the type
//! [`HighAtomic`](crate::MigrateType::HighAtomic), up to one percent of the zone's managed pages
//! (`reserve_highatomic_pageblock` in Linux). A pageblock that is taken offline or for a contiguous
//! range becomes movable, and another one can take its place. When a request finds no block, a zone
//! returns such pageblocks to the movable type (`unreserve_highatomic_pageblock`), one in each lock
//! hold, until the request is served. It keeps them if all of them would not be enough. The
//! watermark check of normal requests subtracts the *free* pages of the reserve, which are counted
//! exactly. Until v6.12 Linux subtracted the size of the reserve, and could fail with a gigabyte
//! free.

use core::ops::ControlFlow;

use crate::base::{AllocRequest, Depth, FreeKind, Geometry, MigrateType, Order, Pageblock, Pfn};
use crate::records::{Descriptors, Isolation};
use crate::zone::lock::ZoneInner;
use crate::zone::reach::Reach;

impl<G: Geometry> ZoneInner<G> {
    /// Reserves the pageblock of `pfn` if `request` is a high-order atomic one and the reserve is
    /// below its limit.
    pub(super) fn reserve_highatomic(&mut self, desc: &Descriptors<'_, G>, pfn: Pfn, request: &AllocRequest) {
        if request.depth != Depth::Atomic || request.order == Order::ZERO {
            return;
        }
        let reserved = (self.buddy.atomic_pageblocks() + 1) * G::PAGEBLOCK_ORDER.pages();
        let state = desc.pageblocks.state(pfn);
        let free_to_change = state.migratetype.is_ordinary() && state.isolation == Isolation::None;
        if free_to_change && reserved <= self.managed() / 100 {
            let to = state.with_type(MigrateType::HighAtomic);
            self.buddy.retype(desc, Pageblock::of::<G>(pfn), to);
        }
    }

    /// Returns one pageblock of the reserve to the movable type and tries to serve the request.
    /// `Break` if this zone cannot help any further.
    pub(crate) fn serve_from_reserve(
        &mut self,
        desc: &Descriptors<'_, G>,
        request: &AllocRequest,
    ) -> ControlFlow<Option<Pfn>> {
        let Some(pfn) = self.reserve_block_for(desc, request) else {
            return ControlFlow::Break(None);
        };
        let to = desc.pageblocks.state(pfn).with_type(MigrateType::Movable);
        self.buddy.retype(desc, Pageblock::of::<G>(pfn), to);
        match self.alloc_above(desc, request, Reach::Min) {
            Some(pfn) => ControlFlow::Break(Some(pfn)),
            None => ControlFlow::Continue(()),
        }
    }

    /// The largest free block of the reserve, if the zone could serve the request with all of the
    /// reserve, and the block may be what is missing.
    fn reserve_block_for(&self, desc: &Descriptors<'_, G>, request: &AllocRequest) -> Option<Pfn> {
        let cost = self.buddy.cost(request.order);
        if self.headroom_at(request, Reach::Min, request.depth, true).pages() < cost {
            return None;
        }
        let kind = FreeKind::Listed(MigrateType::HighAtomic);
        let largest = |order| self.buddy.largest(desc, order, kind).map(|pfn| (pfn, order));
        let (pfn, order) = Order::ZERO.up_to(G::MAX_ORDER).rev().find_map(largest)?;
        // A free pageblock merges with its neighbour when both are of one type.
        let large_enough = order >= request.order.min(G::PAGEBLOCK_ORDER);
        let mark_is_missing = self.headroom_at(request, Reach::Min, request.depth, false).pages() < cost;
        (large_enough
            || mark_is_missing && self.buddy.has_block_outside_reserve(request.order, request.mobility))
        .then_some(pfn)
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use crate::base::{AllocRequest, MigrateType, Order, Pageblock, Pfn, X86_64};
    use crate::page_allocator::Tuning;
    use crate::page_allocator::testing::{Bare, machine};
    use crate::zone::lock::ZoneInner;

    /// Whether the reserve is given up for a block of order 5, which is 32 pages, in a zone of 2048
    /// pages. The reserve is one pageblock; if it is fragmented, half of it is free, in blocks of
    /// order 4. All other pageblocks are free and of this type. The min mark leaves `room` pages to
    /// a request, which may use the free pages of the reserve if `of_reserve` says so.
    fn gives_up(fragmented: bool, others: MigrateType, room: usize, of_reserve: bool) -> bool {
        let machine = machine(Bare, 8 << 20, Tuning::default().min_free_pages(0));
        let (desc, start) = (machine.desc(), machine.span().start());
        if fragmented {
            let request = AllocRequest::movable().order(Order::new(4));
            let blocks = [(); 128].map(|()| machine.alloc_pages(request).unwrap());
            let kept = |pfn: Pfn| pfn < start.up(512) && pfn.number() / 16 % 2 == 1;
            for pfn in blocks.into_iter().filter(|pfn| !kept(*pfn)) {
                machine.free_pages(pfn, Order::new(4)).unwrap();
            }
            machine.drain_all();
        }
        machine.in_zone(&machine.zones()[2], |inner: &mut ZoneInner<X86_64>| {
            inner.buddy.init_range(desc, machine.span());
            for pageblock in Pageblock::covering::<X86_64>(machine.span()) {
                let to = if pageblock.start() == start { MigrateType::HighAtomic } else { others };
                let state = desc.pageblocks.state(pageblock.start());
                inner.buddy.retype(desc, pageblock, state.with_type(to));
            }
            let counters = inner.buddy.counters();
            assert_eq!(counters.free_atomic(), if fragmented { 256 } else { 512 });
            let reserve = if of_reserve { 0 } else { counters.free_atomic() };
            inner.marks.min = counters.free() - counters.free_cma() - reserve - room;
            inner.reserve_block_for(desc, &AllocRequest::unmovable().order(Order::new(5))).is_some()
        })
    }

    #[test]
    fn the_reserve_is_kept_if_all_of_it_would_not_be_enough() {
        assert!(gives_up(false, MigrateType::Unmovable, 32, true));
        assert!(!gives_up(false, MigrateType::Unmovable, 31, true));
    }

    #[test]
    fn a_fragmented_reserve_is_given_up_if_only_the_mark_keeps_the_request_from_a_block() {
        for (room, gives) in [(31, true), (32, false), (33, false)] {
            assert_eq!(gives_up(true, MigrateType::Unmovable, room, false), gives, "{room} pages above min");
        }
        // The others are not for this request.
        assert!(!gives_up(true, MigrateType::Cma, 0, false));
    }
}
