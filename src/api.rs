//! Floor 14: the methods of [`PageAllocator`] that the floors above it serve.
//!
//! Each method checks nothing and calls one function of a service: handles, isolation, contiguous
//! allocation, hot-plug, reports. The methods that allocate and free by frame number, and the
//! counts, are in [`page_allocator`](crate::page_allocator).

use crate::base::{AllocRequest, Geometry, Migrate, NotFree, PfnRange, Platform};
use crate::contig::{self, ContigError, ContigOptions, ContigPlace, ContigRange, ContigStats};
use crate::handles::{self, ExactPages, Pages};
use crate::hotplug::{self, HandOverError, HotplugError, HotplugNotifier, OfflineRange};
use crate::inspect::{
    self, AuditReport, BuddyInfo, MemInfo, PageTypeInfo, VerifyReport, Violation, ZoneInfo,
};
use crate::isolation::{IsolateError, IsolatedRange};
use crate::page_allocator::{AllocError, FreeError, PageAllocator};

/// # Handles
impl<'m, P: Platform, G: Geometry> PageAllocator<'m, P, G> {
    /// Allocates a block that is freed when the handle is dropped. Otherwise as
    /// [`alloc_pages`](Self::alloc_pages).
    ///
    /// # Errors
    ///
    /// As [`alloc_pages`](Self::alloc_pages).
    pub fn alloc(&self, request: AllocRequest) -> Result<Pages<'_, 'm, P, G>, AllocError> {
        Pages::alloc(self, request)
    }

    /// Allocates exactly `pages` contiguous frames, aligned to the next power of two. The request's
    /// order is ignored; a movable request is served as an unmovable one, because frames that
    /// migrate one by one do not stay contiguous. 0 pages give an empty range.
    ///
    /// Any CPU; in interrupt handlers with [`Depth::Atomic`](crate::Depth::Atomic). Takes the
    /// zone's lock once for each halving, besides what [`alloc_pages`](Self::alloc_pages) takes.
    ///
    /// ```
    /// # use pageblock::{AllocRequest, MemoryMap, Metadata, PageAllocator, Platform, Tuning};
    /// # struct Bare;
    /// # impl Platform for Bare {}
    /// # let mut map = MemoryMap::new();
    /// # map.add_usable(0x10_0000..0x1000_0000)?;
    /// # let layout = Metadata::layout(&map, 1)?;
    /// # let memory = vec![core::mem::MaybeUninit::uninit(); layout.size() + layout.align()].leak();
    /// # let pages = PageAllocator::new(Bare, &map, Metadata::new(memory, &map, 1)?, Tuning::default())?;
    /// let before = pages.free_count();
    /// let seven = pages.alloc_exact(7, AllocRequest::unmovable())?;
    /// pages.drain_all();
    /// assert_eq!((seven.range().len(), before - pages.free_count()), (7, 7));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`AllocError::OrderTooLarge`] for more frames than the largest block has,
    /// [`AllocError::NoMemory`].
    pub fn alloc_exact(
        &self,
        pages: usize,
        request: AllocRequest,
    ) -> Result<ExactPages<'_, 'm, P, G>, AllocError> {
        ExactPages::alloc(self, pages, request)
    }

    /// Frees frames that were given up with [`ExactPages::into_raw`].
    ///
    /// Any CPU, and interrupt handlers.
    ///
    /// # Errors
    ///
    /// Those of [`free_pages`](Self::free_pages) for the first block of the range that is not as it
    /// was allocated. Nothing is freed then.
    pub fn free_exact(&self, range: PfnRange) -> Result<(), FreeError> {
        handles::free_exact(self, range)
    }
}

/// # Isolation and contiguous ranges
impl<'m, P: Platform, G: Geometry> PageAllocator<'m, P, G> {
    /// Isolates `range`: its free pages leave the free count and cannot be allocated, and so do
    /// pages of it that are freed. Pages of it that are on pcplists are drained. Allocated pages
    /// stay where they are.
    ///
    /// The range may have any length and alignment, but must lie in one zone and have no hole.
    /// While it is isolated, free pages of the rest of its first and last pageblock cannot be
    /// allocated either.
    ///
    /// Any CPU; not from interrupt handlers (it drains, which takes time in proportion to the
    /// CPUs).
    ///
    /// # Errors
    ///
    /// See [`IsolateError`]. [`IsolateError::Unmovable`] saves a useless attempt; its absence does
    /// not promise that every page can be migrated.
    pub fn isolate(&self, range: PfnRange) -> Result<IsolatedRange<'_, 'm, P, G>, IsolateError> {
        IsolatedRange::new(self, range)
    }

