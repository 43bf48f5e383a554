//! Serves a request that cannot wait from the blocks that are cached for CPUs.
//!
//! A request that can wait drains all pcplists before it fails. In an interrupt handler that is not
//! possible: the code that the handler interrupted may have access to its lists, and a drain waits
//! until it has not. So an atomic request asks each CPU's lists for a batch at a time, and goes on
//! to the next where it does not get access at once.
//!
//! - In *locked* mode it gets access by the lock of the lists, with one try. The lists of every CPU
//!   are within reach, in every context.
//! - In *owner-only* mode only this CPU's lists and the [exchange](super::exchange) are: the lists
//!   of other CPUs have no lock that their owners take, and to revoke an owner's access needs a
//!   barrier on every CPU.

use crate::base::{AllocRequest, Geometry, Masked, Pfn, Platform};
use crate::page_allocator::allocator::PageAllocator;
use crate::pcp::{CpuLists, ListId};
use crate::zone::{Reach, Zone};

/// How often the lists are asked: another CPU may have locked its own for a moment.
const ROUNDS: usize = 2;

impl<'m, P: Platform, G: Geometry> PageAllocator<'m, P, G> {
    /// Returns cached blocks of at least the request's order to their zones until the request can
    /// be served. They may be of any mobility, as any free block. Smaller ones stay cached: they
    /// would have to merge.
    pub(super) fn alloc_from_cached(&self, request: &AllocRequest) -> Option<Pfn> {
        let zones = self.zones().get(..=request.highest_zone.index())?;
        (0..ROUNDS).find_map(|_| zones.iter().rev().find_map(|zone| self.alloc_from_lists(zone, request)))
    }

    fn alloc_from_lists(&self, zone: &Zone<G>, request: &AllocRequest) -> Option<Pfn> {
        let ids = || ListId::of_zone::<G>(zone.kind()).filter(|id| id.order() >= request.order);
        if P::PCP_ACCESS.is_owner_only() {
            let own = ids().find_map(|id| {
                let access = self.own_lists()?;
                self.alloc_from_list(zone, access.lists, id, request)
            });
            return own.or_else(|| self.alloc_from_locked(zone, self.exchange(), request));
        }
        self.all_lists().iter().find_map(|lists| self.alloc_from_locked(zone, lists, request))
    }

    /// As [`alloc_from_list`](Self::alloc_from_list), from lists whose lock gives access.
    fn alloc_from_locked(&self, zone: &Zone<G>, lists: &CpuLists<'m>, request: &AllocRequest) -> Option<Pfn> {
        let ids = ListId::of_zone::<G>(zone.kind()).filter(|id| id.order() >= request.order);
        // Lengths are read without the lock: most lists have nothing to give.
        ids.filter(|id| lists.len(*id) > 0).find_map(|id| {
            let _masked = Masked::new(self.platform());
            let _locked = lists.access.try_lock()?;
            self.alloc_from_list(zone, lists, id, request)
        })
    }

    /// Spills a list until the zone can serve the request, or the list is empty. Needs access to
    /// the lists.
    fn alloc_from_list(
        &self,
        zone: &Zone<G>,
        lists: &CpuLists<'m>,
        id: ListId,
        request: &AllocRequest,
    ) -> Option<Pfn> {
        while lists.len(id) > 0 {
            // In one lock hold, so that no other request is served first.
            let found =
                self.spill_and(zone, lists, id, |inner| inner.alloc_above(self.desc(), request, Reach::Min));
            if found.is_some() {
                return found;
            }
        }
        None
    }
}
