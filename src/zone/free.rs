//! A block comes back to its zone: to a pcplist, or straight to the buddy if its pageblock is isolated.
//!
//! Here go the frees that did not find room at hand ([`pcp::fast`](crate::pcp)), mistakes among them. The owner gives up a block by one atomic
//! exchange of its state, made behind the gate of the list or under the lock of the zone that it joins.
//! Two frees of one block, or a free and a migration, meet there: one wins, the other learns what the state is now.
//! Neighbours: [`pcp`](crate::pcp) for why an isolated block's page cannot stay on a pcplist,
//! [`migrate`](crate::migrate) for the other side of the exchange.

use super::Zone;
use crate::buddy::FreeBlock;
use crate::designs::parks;
use crate::error::FreeError;
use crate::faults::{Stale, fault};
use crate::frame::state::{FrameKind, FrameState, Migration};
use crate::geometry::Geometry;
use crate::mem_map::MemMap;
use crate::migratetype::FreeKind;
use crate::order::Order;
use crate::page_allocator::PageAllocator;
use crate::pcp::{CpuLists, ListId, ListSlot};
use crate::pfn::Pfn;
use crate::platform::Platform;

impl<'m, P: Platform, G: Geometry> PageAllocator<'m, P, G> {
    /// Frees a block that is allocated, at exactly this order.
    pub(crate) fn free_owned(&self, zone: &Zone<G>, pfn: Pfn, order: Order) -> Result<(), FreeError> {
        let frames = &self.mem().frames;
        loop {
            let state = frames.state(pfn);
            check_owned::<G>(self.mem(), pfn, order, state)?;
            match state.migration() {
                Migration::Idle => {}
                Migration::Moving => {
                    // Whoever moves the block sees this when done, and frees it.
                    match frames.exchange(pfn, state, state.with_migration(Migration::Freed)) {
                        Ok(()) => return Ok(()),
                        Err(_) => continue,
                    }
                }
                Migration::Freed => return Err(FreeError::DoubleFree { pfn }),
            }
            if self.free_cached(zone, pfn, state) || self.free_direct(zone, pfn, state) {
                return Ok(());
            }
        }
    }

    /// Frees a block that the caller has pinned and that has no owner any more. It goes straight from pinned to free: another
    /// mover that saw it unpinned would ask an owner who knows nothing of it, and give the range up.
    pub(crate) fn free_pinned(&self, pfn: Pfn) {
        let zone = self.zone_of(pfn);
        loop {
            let state = self.mem().frames.state(pfn);
            if !state.is(FrameKind::Allocated) {
                debug_assert!(false, "{pfn} was ours to free: it is {state:?}");
                return;
            }
            if self.free_cached(zone, pfn, state) || self.free_direct(zone, pfn, state) {
                return;
            }
        }
    }

    /// Puts the block on a pcplist. False if it may not be cached, or is no longer in `state`.
    fn free_cached(&self, zone: &Zone<G>, pfn: Pfn, state: FrameState) -> bool {
        let mem = self.mem();
        if fault!(mem, STALE_NORMAL) {
            return false;
        }
        let early = mem.faults.read_before_pcp_lock(|| mem.kind(pfn));
        self.with_own_lists(|lists| {
            if lists.are_shut() {
                return None;
            }
            // Read behind the gate: that is what makes a drain after isolation final.
            let FreeKind::Listed(migratetype) = Stale::or_now(early, || mem.kind(pfn)) else {
                return None;
            };
            let mobility = migratetype.cached_as().filter(|_| !parks(mem, pfn))?;
            let id = ListId::new::<G>(state.order(), ListSlot::new(zone.kind(), mobility))?;
            if lists.limit(id) == 0 {
                return None;
            }
            mem.frames.exchange(pfn, state, lists.cached(state.order())).ok()?;
            if lists.len(id) >= lists.limit(id) {
                self.spill(zone, lists, id);
            }
            if !lists.push(id, mem.frames.link(pfn)) {
                // Since memory left the zone, the list may hold so much less than it does that one spill makes no room.
                let link = core::iter::once(mem.frames.link(pfn));
                self.in_zone(zone, |inner| inner.buddy.free_cached(mem, id, link));
            }
            Some(())
        })
        .is_some()
    }

    /// Gives a batch of a list's coldest blocks back.
    fn spill(&self, zone: &Zone<G>, lists: &CpuLists<'m>, id: ListId) {
        let count = self.in_zone(zone, |inner| {
            let count = inner.limits.batch_of(id.order());
            inner.take_back(self.mem(), lists, id, lists.coldest(id, count));
            if let Some(first) = lists.coldest_of_all(id, count) {
                inner.take_back(self.mem(), lists, id, core::iter::once(first));
            }
            count
        });
        lists.drop_coldest(id, count);
    }

    /// Gives the block to the buddy. False if it is no longer in `state`.
    fn free_direct(&self, zone: &Zone<G>, pfn: Pfn, state: FrameState) -> bool {
        let mem = self.mem();
        let stale = mem.faults.read_before_zone_lock(|| mem.kind(pfn));
        self.in_zone(zone, |inner| {
            if mem.frames.exchange(pfn, state, FrameState::TAIL).is_err() {
                return false;
            }
            inner.buddy.free_or_stale(mem, FreeBlock::from_owner(pfn, state.order()), stale);
            true
        })
    }
}

/// Whether the caller can own a block of `order` at `pfn`, whose state is `state`.
#[inline]
pub(crate) fn check_owned<G: Geometry>(
    mem: &MemMap<'_, G>,
    pfn: Pfn,
    order: Order,
    state: FrameState,
) -> Result<(), FreeError> {
    if state.is(FrameKind::Allocated) && state.order() == order {
        return Ok(());
    }
    Err(explain::<G>(mem, pfn, order, state))
}

/// Why the caller cannot own the block: off the fast path.
#[cold]
fn explain<G: Geometry>(mem: &MemMap<'_, G>, pfn: Pfn, order: Order, state: FrameState) -> FreeError {
    if order > G::MAX_ORDER {
        return FreeError::OrderTooLarge { order, max: G::MAX_ORDER };
    }
    if !order.is_aligned(pfn) {
        return FreeError::Unaligned { pfn, order };
    }
    match state.kind() {
        FrameKind::Hole => FreeError::Hole { pfn },
        FrameKind::Reserved | FrameKind::Offline => FreeError::NotManaged { pfn, kind: state.kind() },
        FrameKind::Contig => FreeError::Contig { pfn },
        FrameKind::Allocated => FreeError::WrongOrder { pfn, given: order, allocated: state.order() },
        FrameKind::Free | FrameKind::Cached | FrameKind::Guard => FreeError::DoubleFree { pfn },
        #[cfg(feature = "designs")]
        FrameKind::Parked => FreeError::DoubleFree { pfn },
        FrameKind::Tail => match mem.frames.head_of(pfn, G::MAX_ORDER) {
            Some((_, head))
                if matches!(head.kind(), FrameKind::Free | FrameKind::Cached | FrameKind::Guard) =>
            {
                FreeError::DoubleFree { pfn }
            }
            Some((head, _)) => FreeError::NotHead { pfn, head },
            None => FreeError::DoubleFree { pfn },
        },
    }
}