    /// Allocates exactly the frames of `range`, whose present owners are asked to migrate by
    /// `migrate`.
    ///
    /// Any CPU, several at a time; not from interrupt handlers. Takes time in proportion to the
    /// pages that have to migrate.
    ///
    /// # Errors
    ///
    /// See [`ContigError`]. The range is as before then, except for pages that have migrated.
    pub fn alloc_contig(
        &self,
        range: PfnRange,
        migrate: &impl Migrate,
        options: ContigOptions,
    ) -> Result<ContigRange<'_, 'm, P, G>, ContigError> {
        ContigRange::alloc(self, range, migrate, options)
    }

    /// Allocates `pages` contiguous frames where `place` allows: in the highest zone that has such
    /// a range, at its lowest address there. Movable pages in the way are migrated by `migrate`;
    /// CMA areas are left to their users.
    ///
    /// Any CPU, several at a time; not from interrupt handlers. Takes time in proportion to the
    /// frames that it looks at, in the worst case all below the limit. No more than a pageblock's
    /// frames are looked at with a lock held.
    ///
    /// # Errors
    ///
    /// [`ContigError::NoPlace`] if every range of that length has unmovable pages; else the error
    /// of the last range that was tried.
    pub fn alloc_contig_pages(
        &self,
        pages: usize,
        place: ContigPlace,
        migrate: &impl Migrate,
        options: ContigOptions,
    ) -> Result<ContigRange<'_, 'm, P, G>, ContigError> {
        contig::alloc_anywhere(self, pages, place, migrate, options)
    }

    /// Frees a contiguous allocation, or any part of one, of any alignment and length.
    ///
    /// Any CPU, and interrupt handlers.
    ///
    /// # Errors
    ///
    /// [`FreeError::BadRange`], [`FreeError::Foreign`], [`FreeError::NotContig`] with the first
    /// frame of the range that is in no contiguous allocation, or [`FreeError::OfCmaArea`] with the
    /// first that [`CmaArea::free`](crate::CmaArea::free) must free. Nothing is freed then.
    pub fn free_contig(&self, range: PfnRange) -> Result<(), FreeError> {
        contig::free_contig(self, range, false)
    }
}

/// # Memory that comes and goes
impl<P: Platform, G: Geometry> PageAllocator<'_, P, G> {
    /// Takes whole pageblocks offline, after migrating their pages. Also returns the work that it
    /// took.
    ///
    /// Any CPU, several at a time; not from interrupt handlers.
    ///
    /// # Errors
    ///
    /// See [`HotplugError`].
    pub fn offline(
        &self,
        range: PfnRange,
        migrate: &impl Migrate,
        notifier: &impl HotplugNotifier,
        options: ContigOptions,
    ) -> Result<(OfflineRange, ContigStats), HotplugError> {
        hotplug::offline(self, range, migrate, notifier, options)
    }

    /// Brings a range back online, all of it free.
    ///
    /// Any CPU, several at a time; not from interrupt handlers.
    ///
    /// # Errors
    ///
    /// [`HotplugError::Vetoed`]; the range is handed back.
    pub fn online(
        &self,
        offline: OfflineRange,
        notifier: &impl HotplugNotifier,
    ) -> Result<(), (OfflineRange, HotplugError)> {
        hotplug::online(self, offline, notifier)
    }

    /// Brings whole pageblocks back online by frame number. No notifier is asked.
    ///
    /// Any CPU; not from interrupt handlers. Holds the zone's lock for the whole range, whose
    /// blocks it checks one by one.
    ///
    /// # Errors
    ///
    /// [`HotplugError::Unaligned`], [`HotplugError::Range`], [`HotplugError::NotOffline`].
    pub fn online_raw(&self, range: PfnRange) -> Result<(), HotplugError> {
        hotplug::online_raw(self, range)
    }

    /// Calls `report` with every frame that would keep `range` from going offline now, and returns
    /// how many pages would have to migrate. Changes nothing; any CPU, not from interrupt handlers.
    ///
    /// # Errors
    ///
    /// [`HotplugError::Unaligned`], [`HotplugError::Range`].
    pub fn offline_dry_run(
        &self,
        range: PfnRange,
        report: impl FnMut(NotFree),
    ) -> Result<usize, HotplugError> {
        hotplug::offline_dry_run(self, range, report)
    }

    /// Takes free frames out of the allocator for good: for early boot, when they turn out to be in
    /// use.
    ///
    /// Any CPU; not from interrupt handlers (it drains). Holds the zone's lock for time in
    /// proportion to the range.
    ///
    /// # Errors
    ///
    /// [`HandOverError::Range`], [`HandOverError::NotFree`].
    pub fn reserve(&self, range: PfnRange) -> Result<(), HandOverError> {
        hotplug::reserve(self, range)
    }

    /// Adds memory that was a hole in the map or reserved: what the bootloader no longer needs, for
    /// instance. It must lie within the span that the metadata was made for.
    ///
    /// Any CPU; not from interrupt handlers. Holds the zone's lock for time in proportion to the
    /// range.
    ///
    /// # Errors
    ///
    /// [`HandOverError::Range`], [`HandOverError::Managed`].
    pub fn add_memory(&self, range: PfnRange) -> Result<(), HandOverError> {
        hotplug::add_memory(self, range)
    }
}

