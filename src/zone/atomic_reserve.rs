//! The atomic reserve: a few pageblocks kept for higher-order allocations by callers that cannot wait.
//!
//! Each such allocation that succeeds reserves the pageblock it came from (type
//! [`HighAtomic`](crate::MigrateType::HighAtomic)), up to one percent of the zone; when ordinary requests find
//! nothing any more, one pageblock at a time is given back (`reserve_highatomic_pageblock`,
//! `unreserve_highatomic_pageblock`). What ordinary requests must leave alone is the *free* pages of the reserve, which
//! are counted exactly, not its size: Linux used the size until v6.12 and ran out of memory with a gigabyte free.

use super::ZoneInner;
use crate::geometry::Geometry;
use crate::mem_map::MemMap;
use crate::migratetype::{FreeKind, MigrateType};
use crate::order::Order;
use crate::pageblock::{Isolation, Pageblock};
use crate::pfn::Pfn;
use crate::request::{AllocRequest, Depth};

impl<G: Geometry> ZoneInner<G> {
    /// The block at `pfn` goes to `request`: reserves its pageblock if that is what the reserve is for.
    pub(super) fn reserve_for(&mut self, mem: &MemMap<'_, G>, pfn: Pfn, request: &AllocRequest) {
        if request.depth != Depth::Atomic || request.order == Order::ZERO {
            return;
        }
        let reserved = (self.buddy.atomic_blocks() + 1) * G::PAGEBLOCK_ORDER.pages();
        let state = mem.blocks.state(pfn);
        let free_to_change = state.migratetype.is_ordinary() && state.isolation == Isolation::Open;
        if free_to_change && reserved <= self.present / 100 {
            let to = state.with_type(MigrateType::HighAtomic);
            self.buddy.retype(mem, Pageblock::of::<G>(pfn), to);
        }
    }

    /// Gives one pageblock of the reserve that has free pages back to movable requests. False if there is none.
    pub(crate) fn unreserve(&mut self, mem: &MemMap<'_, G>) -> bool {
        let kind = FreeKind::Listed(MigrateType::HighAtomic);
        let found =
            Order::ZERO.up_to(G::MAX_ORDER).rev().find_map(|order| self.buddy.largest(mem, order, kind));
        let Some(pfn) = found else {
            return false;
        };
        let to = mem.blocks.state(pfn).with_type(MigrateType::Movable);
        self.buddy.retype(mem, Pageblock::of::<G>(pfn), to);
        true
    }
}
