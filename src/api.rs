//! Floor 14: the methods of [`PageAllocator`] that services above it implement.
//!
//! Each method only calls one function of a service: handles, isolation, contiguous allocation,
//! hotplug, reports. The methods that allocate and free by frame number, and the counts, are in
//! [`page_allocator`](crate::page_allocator).

use crate::base::{AllocRequest, Geometry, Migrate, NotFree, PfnRange, Platform};
use crate::contig::{self, ContigError, ContigOptions, ContigPlace, ContigRange, ContigStats};
use crate::handles::{self, ExactPages, Pages};
use crate::hotplug::{self, HandOverError, HotplugError, HotplugNotifier, OfflineRange};
use crate::inspect::{
    self, AllocatedBlock, AllocatedBlocks, AuditReport, BuddyInfo, Census, MemInfo, PageTypeInfo, Pageblocks,
    VerifyReport, Violation, VmStat, ZoneInfo,
};
use crate::isolation::{IsolateError, IsolatedRange};
use crate::page_allocator::{AllocError, FreeError, PageAllocator};

/// # Handles
impl<'m, P: Platform, G: Geometry> PageAllocator<'m, P, G> {
    /// As [`alloc_pages`](Self::alloc_pages), with a handle that frees the block on drop.
    pub fn alloc(&self, request: AllocRequest) -> Result<Pages<'_, 'm, P, G>, AllocError> {
        Pages::alloc(self, request)
    }

    /// Allocates exactly `pages` contiguous frames, aligned to the next power of two.
    ///
    /// The order of the request is ignored. A movable request is served as an unmovable one,
    /// because frames that migrate one by one do not stay contiguous. 0 pages give an empty range.
    ///
    /// Any CPU; in interrupt handlers only with [`Depth::Atomic`](crate::Depth::Atomic). Takes the
    /// zone lock once for each split, in addition to [`alloc_pages`](Self::alloc_pages).
    ///
    /// ```
    /// # use pageblock::{AllocRequest, MemoryMap, Metadata, PageAllocator, Platform, Tuning};
    /// # struct Bare;
    /// # impl Platform for Bare {}
    /// # let mut map = MemoryMap::new();
    /// # map.add_usable(0x10_0000..0x1000_0000)?;
    /// # let memory = vec![core::mem::MaybeUninit::uninit(); 1 << 20].leak();
    /// # let metadata = Metadata::new(memory, &map, 1)?;
    /// # let pages = PageAllocator::new(Bare, &map, metadata, Tuning::default())?;
    /// let before = pages.free_count();
    /// let seven = pages.alloc_exact(7, AllocRequest::unmovable())?;
    /// pages.drain_all();
    /// assert_eq!((seven.range().len(), before - pages.free_count()), (7, 7));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`AllocError::OrderTooLarge`] for more frames than a largest block,
    /// [`AllocError::NoMemory`].
    pub fn alloc_exact(
        &self,
        pages: usize,
        request: AllocRequest,
    ) -> Result<ExactPages<'_, 'm, P, G>, AllocError> {
        ExactPages::alloc(self, pages, request)
    }

    /// Frees frames from [`ExactPages::into_raw`].
    ///
    /// Any context.
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
    /// Isolates `range`: its free pages are no longer counted as free, and cannot be allocated.
    ///
    /// The same is true of pages of the range that are freed from now on, and of pages on pcplists,
    /// which are drained. Allocated pages are not affected.
    ///
    /// The range may have any length and alignment, but must be in one zone and have no hole or
    /// reserved frame. The free pages of the rest of its first and last pageblock are isolated too.
    ///
    /// Any CPU; not from interrupt handlers. Takes time in proportion to the range and the CPUs.
    ///
    /// # Errors
    ///
    /// See [`IsolateError`]. Success does not mean that every allocated page can be migrated.
    pub fn isolate(&self, range: PfnRange) -> Result<IsolatedRange<'_, 'm, P, G>, IsolateError> {
        IsolatedRange::new(self, range)
    }

    /// Allocates exactly the frames of `range`, after `migrate` has migrated the pages there.
    ///
    /// Any CPU; not from interrupt handlers. Takes time in proportion to the pages that migrate.
    ///
    /// # Errors
    ///
    /// See [`ContigError`].
    pub fn alloc_contig(
        &self,
        range: PfnRange,
        migrate: &impl Migrate,
        options: ContigOptions,
    ) -> Result<ContigRange<'_, 'm, P, G>, ContigError> {
        ContigRange::alloc(self, range, migrate, options)
    }

