//! The allocator: its parts, the zone of a frame, and the counts that are read without a lock.
//!
//! There are no statics: the records of a [`PageAllocator`] are in its
//! [`Metadata`](crate::Metadata), and the kernel has the `static` that it is stored in.

#![expect(unsafe_code, reason = "a slot number that only this file writes is in range")]

use crate::base::{
    FrameKind, Geometry, GuardPages, Mobility, PcpSlot, Pfn, PfnRange, Platform, RangeError, X86_64, ZoneKind,
};
use crate::page_allocator::events::EventCounters;
use crate::page_allocator::rate_limit::Diagnostics;
use crate::pcp::CpuLists;
use crate::records::Descriptors;
use crate::sync::{Ordering, PlainU32};
use crate::zone::{Published, Zone, ZoneInner};

/// A zoned buddy allocator of page frames.
///
/// Every method takes `&self`, and the allocator is `Sync` if its platform is, so that a kernel can
/// put it into a `static` (with `spin::Once`, for instance).
#[derive(Debug)]
pub struct PageAllocator<'m, P: Platform, G: Geometry = X86_64> {
    pub(super) platform: P,
    pub(super) desc: Descriptors<'m, G>,
    pub(super) zones: &'m [Zone<G>; ZoneKind::COUNT],
    /// The pcplists, by CPU.
    pub(super) lists: &'m [CpuLists<'m>],
    /// By the highest zone that a request may use: the unmovable pcplist slot of the highest zone
    /// at or below it that has memory. The fast path looks only there.
    pub(super) first_slots: [PlainU32; ZoneKind::COUNT],
    pub(super) min_free_pages: Option<usize>,
    pub(super) diagnostics: Diagnostics,
    pub(super) events: EventCounters,
}

impl<'m, P: Platform, G: Geometry> PageAllocator<'m, P, G> {
    /// The platform given at construction.
    pub fn platform(&self) -> &P {
        &self.platform
    }

    pub(crate) fn events(&self) -> &EventCounters {
        &self.events
    }

