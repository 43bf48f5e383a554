//! The atomic reserve: pageblocks kept for high-order allocations of callers that cannot wait.
//!
//! Each such allocation that succeeds reserves the pageblock that it came from (type
//! [`HighAtomic`](crate::MigrateType::HighAtomic)), up to one percent of the zone. When ordinary
//! requests find no block, one pageblock at a time is given back (`reserve_highatomic_pageblock`,
//! `unreserve_highatomic_pageblock` in Linux). Ordinary requests must leave the *free* pages of the
//! reserve alone, which are counted exactly, not its size: Linux used the size until v6.12 and ran
//! out of memory with a gigabyte free.

use crate::base::{AllocRequest, Depth, FreeKind, Geometry, MigrateType, Order, Pageblock, Pfn};
use crate::records::{Descriptors, Isolation};
use crate::zone::lock::ZoneInner;

impl<G: Geometry> ZoneInner<G> {
    /// Reserves the pageblock of the block at `pfn`, which is handed out for `request`, if this is
    /// a high-order atomic request.
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

    /// Gives one pageblock of the reserve that has free pages back to movable requests. False if
    /// there is none.
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