    /// Allocates `pages` contiguous frames at a place that `place` allows.
    ///
    /// That is in the highest zone that has such a range, as low as possible there, and not in a
    /// CMA area. Movable pages there are migrated by `migrate`.
    ///
    /// Any CPU, several at a time; not from interrupt handlers. Takes time in proportion to the
    /// frames that it examines, in the worst case all that `place` allows, but no more than a
    /// pageblock of them in one lock hold.
    ///
    /// # Errors
    ///
    /// [`ContigError::NoPlace`] if every range of that length has unmovable pages; otherwise the
    /// error for the last range that was tried.
    pub fn alloc_contig_pages(
        &self,
        pages: usize,
        place: ContigPlace,
        migrate: &impl Migrate,
        options: ContigOptions,
    ) -> Result<ContigRange<'_, 'm, P, G>, ContigError> {
        contig::alloc_anywhere(self, pages, place, migrate, options)
    }

    /// Frees a contiguous allocation, or any part of one.
    ///
    /// Any context. Takes time in proportion to the range, one lock hold for each pageblock.
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

/// # Hotplug
impl<P: Platform, G: Geometry> PageAllocator<'_, P, G> {
    /// Takes whole pageblocks offline, after `migrate` has migrated their pages.
    ///
    /// The frames are then no longer managed. `notifier` may refuse. Also returns the work done.
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

    /// Brings an offline range online: its frames are free then. `notifier` may refuse.
    ///
    /// Any CPU, several at a time; not from interrupt handlers.
    ///
    /// # Errors
    ///
    /// [`HotplugError::Vetoed`], with the range, which stays offline.
    pub fn online(
        &self,
        offline: OfflineRange,
        notifier: &impl HotplugNotifier,
    ) -> Result<(), (OfflineRange, HotplugError)> {
        hotplug::online(self, offline, notifier)
    }

    /// Brings whole offline pageblocks online by frame number, without a notifier.
    ///
    /// Not from interrupt handlers. Holds the zone lock for time in proportion to the range.
    ///
    /// # Errors
    ///
    /// [`HotplugError::Unaligned`], [`HotplugError::Range`], [`HotplugError::NotOffline`].
    pub fn online_raw(&self, range: PfnRange) -> Result<(), HotplugError> {
        hotplug::online_raw(self, range)
    }

    /// Reports what keeps `range` from going offline, and returns the number of pages to migrate.
    ///
    /// Calls `report` with the first frame of each such block. Changes nothing and takes no lock,
    /// so that the result may be out of date. Any CPU; not from interrupt handlers.
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

    /// Removes free frames from the allocator: they become reserved frames.
    ///
    /// For early boot, when the kernel finds memory in use that the map has as usable.
    ///
    /// Not from interrupt handlers. Holds the zone lock for time in proportion to the range.
    ///
    /// # Errors
    ///
    /// [`HandOverError::Range`], [`HandOverError::NotFree`].
    pub fn reserve(&self, range: PfnRange) -> Result<(), HandOverError> {
        hotplug::reserve(self, range)
    }

    /// Adds memory that was a hole in the map or reserved. Its frames are free then.
    ///
    /// For memory of the bootloader, for instance. It must be in the span of the metadata
    /// ([`span`](Self::span)) and in one zone.
    ///
    /// Not from interrupt handlers. Holds the zone lock for time in proportion to the range.
    ///
    /// # Errors
    ///
    /// [`HandOverError::Range`], [`HandOverError::Managed`].
    pub fn add_memory(&self, range: PfnRange) -> Result<(), HandOverError> {
        hotplug::add_memory(self, range)
    }
}