    pub(crate) fn desc(&self) -> &Descriptors<'m, G> {
        &self.desc
    }

    pub(crate) fn zones(&self) -> &'m [Zone<G>; ZoneKind::COUNT] {
        self.zones
    }

    /// The pcplists, by CPU.
    #[inline(always)]
    pub(crate) fn lists(&self) -> &'m [CpuLists<'m>] {
        self.lists
    }

    /// The range of frames that have a record, including holes. Any context.
    #[must_use]
    pub fn span(&self) -> PfnRange {
        self.desc.frames.span()
    }

    pub(crate) fn in_zone<R>(&self, zone: &Zone<G>, f: impl FnOnce(&mut ZoneInner<G>) -> R) -> R {
        self.platform.without_interrupts(|| zone.locked(f))
    }

    /// The zone whose address range includes the frame, which may be a hole.
    #[inline]
    pub(crate) fn zone_of(&self, pfn: Pfn) -> &Zone<G> {
        &self.zones[ZoneKind::of::<G>(pfn).index()]
    }

    /// The zone that includes every frame of `range`; the frames may be holes.
    pub(crate) fn zone_of_span(&self, range: PfnRange) -> Result<&Zone<G>, RangeError> {
        if range.is_empty() {
            return Err(RangeError::Empty { range });
        }
        if !self.span().covers(range) {
            let inside = self.span().intersection(range);
            let pfn = if inside.is_empty() || inside.start() > range.start() {
                range.start()
            } else {
                inside.end()
            };
            return Err(RangeError::Foreign { pfn });
        }
        let zone = self.zone_of(range.start());
        if zone.span().covers(range) {
            Ok(zone)
        } else {
            Err(RangeError::CrossesZones { range, border: zone.span().end() })
        }
    }

    /// The zone that includes every frame of `range`, none of which may be a hole or reserved.
    pub(crate) fn zone_of_range(&self, range: PfnRange) -> Result<&Zone<G>, RangeError> {
        let zone = self.zone_of_span(range)?;
        let mut pfn = range.start();
        while pfn < range.end() {
            let state = self.desc.frames.state(pfn);
            let kind = state.kind();
            if matches!(kind, FrameKind::Hole | FrameKind::Reserved) {
                return Err(RangeError::NotManaged { pfn, kind });
            }
            // All frames of a block are memory, and stay memory when the block is split.
            pfn = match self.desc.frames.head_of(pfn, G::MAX_ORDER) {
                Some((head, state)) => state.order().block(head).end(),
                None => self.deferred_at(zone, pfn).map_or(pfn.up(1), PfnRange::end),
            };
        }
        Ok(zone)
    }

    /// The deferred range of the zone that includes the frame.
    pub(crate) fn deferred_at(&self, zone: &Zone<G>, pfn: Pfn) -> Option<PfnRange> {
        self.in_zone(zone, |inner| inner.buddy.deferred().containing(pfn))
    }

    /// The pcplist slot for requests of this mobility and highest zone.
    #[inline(always)]
    pub(super) fn first_slot(&self, highest: ZoneKind, mobility: Mobility) -> PcpSlot {
        let bits = self.first_slots[highest.index()].load(Ordering::Relaxed);
        // SAFETY: only `set_first_slots` writes them, as the bits of a slot.
        unsafe { PcpSlot::from_bits(bits).unwrap_unchecked() }.with(mobility)
    }

    pub(super) fn set_first_slots(&self, has_memory: impl Fn(ZoneKind) -> bool) {
        let mut first = ZoneKind::Dma;
        for (zone, slot) in ZoneKind::ALL.into_iter().zip(&self.first_slots) {
            first = if has_memory(zone) { zone } else { first };
            slot.store(PcpSlot::new(first, Mobility::Unmovable).bits(), Ordering::Relaxed);
        }
    }

    /// Sets the callbacks for guard pages. Any context.
    ///
    /// There are guards only with [`Tuning::guard_below`](crate::Tuning::guard_below).
    pub fn set_guard_pages(&self, guards: &'static (dyn GuardPages + Sync)) {
        self.platform.without_interrupts(|| self.desc.guards.set(guards));
    }

    fn sum(&self, counter: impl Fn(&Published) -> usize) -> usize {
        self.zones.iter().map(|zone| counter(zone.published())).sum()
    }

    /// The free pages of the machine: the sum of the exact counts of its zones.
    ///
    /// Pages on pcplists, isolated pages and guard pages are not free pages. Takes no lock; any
    /// context. The count of a zone is that after the last operation on it that has ended.
    #[must_use]
    pub fn free_count(&self) -> usize {
        self.sum(Published::free)
    }

    /// The free pages that only movable requests may use. As [`free_count`](Self::free_count).
    #[must_use]
    pub fn free_cma_count(&self) -> usize {
        self.sum(Published::free_cma)
    }

    /// The pages on isolated lists. As [`free_count`](Self::free_count).
    #[must_use]
    pub fn isolated_count(&self) -> usize {
        self.sum(Published::isolated)
    }

    /// The managed pages: memory that is not reserved or offline. As
    /// [`free_count`](Self::free_count).
    #[must_use]
    pub fn managed_count(&self) -> usize {
        self.sum(Published::managed)
    }

    /// Switches exactly these historical mistakes on. For tests, as counts then become wrong.
    #[cfg(feature = "faults")]
    pub fn set_faults(&self, faults: crate::instruments::Faults) {
        self.desc.faults.set(faults);
    }

    /// Sets the function that runs at yield points, for tests. It may call this allocator.
    #[cfg(feature = "faults")]
    pub fn set_yield_hook(&self, hook: Option<crate::instruments::faults::YieldHook>) {
        self.desc.faults.set_hook(hook);
    }
}
