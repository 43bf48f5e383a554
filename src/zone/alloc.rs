//! A block leaves a zone: from a pcplist if one holds it, else from the buddy under the watermark check.
//!
//! The check is made with the zone locked and the count exact, in the same hold that takes the block. Blocks on
//! pcplists passed it when they left the buddy. Neighbours: [`watermark`](crate::watermark) for the floors,
//! [`buddy::fallback`](crate::buddy) for the lists.

use super::{Zone, ZoneInner};
use crate::buddy::Wanted;
use crate::geometry::Geometry;
use crate::mem_map::MemMap;
use crate::order::Order;
use crate::page_allocator::PageAllocator;
use crate::pcp::{CpuLists, ListId, ListSlot};
use crate::pfn::Pfn;
use crate::platform::Platform;
use crate::request::{AllocRequest, Depth};
use crate::watermark::{Mark, pages_above};

impl<G: Geometry> ZoneInner<G> {
    /// Pages that the request may take before it reaches its floor at `mark`, if it digs as deep as `depth`.
    fn room(&self, request: &AllocRequest, mark: Mark, depth: Depth) -> usize {
        let reserve = match depth {
            Depth::Emergency => 0,
            Depth::Normal | Depth::Atomic => self.reserves[request.highest_zone.index()],
        };
        let floor = self.marks.floor(mark, depth).saturating_add(reserve);
        pages_above(self.buddy.counters(), request.mobility, depth, floor)
    }

    /// Takes a block and hands it out.
    fn take_for(&mut self, mem: &MemMap<'_, G>, request: &AllocRequest) -> Option<Pfn> {
        let wanted = self.wanted(request);
        let block = self.buddy.take(mem, &wanted)?;
        self.reserve_for(mem, block.pfn(), request);
        mem.frames.hand_out(mem.frames.link(block.pfn()), request.state(), request.owner);
        Some(block.pfn())
    }

    fn wanted(&self, request: &AllocRequest) -> Wanted {
        Wanted {
            order: request.order,
            mobility: request.mobility,
            depth: request.depth,
            cma_first_above: self.cma_first_above,
        }
    }
}

impl<'m, P: Platform, G: Geometry> PageAllocator<'m, P, G> {
    /// A block for the request, or `None` if the zone has none to give at `mark`: by way of this CPU's list, which is filled up on the
    /// occasion, or past it if that cannot be got at now.
    pub(crate) fn take_from(&self, zone: &Zone<G>, request: &AllocRequest, mark: Mark) -> Option<Pfn> {
        let id = ListId::new::<G>(request.order, ListSlot::new(zone.kind(), request.mobility));
        let through_list = id.and_then(|id| {
            self.with_own_lists(|lists| {
                if lists.are_shut() {
                    return None;
                }
                Some(
                    self.pop_valid(lists, id, request)
                        .or_else(|| self.refill(zone, lists, id, request, mark)),
                )
            })
        });
        through_list.unwrap_or_else(|| {
            self.in_zone(zone, |inner| {
                if inner.room(request, mark, request.depth) < inner.buddy.cost(request.order) {
                    return None;
                }
                inner.take_for(self.mem(), request)
            })
        })
    }

    fn pop_valid(&self, lists: &CpuLists<'m>, id: ListId, request: &AllocRequest) -> Option<Pfn> {
        let frames = &self.mem().frames;
        core::iter::from_fn(|| lists.take(id))
            .find(|index| frames.state_at(*index) == lists.cached(id.order()))
            .map(|index| {
                frames.hand_out(index, request.state(), request.owner);
                frames.pfn(index)
            })
    }

    /// Takes a batch from the buddy: the first block for the request, the others for the list.
    fn refill(
        &self,
        zone: &Zone<G>,
        lists: &CpuLists<'m>,
        id: ListId,
        request: &AllocRequest,
        mark: Mark,
    ) -> Option<Pfn> {
        let mem = self.mem();
        let first = self.in_zone(zone, |inner| {
            let blocks = inner.refill_blocks(request, mark).min(lists.limit(id).max(1));
            if blocks == 0 {
                return None;
            }
            let first = inner.take_for(mem, request)?;
            // Nobody but us fills our lists or changes what they may hold while we are inside.
            let room = lists.limit(id).saturating_sub(lists.len(id)).min(blocks - 1);
            inner.buddy.take_many(mem, &inner.wanted(request), room as u32, |link| {
                mem.frames.set_state_at(link, lists.cached(id.order()));
                let pushed = lists.push(id, link);
                debug_assert!(pushed, "no more than the list may hold");
            });
            Some(first)
        });
        // What left the buddy first is handed out first: mostly in ascending order.
        lists.reverse(id);
        first
    }
}

impl<G: Geometry> ZoneInner<G> {
    /// How many blocks to put on a pcplist at once. What an atomic or emergency request takes from below the normal
    /// floor is its one block only: the rest of a batch would be there for ordinary requests to find.
    fn refill_blocks(&self, request: &AllocRequest, mark: Mark) -> usize {
        let batch = self.limits.batch_of(request.order);
        let cost = self.buddy.cost(request.order);
        let ordinary = self.room(request, mark, Depth::Normal) / cost;
        // The block of a higher-order atomic request reserves its pageblock: those that came along would spread the reserve.
        let alone = request.depth == Depth::Atomic && request.order > Order::ZERO;
        if ordinary > 0 && !alone {
            return batch.min(ordinary);
        }
        (self.room(request, mark, request.depth) / cost).min(1)
    }
}