/// # Reports
impl<'m, P: Platform, G: Geometry> PageAllocator<'m, P, G> {
    /// The allocated blocks, in ascending order, those of contiguous allocations included.
    ///
    /// A block that is allocated during the whole walk and does not migrate is returned once. One
    /// that is allocated, freed or migrated meanwhile may be returned or not. No frame is returned
    /// twice.
    ///
    /// Any context. Takes the zone lock for the frames of at most one pageblock at a time, and holds
    /// no lock between two blocks: the loop may call the allocator, also to free the block.
    ///
    /// ```
    /// # use pageblock::{AllocRequest, MemoryMap, Metadata, PageAllocator, Platform, Tuning};
    /// # struct Bare;
    /// # impl Platform for Bare {}
    /// # let mut map = MemoryMap::new();
    /// # map.add_usable(0x10_0000..0x1000_0000)?;
    /// # let memory = vec![core::mem::MaybeUninit::uninit(); 1 << 20].leak();
    /// # let metadata = Metadata::new(memory, &map, 1)?;
    /// # let pages = PageAllocator::new(Bare, &map, metadata, Tuning::default())?;
    /// let page = pages.alloc_pages(AllocRequest::unmovable().owner(7))?;
    /// let block = pages.allocated_blocks().find(|block| block.owner == 7);
    /// assert_eq!(block.map(|block| block.pfn), Some(page));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn allocated_blocks(&self) -> AllocatedBlocks<'_, 'm, P, G> {
        AllocatedBlocks::new(self)
    }

    /// The pageblocks that have memory, in ascending order: type, isolation, and their pages by
    /// state.
    ///
    /// Any context. Takes the zone lock once for each pageblock, for a walk of its frames; different
    /// pageblocks are of different moments.
    pub fn pageblocks(&self) -> Pageblocks<'_, 'm, P, G> {
        Pageblocks::new(self)
    }

    /// The allocated pages by a key of their blocks, in a table with room for `N` keys.
    ///
    /// Keys that are found when the table is full are added up as
    /// [`others`](Census::others). The sum is exact if nothing is allocated, freed or migrated
    /// meanwhile. As [`allocated_blocks`](Self::allocated_blocks), with time in proportion to `N`
    /// for each block.
    ///
    /// ```
    /// # use pageblock::{AllocRequest, MemoryMap, Metadata, PageAllocator, Platform, Tuning};
    /// # struct Bare;
    /// # impl Platform for Bare {}
    /// # let mut map = MemoryMap::new();
    /// # map.add_usable(0x10_0000..0x1000_0000)?;
    /// # let memory = vec![core::mem::MaybeUninit::uninit(); 1 << 20].leak();
    /// # let metadata = Metadata::new(memory, &map, 1)?;
    /// # let pages = PageAllocator::new(Bare, &map, metadata, Tuning::default())?;
    /// // Owner words with the number of the subsystem in the top byte.
    /// let tables = pages.alloc_exact(3, AllocRequest::unmovable().owner(5 << 56 | 0x1234))?;
    /// let by_subsystem = pages.census_by::<_, 8>(|block| block.owner >> 56);
    /// assert_eq!((by_subsystem.pages_of(5), by_subsystem.pages()), (3, 3));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn census_by<K: Copy + PartialEq, const N: usize>(
        &self,
        key: impl Fn(&AllocatedBlock) -> K,
    ) -> Census<K, N> {
        Census::of(self.allocated_blocks(), key)
    }

    /// The allocated pages by owner word. As [`census_by`](Self::census_by).
    ///
    /// Movable blocks have mostly an owner word each, so that a kernel with many of them needs
    /// [`census_by`](Self::census_by) with a part of the word.
    #[must_use]
    pub fn census_by_owner<const N: usize>(&self) -> Census<u64, N> {
        self.census_by(|block| block.owner)
    }

    /// Compares every counter with a walk of the lists, zone by zone. The result is exact.
    ///
    /// Any CPU, several at a time, while all CPUs use the allocator; not from interrupt handlers.
    /// Holds all locks of one zone, with interrupts masked, for the time of a walk of its free
    /// lists. Needs stack in proportion to the CPUs.
    #[must_use]
    pub fn audit(&self) -> AuditReport {
        inspect::audit(self)
    }

    /// Checks every invariant with a walk of every frame and every list, zone by zone.
    ///
    /// As [`audit`](Self::audit), except that it holds the locks for time in proportion to the
    /// frames of the zone (some milliseconds for a gibibyte).
    ///
    /// # Errors
    ///
    /// The first [`Violation`] found. It shows a bug in the allocator, a stray write to its
    /// records, or a fault that is switched on.
    pub fn verify(&self) -> Result<VerifyReport, Violation> {
        inspect::verify(self)
    }

    /// The free blocks by zone and order.
    ///
    /// Any context. Takes the lock of each zone in turn, for about a hundred loads.
    #[must_use]
    pub fn buddyinfo(&self) -> BuddyInfo {
        inspect::buddyinfo(self)
    }

    /// The free blocks by zone, list and order, and the pageblocks by zone and list.
    ///
    /// As [`buddyinfo`](Self::buddyinfo), except that the pageblocks are counted without a lock.
    #[must_use]
    pub fn pagetypeinfo(&self) -> PageTypeInfo {
        inspect::pagetypeinfo(self)
    }

    /// The page counts and limits of the zones.
    ///
    /// As [`buddyinfo`](Self::buddyinfo). The pages on pcplists are added up without a lock.
    #[must_use]
    pub fn zoneinfo(&self) -> ZoneInfo {
        inspect::zoneinfo(self)
    }

    /// The page counts of the machine.
    ///
    /// As [`zoneinfo`](Self::zoneinfo).
    #[must_use]
    pub fn meminfo(&self) -> MemInfo {
        inspect::meminfo(self)
    }

    /// The counts of events since boot.
    ///
    /// Any context. Takes the lock of each zone in turn, for some twenty loads.
    #[must_use]
    pub fn vmstat(&self) -> VmStat {
        inspect::vmstat(self)
    }

    /// Selects how isolated pages are accounted for. Experimental; feature `designs`.
    ///
    /// Under designs other than the default, counts can be wrong while pages are isolated, and
    /// isolated ranges should be aligned blocks of the largest order.
    ///
    /// No isolation may begin during the call.
    ///
    /// # Errors
    ///
    /// [`InUse`](crate::InUse) if a page is isolated. Nothing has changed then.
    #[cfg(feature = "designs")]
    pub fn set_design(&self, design: crate::Design) -> Result<(), crate::InUse> {
        crate::isolation::set_design(self, design)
    }
}
