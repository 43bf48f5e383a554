//! The allocator: its parts, the zone of a frame, and the counts that are read without a lock.
//!
//! There are no statics: the records of a [`PageAllocator`] are in its
//! [`Metadata`](crate::Metadata), and the kernel has the `static` that it is stored in.

use crate::base::{
    FrameKind, Geometry, GuardPages, Masked, PcpSlot, Pfn, PfnRange, Platform, RangeError, X86_64, ZoneKind,
};
use crate::page_allocator::events::EventCounters;
use crate::page_allocator::rate_limit::Diagnostics;
use crate::page_allocator::zone_choice::ZoneChoice;
use crate::pcp::CpuLists;
use crate::records::{Descriptors, Found, WriteAfterFree};
use crate::sync::{Ordering, PlainU32};
use crate::zone::{Published, Zone, ZoneInner, at_least_zero};

/// How often the counts of a zone are read again because the zone was locked meanwhile.
const UNDISTURBED_TRIES: usize = 4;

/// A zoned buddy allocator of page frames.
///
/// Every method takes `&self`, and the allocator is `Sync` if its platform is, so that a kernel can
/// put it into a `static` ([`StaticPageAllocator`](crate::StaticPageAllocator), or `spin::Once`).
///
/// | to | methods |
/// |---|---|
/// | make one | [`new`](Self::new), [`new_at_offset`](PageAllocator::new_at_offset), [`at_offset_with_geometry`](Self::at_offset_with_geometry) |
/// | allocate a block with a handle | [`alloc`](Self::alloc), [`alloc_exact`](Self::alloc_exact), [`alloc_exact_aligned`](Self::alloc_exact_aligned) |
/// | allocate by frame number | [`alloc_pages`](Self::alloc_pages), [`alloc_bulk`](Self::alloc_bulk) |
/// | free | [`free_pages`](Self::free_pages), [`free_bulk`](Self::free_bulk), [`free_exact`](Self::free_exact), [`free_range`](Self::free_range) for any range, [`split_pages`](Self::split_pages) |
/// | get contiguous memory | [`alloc_dma`](Self::alloc_dma), [`alloc_contig_pages`](Self::alloc_contig_pages), [`alloc_contig`](Self::alloc_contig), [`free_contig`](Self::free_contig), [`isolate`](Self::isolate); for areas [`CmaArea`](crate::CmaArea) |
/// | mark blocks | [`owner`](Self::owner), [`set_owner`](Self::set_owner), [`set_range_owner`](Self::set_range_owner), [`fetch_add_owner`](Self::fetch_add_owner), [`fetch_sub_owner`](Self::fetch_sub_owner), [`compare_exchange_owner`](Self::compare_exchange_owner) |
/// | take memory away, add it | [`reserve`](Self::reserve), [`add_memory`](Self::add_memory), [`add_records`](Self::add_records), [`remove_records`](Self::remove_records), [`offline`](Self::offline), [`online`](Self::online), [`remove_memory`](Self::remove_memory), [`soft_offline_page`](Self::soft_offline_page) |
/// | count, at any moment | [`free_count`](Self::free_count), [`allocated_count`](Self::allocated_count), [`managed_count`](Self::managed_count), [`isolated_count`](Self::isolated_count), [`free_cma_count`](Self::free_cma_count), [`refused_frees`](Self::refused_frees) |
/// | report | [`buddyinfo`](Self::buddyinfo), [`pagetypeinfo`](Self::pagetypeinfo), [`zoneinfo`](Self::zoneinfo), [`meminfo`](Self::meminfo), [`vmstat`](Self::vmstat) |
/// | find a leak | [`census_by_owner`](Self::census_by_owner), [`allocated_blocks`](Self::allocated_blocks), [`pageblocks`](Self::pageblocks) |
/// | prove | [`audit`](Self::audit), [`verify`](Self::verify), [`drain_all`](Self::drain_all) before |
#[derive(Debug)]
pub struct PageAllocator<'m, P: Platform, G: Geometry = X86_64> {
    pub(super) platform: P,
    pub(super) desc: Descriptors<'m, G>,
    pub(super) zones: &'m [Zone<G>; ZoneKind::COUNT],
    /// The pcplists, by CPU.
    pub(super) lists: &'m [CpuLists<'m>],
    /// These, and last the exchange.
    pub(super) all_lists: &'m [CpuLists<'m>],
    pub(super) exchange: &'m CpuLists<'m>,
    /// By slot: the state of the pages on the lists of the CPU that was the last to refill a list
    /// of that kind, from the exchange or a zone; 0 if none has.
    pub(super) refilled_by: [PlainU32; PcpSlot::COUNT],
    /// The zone whose pcplists the fast path looks at.
    pub(super) choice: ZoneChoice,
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

    /// From the first frame that has a record to the last. Holes between may have none. Any
    /// context.
    #[must_use]
    pub fn span(&self) -> PfnRange {
        self.desc.frames.extents().span_in(PfnRange::new(Pfn::new(0), Pfn::new(usize::MAX)))
    }

    pub(crate) fn in_zone<R>(&self, zone: &Zone<G>, f: impl FnOnce(&mut ZoneInner<G>) -> R) -> R {
        let _masked = Masked::new(&self.platform);
        self.in_zone_masked(zone, f)
    }

    /// As [`in_zone`](Self::in_zone), with interrupts masked.
    #[inline]
    pub(crate) fn in_zone_masked<R>(&self, zone: &Zone<G>, f: impl FnOnce(&mut ZoneInner<G>) -> R) -> R {
        zone.locked(f, |standings| self.choice.set_standings(zone.kind(), standings))
    }

    /// As [`in_zone`](Self::in_zone), for code that initialises the deferred frames of `range`,
    /// which is within a largest block or a pageblock. If others must be initialised for it, that
    /// is done before, in lock holds of its own, of which each initialises some. What others change
    /// meanwhile is seen by `f`, because it runs in the hold that finds nothing to be done before.
    pub(crate) fn in_zone_to_init<R>(
        &self,
        zone: &Zone<G>,
        range: PfnRange,
        f: impl FnOnce(&mut ZoneInner<G>) -> R,
    ) -> R {
        let mut f = Some(f);
        loop {
            let done = self.in_zone(zone, |inner| {
                let is_ready = inner.buddy.is_ready_to_init(&self.desc, range);
                if is_ready { f.take().map(|f| f(inner)) } else { None }
            });
            if let Some(result) = done {
                return result;
            }
        }
    }

    /// The zone whose pcplists the fast path looks at.
    pub(crate) fn choice(&self) -> &ZoneChoice {
        &self.choice
    }

    /// The zone whose address range includes the frame, which may be a hole.
    #[inline]
    pub(crate) fn zone_of(&self, pfn: Pfn) -> &Zone<G> {
        &self.zones[ZoneKind::of::<G>(pfn).index()]
    }

    /// The part of `range` in each zone, the lowest zone first; the frames may be holes.
    pub(crate) fn zones_of_span(
        &self,
        range: PfnRange,
    ) -> Result<impl Iterator<Item = (&Zone<G>, PfnRange)> + Clone, RangeError> {
        self.check_span(range)?;
        let parts = self.zones.iter().map(move |zone| (zone, zone.addresses().intersection(range)));
        Ok(parts.filter(|(_, part)| !part.is_empty()))
    }

    /// The zone that includes every frame of `range`; the frames may be holes.
    pub(crate) fn zone_of_span(&self, range: PfnRange) -> Result<&Zone<G>, RangeError> {
        self.check_span(range)?;
        let zone = self.zone_of(range.start());
        if zone.addresses().covers(range) {
            Ok(zone)
        } else {
            Err(RangeError::CrossesZones { range, border: zone.addresses().end() })
        }
    }

    /// Checks that every frame of `range` has a record.
    fn check_span(&self, range: PfnRange) -> Result<(), RangeError> {
        if range.is_empty() {
            return Err(RangeError::Empty { range });
        }
        if let Some(pfn) = self.desc.frames.extents().first_missing(range) {
            return Err(RangeError::Foreign { pfn });
        }
        Ok(())
    }

    /// The zone that includes every frame of `range`, none of which may be a hole or reserved.
    pub(crate) fn zone_of_range(&self, range: PfnRange) -> Result<&Zone<G>, RangeError> {
        let zone = self.zone_of_span(range)?;
        self.check_memory(zone, range)?;
        Ok(zone)
    }

    /// Checks that no frame of `range`, which is in this zone, is a hole or reserved.
    pub(crate) fn check_memory(&self, zone: &Zone<G>, range: PfnRange) -> Result<(), RangeError> {
        let mut blocks = self.desc.frames.blocks(range, G::MAX_ORDER);
        while let Some(Found { pfn, block }) = blocks.next() {
            // All frames of a block are memory, and stay memory when the block is split.
            if block.is_none() {
                let kind = self.desc.frames.state(pfn).kind();
                if matches!(kind, FrameKind::Hole | FrameKind::Reserved) {
                    return Err(RangeError::NotManaged { pfn, kind });
                }
                blocks.skip_to(self.deferred_at(zone, pfn).map_or(pfn.up(1), PfnRange::end));
            }
        }
        Ok(())
    }

    /// The deferred range of the zone that includes the frame.
    pub(crate) fn deferred_at(&self, zone: &Zone<G>, pfn: Pfn) -> Option<PfnRange> {
        self.in_zone(zone, |inner| inner.buddy.deferred().containing(pfn))
    }

    /// The pcplists of all CPUs, and last the exchange.
    pub(crate) fn all_lists(&self) -> &'m [CpuLists<'m>] {
        self.all_lists
    }

    /// The exchange between the CPUs: lists that belong to no CPU.
    #[inline(always)]
    pub(super) fn exchange(&self) -> &'m CpuLists<'m> {
        self.exchange
    }

    /// Sets the callbacks for guard pages. Any context.
    ///
    /// There are guards only with [`Tuning::guard_below`](crate::Tuning::guard_below).
    pub fn set_guard_pages(&self, guards: &'static (dyn GuardPages + Sync)) {
        let _masked = Masked::new(&self.platform);
        self.desc.guards.set(guards);
    }

    /// Sets the receiver of events, or removes it. Feature `trace`. Any context.
    #[cfg(feature = "trace")]
    pub fn set_trace(&self, trace: Option<&'static (dyn crate::Trace + Sync)>) {
        let _masked = Masked::new(&self.platform);
        self.desc.trace.set(trace);
    }

    fn sum(&self, counter: impl Fn(&Published) -> usize) -> usize {
        self.zones.iter().map(|zone| counter(zone.published())).sum()
    }

    /// The free pages of the machine: the sum of the exact counts of its zones.
    ///
    /// Pages on pcplists, isolated pages, guard pages and pages that are being reported to the host
    /// are not free pages. So the count changes
    /// when a pcplist is refilled or spilled, by a batch, and not with each allocation and free: it
    /// answers how many pages the watermarks see. For how many pages are in use see
    /// [`allocated_count`](Self::allocated_count).
    ///
    /// Takes no lock; any context. The count of a zone is that after the last operation on it that
    /// has ended.
    #[must_use]
    pub fn free_count(&self) -> usize {
        self.sum(Published::free)
    }

    /// The pages that are in use: allocated with or without a handle, or in contiguous ranges.
    ///
    /// It changes with each allocation and each free, by the pages of the block, and not when a
    /// page is only cached: pages on pcplists are not in use. The pages of all zones are free,
    /// isolated, cached, guards, being reported to the host or in use, or they are offline, which
    /// are not [managed](Self::managed_count).
    ///
    /// Exact if no other CPU allocates or frees meanwhile. Otherwise pages that are on their way
    /// between a pcplist and a zone, at most a batch for each CPU, may be counted as in the other
    /// state. [`verify`](Self::verify) has an exact count at all times.
    ///
    /// Any context. Takes the lock of each zone in turn, and time in proportion to the CPUs.
    ///
    /// ```
    /// # use pageblock::{AllocRequest, MemoryMap, Metadata, Order, PageAllocator, Platform, Tuning};
    /// # struct Bare;
    /// # impl Platform for Bare {}
    /// # let mut map = MemoryMap::new();
    /// # map.add_usable(0x10_0000..0x1000_0000)?;
    /// # let memory = vec![core::mem::MaybeUninit::uninit(); 1 << 20].leak();
    /// # let metadata = Metadata::new(memory, &map, 1)?;
    /// # let pages = PageAllocator::new(Bare, &map, metadata, Tuning::default())?;
    /// let all = pages.free_count();
    /// let frame = pages.alloc_pages(AllocRequest::unmovable())?;
    /// assert_eq!(pages.allocated_count(), 1);
    /// assert!(pages.free_count() < all - 1); // a pcplist was filled
    ///
    /// pages.free_pages(frame, Order::ZERO)?; // to the pcplist
    /// assert_eq!(pages.allocated_count(), 0);
    /// assert!(pages.free_count() < all);
    ///
    /// pages.drain_all();
    /// assert_eq!(pages.free_count(), all);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn allocated_count(&self) -> usize {
        self.zones.iter().map(|zone| self.allocated_in(zone)).sum()
    }

    /// The pages of a zone that are in use.
    fn allocated_in(&self, zone: &Zone<G>) -> usize {
        // Refills and spills hold the zone lock, so that the pages on pcplists belong to the other
        // counts if nobody has held it meanwhile. It is held for the time of the sum, which grows
        // with the CPUs, only if that happens again and again.
        let cached = || self.all_lists.iter().map(|lists| lists.pages::<G>(zone.kind())).sum::<usize>();
        let read = |inner: &mut ZoneInner<G>| {
            let counters = inner.buddy.counters();
            let parked = inner.buddy.parking().pages();
            let elsewhere =
                [counters.free(), counters.isolated(), counters.guard(), parked, counters.reporting()];
            let elsewhere = elsewhere.into_iter().fold(0_usize, |sum, pages| sum.wrapping_add(pages));
            (inner.managed().wrapping_sub(elsewhere), inner.lock_holds)
        };
        for _ in 0..UNDISTURBED_TRIES {
            let (not_free, holds) = self.in_zone(zone, read);
            let cached = cached();
            if self.in_zone(zone, |inner| inner.lock_holds) == holds.wrapping_add(1) {
                return at_least_zero(not_free.wrapping_sub(cached));
            }
        }
        self.in_zone(zone, |inner| at_least_zero(read(inner).0.wrapping_sub(cached())))
    }

    /// The frees that were refused since the allocator was made, each of which is a bug of the
    /// kernel: a double free, a wrong order, a foreign frame.
    ///
    /// It counts those whose [`FreeError`](crate::FreeError) was returned, and those of handles and
    /// of [`PageTableFrames`](crate::interop), which can only log it. A range that is refused
    /// counts once. Takes no lock; any context.
    #[must_use]
    pub fn refused_frees(&self) -> usize {
        self.diagnostics.refused_frees.load(Ordering::Relaxed)
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

    /// The last page that was found to have been written after it was freed, when it was handed
    /// out. [`VmStat`](crate::VmStat) has their number, and the log a line for it.
    ///
    /// Only with [`Tuning::poison_at`](crate::Tuning::poison_at). Any context.
    #[must_use]
    pub fn write_after_free(&self) -> Option<WriteAfterFree> {
        let _masked = Masked::new(&self.platform);
        self.desc.poison.last()
    }

    /// Logs pages that were found to have been written after they were freed. With no lock held.
    #[inline]
    pub(crate) fn log_writes_after_free(&self) {
        if self.desc.poison.is_on() {
            self.log_new_writes_after_free();
        }
    }

    #[cold]
    fn log_new_writes_after_free(&self) {
        let found = self.desc.poison.found();
        if self.diagnostics.writes_after_free.advance(found)
            && let Some(write) = self.write_after_free()
        {
            log::error!("{write} (found so far: {found})");
        }
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