/// # Reports
impl<P: Platform, G: Geometry> PageAllocator<'_, P, G> {
    /// Compares every counter with a walk of the lists, exactly, zone by zone.
    ///
    /// Any CPU, while all CPUs work; several at a time. Holds all locks of one zone, interrupts
    /// masked, for the time of a walk of its free lists. Not from interrupt handlers. Needs stack
    /// in proportion to the CPUs.
    #[must_use]
    pub fn audit(&self) -> AuditReport {
        inspect::audit(self)
    }

    /// Walks every frame and every list, and checks every invariant, zone by zone.
    ///
    /// Any CPU, while all CPUs work: holds all locks of one zone, interrupts masked, for time in
    /// proportion to the zone's frames (some milliseconds for a gibibyte). Not from interrupt
    /// handlers. Needs stack in proportion to the CPUs.
    ///
    /// # Errors
    ///
    /// The first [`Violation`] found. There is none unless the allocator has a bug, or a fault is
    /// switched on.
    pub fn verify(&self) -> Result<VerifyReport, Violation> {
        inspect::verify(self)
    }

    /// Free blocks by zone and order.
    ///
    /// Any CPU, any context; takes each zone's lock for about a hundred loads.
    #[must_use]
    pub fn buddyinfo(&self) -> BuddyInfo {
        inspect::buddyinfo(self)
    }

    /// Free blocks by zone, list and order, and pageblocks by list.
    ///
    /// As [`buddyinfo`](Self::buddyinfo); the pageblocks are counted without a lock.
    #[must_use]
    pub fn pagetypeinfo(&self) -> PageTypeInfo {
        inspect::pagetypeinfo(self)
    }

    /// Figures by zone.
    ///
    /// Any CPU, any context; takes each zone's lock for some loads. What other CPUs cache may
    /// change while it is added up.
    #[must_use]
    pub fn zoneinfo(&self) -> ZoneInfo {
        inspect::zoneinfo(self)
    }

    /// The machine's figures.
    ///
    /// As [`zoneinfo`](Self::zoneinfo).
    #[must_use]
    pub fn meminfo(&self) -> MemInfo {
        inspect::meminfo(self)
    }

    /// Accounts for isolated pages by `design` from now on. Experimental: under designs other than
    /// the default, counts can be wrong while something is isolated, and isolated ranges should be
    /// aligned blocks of the largest order.
    ///
    /// Call it while no isolation begins.
    ///
    /// # Errors
    ///
    /// [`InUse`](crate::InUse) if something is isolated. Nothing has changed then.
    #[cfg(feature = "designs")]
    pub fn set_design(&self, design: crate::Design) -> Result<(), crate::InUse> {
        crate::isolation::set_design(self, design)
    }
}
