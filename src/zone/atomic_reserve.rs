//! The high-atomic reserve: pageblocks that are kept for high-order atomic requests.
//!
//! When a zone serves such a request, it gives the pageblock of the block the type
//! [`HighAtomic`](crate::MigrateType::HighAtomic), up to one percent of the zone
//! (`reserve_highatomic_pageblock` in Linux). When a request finds no block, the zones return one
//! such pageblock at a time to the movable type (`unreserve_highatomic_pageblock`). The watermark
//! check of normal requests subtracts the *free* pages of the reserve, which are counted exactly.
//! Until v6.12 Linux subtracted the size of the reserve, and could fail with a gigabyte free.

use crate::base::{AllocRequest, Depth, FreeKind, Geometry, MigrateType, Order, Pageblock, Pfn};
use crate::records::{Descriptors, Isolation};
use crate::zone::lock::ZoneInner;

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
        if free_to_change && reserved <= self.present / 100 {
            let to = state.with_type(MigrateType::HighAtomic);
            self.buddy.retype(desc, Pageblock::of::<G>(pfn), to);
        }
    }

    /// Returns a pageblock of the reserve that has free pages to the movable type; false if none.
    pub(crate) fn unreserve_highatomic(&mut self, desc: &Descriptors<'_, G>) -> bool {
        let kind = FreeKind::Listed(MigrateType::HighAtomic);
        let found =
            Order::ZERO.up_to(G::MAX_ORDER).rev().find_map(|order| self.buddy.largest(desc, order, kind));
        let Some(pfn) = found else {
            return false;
        };
        let to = desc.pageblocks.state(pfn).with_type(MigrateType::Movable);
        self.buddy.retype(desc, Pageblock::of::<G>(pfn), to);
        true
    }
}
