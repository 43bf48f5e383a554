//! Allocates blocks by frame number: from a pcplist of this CPU, else from a zone.
//!
//! This is the interface without handles, for page tables and other code that cannot keep a handle.
//! [`handles`](crate::handles) has the one with handles.

use core::error::Error;
use core::fmt;
use core::ops::ControlFlow;

use crate::base::{
    AllocRequest, Depth, Geometry, Mobility, Order, PcpSlot, Pfn, Platform, Site, TraceEvent, ZoneKind,
};
use crate::buddy::Progress;
use crate::page_allocator::allocator::PageAllocator;
use crate::pcp::{CpuLists, ListId};
use crate::records::FrameState;
use crate::zone::{Reach, Zone};

/// How many times a request is tried again, because of blocks that are being reported, before it
/// fails.
const MAX_REPORT_TRIES: u32 = 4;

/// Why a block was not allocated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum AllocError {
    /// The order is above the largest order of the geometry.
    OrderTooLarge {
        /// The order of the request.
        order: Order,
        /// The largest order.
        max: Order,
    },
    /// No zone that the request may use has such a block above its watermark.
    NoMemory {
        /// The order of the request.
        order: Order,
        /// The mobility of the request.
        mobility: Mobility,
        /// The highest zone that the request may use.
        highest_zone: ZoneKind,
    },
}

impl fmt::Display for AllocError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OrderTooLarge { order, max } => write!(f, "{order} is above the largest, {max}"),
            Self::NoMemory { order, mobility, highest_zone } => {
                write!(f, "no {mobility} block of {order} in zone {highest_zone} or below")
            }
        }
    }
}

impl Error for AllocError {}

impl<'m, P: Platform, G: Geometry> PageAllocator<'m, P, G> {
    /// Allocates a block of 2ⁿ frames, naturally aligned, and returns its first frame.
    ///
    /// The caller owns the block until it frees it with [`free_pages`](Self::free_pages) and the
    /// same order. Its contents are undefined.
    ///
    /// The zones are tried from the highest zone of the request down: first to their low watermark,
    /// then to the watermark depth of the request. Before the request fails, blocks that are about
    /// to be reported to the host are taken back, all pcplists are drained, and as much of the
    /// high-atomic reserve as the request needs is returned. While the host has not acknowledged a
    /// block, a request that is not atomic then waits for it, if the platform can
    /// ([`Platform::wait_for_report`]).
    ///
    /// Any CPU. In interrupt handlers only with [`Depth::Atomic`]. Such a request does not drain:
    /// it takes blocks of its order and larger ones from the pcplists that no CPU is using at that
    /// moment, of every CPU in locked mode, and of this CPU in
    /// [owner-only](crate::PcpAccess::owner_only) mode. That takes time in proportion to the CPUs.
    ///
    /// # Errors
    ///
    /// [`AllocError::OrderTooLarge`], [`AllocError::NoMemory`].
    #[cfg_attr(not(debug_assertions), inline(always))] // without optimisation a caller's frame grows
    #[cfg_attr(feature = "page_owner", track_caller)]
    pub fn alloc_pages(&self, request: AllocRequest) -> Result<Pfn, AllocError> {
        self.alloc_at(request.at(Site::caller()))
    }

    /// As [`alloc_pages`](Self::alloc_pages), for a request with its site.
    #[inline(always)]
    pub(crate) fn alloc_at(&self, request: AllocRequest) -> Result<Pfn, AllocError> {
        match self.alloc_fast(request) {
            Some(pfn) => Ok(pfn),
            None => {
                let AllocRequest { order, mobility, highest_zone, depth, owner, pinned, site } = request;
                self.alloc_slow(order, mobility, highest_zone, depth, owner, pinned, site)
                    .ok_or_else(|| Self::error_for(request))
            }
        }
    }

