//! A block leaves a zone: from a pcplist if one holds it, else from the buddy under the watermark check.
//!
//! The check is made with the zone locked and the count exact, in the same hold that takes the block. Blocks on
//! pcplists passed it when they left the buddy. Neighbours: [`watermark`](crate::watermark) for the floors,
//! [`buddy::fallback`](crate::buddy) for the lists.

use super::{Zone, ZoneInner};
use crate::buddy::{FreeBlock, Wanted};
use crate::frame::state::FrameState;
use crate::free_list::End;
use crate::geometry::Geometry;
use crate::mem_map::MemMap;
use crate::pcp::{ListId, PcpSlot};
use crate::pfn::Pfn;
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

    fn take(&mut self, mem: &MemMap<'_, G>, request: &AllocRequest) -> Option<FreeBlock> {
        let wanted = Wanted {
            order: request.order,
            mobility: request.mobility,
            depth: request.depth,
            cma_first_above: self.cma_first_above,
        };
        self.buddy.take(mem, &wanted)
    }
}

impl<G: Geometry> Zone<'_, G> {
    /// A block for the request, or `None` if the zone has none to give at `mark`. Interrupts must be masked.
    #[inline]
    pub(crate) fn alloc(
        &self,
        mem: &MemMap<'_, G>,
        slot: &PcpSlot<G>,
        request: &AllocRequest,
        mark: Mark,
    ) -> Option<Pfn> {
        let pfn = match ListId::new::<G>(request.order, request.mobility) {
            Some(id) => self.alloc_cached(mem, slot, id, request, mark)?,
            None => self.alloc_direct(mem, request, mark)?,
        };
        Some(pfn)
    }

    #[inline]
    fn alloc_cached(
        &self,
        mem: &MemMap<'_, G>,
        slot: &PcpSlot<G>,
        id: ListId,
        request: &AllocRequest,
        mark: Mark,
    ) -> Option<Pfn> {
        let mut lists = slot.lock();
        let pfn = match lists.pop(&mem.frames, id, End::Front) {
            Some(pfn) => pfn,
            None => {
                self.locked(|inner| {
                    for n in 0..inner.refill_blocks(request, mark) {
                        let Some(block) = inner.take(mem, request) else {
                            break;
                        };
                        if n == 0 {
                            inner.reserve_for(mem, block.pfn(), request);
                        }
                        mem.frames.set_state(block.pfn(), FrameState::cached(id.order, id.mobility));
                        lists.push(&mem.frames, id, block.pfn(), End::Back);
                    }
                });
                lists.pop(&mem.frames, id, End::Front)?
            }
        };
        hand_out(mem, pfn, request);
        Some(pfn)
    }

    fn alloc_direct(&self, mem: &MemMap<'_, G>, request: &AllocRequest, mark: Mark) -> Option<Pfn> {
        self.locked(|inner| {
            if inner.room(request, mark, request.depth) < inner.buddy.cost(request.order) {
                return None;
            }
            let block = inner.take(mem, request)?;
            inner.reserve_for(mem, block.pfn(), request);
            hand_out(mem, block.pfn(), request);
            Some(block.pfn())
        })
    }
}

impl<G: Geometry> ZoneInner<G> {
    /// How many blocks to put on a pcplist at once. What an atomic or emergency request takes from below the normal
    /// floor is its one block only: the rest of a batch would be there for ordinary requests to find.
    fn refill_blocks(&self, request: &AllocRequest, mark: Mark) -> usize {
        let batch = (self.limits.batch / request.order.pages()).max(1);
        let cost = self.buddy.cost(request.order);
        let ordinary = self.room(request, mark, Depth::Normal) / cost;
        if ordinary > 0 {
            return batch.min(ordinary);
        }
        (self.room(request, mark, request.depth) / cost).min(1)
    }
}

/// Writes the block's owner into its descriptor.
#[inline]
fn hand_out<G: Geometry>(mem: &MemMap<'_, G>, pfn: Pfn, request: &AllocRequest) {
    mem.frames.set_owner(pfn, request.owner);
    let state = FrameState::allocated(request.order, request.mobility);
    mem.frames.set_state(pfn, state.with_migration(request.migration));
}
