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