    /// Allocates a block for each element of `blocks`, in order, and returns the number of blocks.
    ///
    /// It stops at the first that cannot be allocated. Each block is freed by itself.
    ///
    /// As [`alloc_pages`](Self::alloc_pages). The pcplist is entered once for up to 64 blocks, for
    /// which time interrupts are masked in the default mode.
    #[cfg_attr(feature = "page_owner", track_caller)]
    pub fn alloc_bulk(&self, request: AllocRequest, blocks: &mut [Pfn]) -> usize {
        let request = request.at(Site::caller());
        let mut filled = 0;
        while let Some(rest) = blocks.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            filled += match self.alloc_run(request, rest) {
                0 => match self.alloc_at(request) {
                    Ok(pfn) => {
                        rest[0] = pfn;
                        1
                    }
                    Err(_) => break,
                },
                taken => taken,
            };
        }
        filled
    }

    /// The slow path, out of line. It takes the request as scalars and leaves the error to the
    /// caller, so that the fast path keeps its arguments and its result in registers.
    #[cold]
    #[inline(never)]
    #[expect(clippy::too_many_arguments, reason = "the fields of a request")]
    fn alloc_slow(
        &self,
        order: Order,
        mobility: Mobility,
        highest_zone: ZoneKind,
        depth: Depth,
        owner: u64,
        pinned: bool,
        site: Site,
    ) -> Option<Pfn> {
        let request = AllocRequest { order, mobility, highest_zone, depth, owner, pinned, site };
        if self.desc().frames.extents().has_others()
            && let Some(pfn) = self.alloc_elsewhere(&request)
        {
            return Some(pfn);
        }
        let found = self.try_zones(&request, Reach::Low).or_else(|| self.alloc_under_pressure(&request));
        self.log_writes_after_free();
        found
    }

    /// Tries the zones of the request, the highest first, as far down as `reach`.
    fn try_zones(&self, request: &AllocRequest, reach: Reach) -> Option<Pfn> {
        if request.order > G::MAX_ORDER {
            return None;
        }
        for zone in self.zones().get(..=request.highest_zone.index())?.iter().rev() {
            if zone.published().managed() > 0
                && let Some(pfn) = self.alloc_from_zone(zone, request, reach)
            {
                return Some(pfn);
            }
        }
        None
    }

    /// Tries the zones down to the request's depth; then drains all pcplists and tries again, or
    /// takes what it needs from them if it cannot wait; then uses the atomic reserves, or gives a
    /// part of them back. Before all that it takes back what is about to be reported to the host,
    /// and after it waits for the host.
    fn alloc_under_pressure(&self, request: &AllocRequest) -> Option<Pfn> {
        let waits = request.depth != Depth::Atomic && request.order <= G::MAX_ORDER;
        let before = self.report_progress();
        let found = self
            .try_zones(request, Reach::Min)
            .or_else(|| self.alloc_taken_back(request))
            .or_else(|| {
                if request.order > G::MAX_ORDER {
                    return None;
                }
                if request.depth == Depth::Atomic {
                    return self.alloc_from_cached(request);
                }
                if !self.drain_used() {
                    return None;
                }
                self.try_zones(request, Reach::Min)
            })
            .or_else(|| {
                if !Reach::Reserve.exceeds_min(request) {
                    return None;
                }
                self.try_zones(request, Reach::Reserve)
            })
            .or_else(|| {
                if !waits {
                    return None;
                }
                self.serve_from_reserve(request)
            })
            .or_else(|| self.alloc_after_report(request, before, waits));
        if found.is_none() && request.order <= G::MAX_ORDER {
            self.events.failed_allocs.add(1);
            let AllocRequest { order, mobility, .. } = *request;
            self.desc().trace.emit(|| TraceEvent::AllocFailed { order, mobility });
            if let Some(number) = self.diagnostics.no_memory.count() {
                let error = Self::error_for(*request);
                log::warn!("{error}; {} pages are free (failed so far: {number})", self.free_count());
            }
        }
        found
    }

    #[cold]
    fn error_for(request: AllocRequest) -> AllocError {
        let AllocRequest { order, mobility, highest_zone, .. } = request;
        if order > G::MAX_ORDER {
            return AllocError::OrderTooLarge { order, max: G::MAX_ORDER };
        }
        AllocError::NoMemory { order, mobility, highest_zone }
    }

    /// Takes back the blocks that the host has not been told of, and serves the request from them,
    /// in one lock hold, so that no other request is served first.
    fn alloc_taken_back(&self, request: &AllocRequest) -> Option<Pfn> {
        let zones = self.zones().get(..=request.highest_zone.index())?.iter().rev();
        zones.filter(|zone| zone.published().managed() > 0).find_map(|zone| {
            self.in_zone(zone, |inner| {
                let taken_back = inner.buddy.take_back(self.desc());
                if taken_back { inner.alloc_above(self.desc(), request, Reach::Min) } else { None }
            })
        })
    }

    /// Tries again if blocks were out, to be reported, since `before`, or are now. While the host
    /// has not acknowledged all that it was told of, waits for it if the request may. A bounded
    /// number of times.
    fn alloc_after_report(
        &self,
        request: &AllocRequest,
        mut before: [Progress; ZoneKind::COUNT],
        may_wait: bool,
    ) -> Option<Pfn> {
        for _ in 0..MAX_REPORT_TRIES {
            let now = self.report_progress();
            let waits = || may_wait && now.iter().any(|zone| zone.handed_over > 0);
            if now == before && !(waits() && self.platform().wait_for_report()) {
                return None;
            }
            before = now;
            let found = self.try_zones(request, Reach::Min).or_else(|| self.alloc_taken_back(request));
            if found.is_some() {
                return found;
            }
        }
        None
    }

    /// How far the batches are that are being reported to the host, by zone.
    fn report_progress(&self) -> [Progress; ZoneKind::COUNT] {
        self.zones().each_ref().map(|zone| match zone.published().managed() {
            0 => Progress::default(), // a zone without memory has no batch
            _ => self.in_zone(zone, |inner| inner.buddy.reporting().progress()),
        })
    }

    /// Returns as much of the atomic reserve as the request needs to ordinary use, a pageblock in
    /// each lock hold, and serves the request from it.
    fn serve_from_reserve(&self, request: &AllocRequest) -> Option<Pfn> {
        self.zones().get(..=request.highest_zone.index())?.iter().rev().find_map(|zone| {
            loop {
                let step = self.in_zone(zone, |inner| inner.serve_from_reserve(self.desc(), request));
                if let ControlFlow::Break(found) = step {
                    return found;
                }
            }
        })
    }

    /// A block of this zone, or `None` if it has none to give at `reach`: through this CPU's list,
    /// which is refilled, or past it if there is no access to it now.
    fn alloc_from_zone(&self, zone: &Zone<G>, request: &AllocRequest, reach: Reach) -> Option<Pfn> {
        let id = ListId::new::<G>(request.order, PcpSlot::new(zone.kind(), request.mobility));
        let is_low = Self::is_low(zone, request, reach);
        if is_low && !id.is_some_and(|id| self.has_cached(id)) {
            return None;
        }
        match id {
            Some(id) => self.alloc_through_list(zone, id, request, reach, is_low),
            None => self.in_zone(zone, |inner| inner.alloc_above(self.desc(), request, reach)),
        }
    }

    /// As [`alloc_from_zone`](Self::alloc_from_zone), for a request whose order has pcplists, with
    /// the answer of [`is_low`](Self::is_low). Out of line, so that a zone that is passed over
    /// costs little.
    #[inline(never)]
    fn alloc_through_list(
        &self,
        zone: &Zone<G>,
        id: ListId,
        request: &AllocRequest,
        reach: Reach,
        is_low: bool,
    ) -> Option<Pfn> {
        if let Some(access) = self.own_lists() {
            if !self.may_take_cached(zone, request, reach, is_low) {
                return None;
            }
            let mut cached = self.pop_valid(access.lists, id, request);
            if cached.is_none() && self.take_batch(access.lists, id) {
                cached = self.pop_valid(access.lists, id, request);
            }
            if cached.is_some() || is_low {
                return cached;
            }
            return self.refill(zone, access.lists, id, request, reach);
        }
        self.in_zone(zone, |inner| inner.alloc_above(self.desc(), request, reach))
    }

    /// Whether a list of this CPU, or of the exchange, has a block. Without access, so that the
    /// answer may be out of date.
    #[inline]
    fn has_cached(&self, id: ListId) -> bool {
        let cpu = self.platform().current_cpu().number();
        self.lists().get(cpu).is_none_or(|lists| lists.len(id) > 0) || self.exchange().len(id) > 0
    }

    /// Whether the request may take a cached block of this zone, which
    /// [is low](Self::is_low) for it or not. A block on a pcplist has passed
    /// the watermark check of the request that it was cached for. That may have been one that
    /// cannot use a higher zone, for which the zone keeps its lowmem reserve.
    fn may_take_cached(&self, zone: &Zone<G>, request: &AllocRequest, reach: Reach, is_low: bool) -> bool {
        // No zone above has memory, so that there is no reserve.
        if self.choice.is_first(zone.kind(), request.highest_zone, request.mobility) {
            return true;
        }
        // A cached block is not in the free count, so that taking it cannot make two requests pass
        // a check that is right for one: the published count is as good as the count itself.
        if request.depth == Depth::Normal && reach == Reach::Low {
            return !is_low;
        }
        self.in_zone(zone, |inner| inner.has_room(request, reach))
    }

    /// Whether the zone has no pages for the request at this reach, by its published count, which
    /// needs no lock. Only of the low mark: it is not the last that a request tries, and whoever
    /// reads a count that is out of date tries the next zone, or this one again with the lock.
    #[inline]
    fn is_low(zone: &Zone<G>, request: &AllocRequest, reach: Reach) -> bool {
        request.depth == Depth::Normal && reach == Reach::Low && zone.published().is_at_low_mark(request)
    }

    /// Pops a block from the list, and drops stale entries.
    fn pop_valid(&self, lists: &CpuLists<'m>, id: ListId, request: &AllocRequest) -> Option<Pfn> {
        let frames = &self.desc().frames;
        core::iter::from_fn(|| lists.pop(id))
            .find(|index| frames.written_state_at(*index) == lists.cached_state(id.order()))
            .map(|index| {
                self.desc().sites.set(index, request.site);
                frames.set_allocated(index, FrameState::allocated_for(request), request.owner);
                frames.pfn(index)
            })
    }

    /// Allocates a batch from the zone for the list, which is empty, and the request gets the first
    /// block of it. The others are popped in the order in which they left the zone: mostly in
    /// ascending order. [`ZoneInner::refill_blocks`](crate::zone::ZoneInner::refill_blocks) limits
    /// the batch.
    fn refill(
        &self,
        zone: &Zone<G>,
        lists: &CpuLists<'m>,
        id: ListId,
        request: &AllocRequest,
        reach: Reach,
    ) -> Option<Pfn> {
        let desc = self.desc();
        self.in_zone(zone, |inner| {
            // Only this CPU changes its lists and their limits while it has access.
            let free_entries = lists.limit(id).saturating_sub(lists.len(id));
            let blocks = inner.refill_blocks(request, reach).min(free_entries.max(1));
            if blocks == 0 {
                return None;
            }
            let wanted = inner.wanted(request, reach, Some(lists.reserved(id)));
            if blocks == 1 {
                return inner.alloc_block(desc, request, &wanted);
            }
            lists.open(id);
            let (refill, cached) = (lists.refill(id, blocks), lists.cached_state(id.order()));
            let free = inner.alloc_for_pcp(desc, &wanted, refill.places(), cached);
            let others = refill.finish(free).saturating_sub(1);
            let first = desc.frames.pfn(lists.pop(id)?);
            inner.hand_out(desc, request, first);
            if others > 0 {
                let AllocRequest { order, mobility, .. } = *request;
                desc.trace.emit(|| TraceEvent::Refill { zone: zone.kind(), order, mobility, blocks: others });
            }
            let events = inner.buddy.events_mut();
            events.refills += u64::from(others > 0);
            events.refill_pages += (others * id.order().pages()) as u64;
            Some(first)
        })
    }
}
