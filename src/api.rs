//! Floor 14: the methods of [`PageAllocator`] that services above it implement.
//!
//! Each method only calls one function of a service: handles, isolation, contiguous allocation,
//! hotplug, reports. The methods that allocate and free by frame number, and the counts, are in
//! [`page_allocator`](crate::page_allocator).

use core::alloc::Layout;
use core::mem::MaybeUninit;
use core::ops::Range;

use crate::base::{
    AllocRequest, Geometry, MemoryUse, Migrate, NotFree, Order, PAGE_SIZE, Pfn, PfnRange, Platform, Site,
};
use crate::contig::{self, ContigError, ContigOptions, ContigPlace, ContigRange, ContigStats, PinError};
use crate::handles::{self, ExactPages, Pages};
use crate::hotplug::{
    self, HandOverError, HotplugError, HotplugNotifier, OfflineRange, RecordsError, RemovedRecords,
    SoftOffline,
};
use crate::inspect::{
    self, AllocatedBlock, AllocatedBlocks, AuditReport, BuddyInfo, Census, MemInfo, PageTypeInfo, Pageblocks,
    VerifyReport, Violation, VmStat, ZoneInfo,
};
use crate::isolation::{IsolateError, IsolatedRange, Purpose};
use crate::page_allocator::{AllocError, FreeError, PageAllocator};
use crate::reporting::{ReportBatch, ReportError, ReportOptions};

/// # Handles
impl<'m, P: Platform, G: Geometry> PageAllocator<'m, P, G> {
    /// As [`alloc_pages`](Self::alloc_pages), with a handle that frees the block on drop.
    ///
    /// The names tell what is returned: `alloc_pages` and `alloc_bulk` return frame numbers, which
    /// the caller must free; all other calls that allocate return a handle. `into_raw` of a handle
    /// gives it up for the frames.
    #[cfg_attr(feature = "page_owner", track_caller)]
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
    /// # let memory = vec![core::mem::MaybeUninit::uninit(); 2 << 20].leak();
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
    #[cfg_attr(feature = "page_owner", track_caller)]
    pub fn alloc_exact(
        &self,
        pages: usize,
        request: AllocRequest,
    ) -> Result<ExactPages<'_, 'm, P, G>, AllocError> {
        ExactPages::alloc(self, pages, Order::ZERO, request)
    }

    /// As [`alloc_exact`](Self::alloc_exact), at a multiple of 2ⁿ frames, where *n* is `align`.
    ///
    /// An alignment below the next power of two of `pages` changes nothing. A larger one is a
    /// request for a block of that order, of which all but the first `pages` frames are freed.
    ///
    /// ```
    /// # use pageblock::{AllocRequest, MemoryMap, Metadata, Order, PageAllocator, Platform, Tuning};
    /// # struct Bare;
    /// # impl Platform for Bare {}
    /// # let mut map = MemoryMap::new();
    /// # map.add_usable(0x10_0000..0x1000_0000)?;
    /// # let memory = vec![core::mem::MaybeUninit::uninit(); 2 << 20].leak();
    /// # let metadata = Metadata::new(memory, &map, 1)?;
    /// # let pages = PageAllocator::new(Bare, &map, metadata, Tuning::default())?;
    /// // Three pages at a multiple of 64 KiB.
    /// let three = pages.alloc_exact_aligned(3, Order::new(4), AllocRequest::unmovable())?;
    /// assert_eq!((three.range().len(), three.start_address() % (64 << 10)), (3, 0));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`AllocError::OrderTooLarge`] for more frames, or a larger alignment, than a largest block
    /// has, [`AllocError::NoMemory`].
    #[cfg_attr(feature = "page_owner", track_caller)]
    pub fn alloc_exact_aligned(
        &self,
        pages: usize,
        align: Order,
        request: AllocRequest,
    ) -> Result<ExactPages<'_, 'm, P, G>, AllocError> {
        ExactPages::alloc(self, pages, align, request)
    }

    /// Frees frames from [`ExactPages::into_raw`].
    ///
    /// [`free_range`](Self::free_range) frees them too, and parts of them that end inside a block.
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
        IsolatedRange::new(self, range, Purpose::Any)
    }

    /// Allocates exactly the frames of `range`, after `migrate` has migrated the pages there.
    ///
    /// Any CPU; not from interrupt handlers. Takes time in proportion to the pages that migrate.
    ///
    /// # Errors
    ///
    /// See [`ContigError`].
    #[cfg_attr(feature = "page_owner", track_caller)]
    pub fn alloc_contig(
        &self,
        range: PfnRange,
        migrate: &impl Migrate,
        options: ContigOptions,
    ) -> Result<ContigRange<'_, 'm, P, G>, ContigError> {
        ContigRange::alloc(self, range, migrate, options.at(Site::caller()))
    }

    /// Allocates `pages` contiguous frames at a place that `place` allows.
    ///
    /// That is in the highest zone that has such a range, as low as possible there, and not in a
    /// CMA area or in movable-only memory. Movable pages there are migrated by `migrate`.
    ///
    /// Any CPU, several at a time; not from interrupt handlers. Takes time in proportion to the
    /// frames that it examines, in the worst case all that `place` allows, but no more than a
    /// pageblock of them in one lock hold.
    ///
    /// # Errors
    ///
    /// [`ContigError::NoPlace`] if every range of that length has unmovable pages;
    /// [`ContigError::AlignTooLarge`]; otherwise the error for the last range that was tried.
    #[cfg_attr(feature = "page_owner", track_caller)]
    pub fn alloc_contig_pages(
        &self,
        pages: usize,
        place: ContigPlace,
        migrate: &impl Migrate,
        options: ContigOptions,
    ) -> Result<ContigRange<'_, 'm, P, G>, ContigError> {
        contig::alloc_anywhere(self, pages, place, migrate, options.at(Site::caller()))
    }

    /// Allocates a buffer for a device: `bytes` of contiguous memory that end at or below the
    /// physical address `below` and start at a multiple of `align` bytes.
    ///
    /// The size is rounded up to whole frames, and the limit down. An alignment of a frame or less
    /// is that of every frame. The limit is the first address that the device cannot reach: `1 <<
    /// 24` for ISA, `1 << 32` for a device with 32 address bits. Movable pages in the way are
    /// migrated by `migrate`; a kernel without such pages passes
    /// [`NoMigration`](crate::NoMigration).
    ///
    /// This is [`alloc_contig_pages`](Self::alloc_contig_pages) with default options, in bytes,
    /// with the same contexts. It may be larger than the largest block. Small buffers that need no
    /// limit, or that of a zone, are cheaper as blocks: [`alloc`](Self::alloc).
    ///
    /// ```
    /// # use pageblock::{MemoryMap, Metadata, NoMigration, PageAllocator, Platform, Tuning};
    /// # struct Bare;
    /// # impl Platform for Bare {}
    /// # let mut map = MemoryMap::new();
    /// # map.add_usable(0x10_0000..0x1000_0000)?;
    /// # let memory = vec![core::mem::MaybeUninit::uninit(); 2 << 20].leak();
    /// # let metadata = Metadata::new(memory, &map, 1)?;
    /// # let pages = PageAllocator::new(Bare, &map, metadata, Tuning::default())?;
    /// // 6 MiB below 16 MiB, at a multiple of 64 KiB.
    /// let ring = pages.alloc_dma(6 << 20, 16 << 20, 64 << 10, &NoMigration)?;
    /// assert!(ring.range().bytes().end <= 16 << 20);
    /// assert_eq!(ring.start_address() % (64 << 10), 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ContigError::BadAlignment`] if `align` is not a power of two, and those of
    /// [`alloc_contig_pages`](Self::alloc_contig_pages).
    #[cfg_attr(feature = "page_owner", track_caller)]
    pub fn alloc_dma(
        &self,
        bytes: usize,
        below: u64,
        align: u64,
        migrate: &impl Migrate,
    ) -> Result<ContigRange<'_, 'm, P, G>, ContigError> {
        let place = ContigPlace::of_bytes(below, align)?;
        let pages = bytes.div_ceil(PAGE_SIZE as usize);
        contig::alloc_anywhere(self, pages, place, migrate, ContigOptions::default().at(Site::caller()))
    }

    /// Frees the frames of `range`, however they were allocated: the call for code that is given an
    /// address and a length.
    ///
    /// The frames may be of any number of allocations and of parts of them: blocks
    /// ([`alloc_pages`](Self::alloc_pages)), exact ranges ([`alloc_exact`](Self::alloc_exact)) and
    /// contiguous ranges ([`alloc_contig`](Self::alloc_contig)). If the range includes only a part
    /// of a block, the block is split, and its other frames stay allocated. They are the fewest
    /// aligned blocks that cover them; the one that has the block's first frame keeps the owner
    /// word, and the others have the owner word 0. They are freed by this call, too.
    ///
    /// Unlike [`free_pages`](Self::free_pages), it does not notice a wrong order.
    ///
    /// Any context. Takes time in proportion to the blocks of the range, and the zone lock to split
    /// a block.
    ///
    /// ```
    /// # use pageblock::{AllocRequest, MemoryMap, Metadata, Order, PageAllocator, PfnRange};
    /// # use pageblock::{Platform, Tuning};
    /// # struct Bare;
    /// # impl Platform for Bare {}
    /// # let mut map = MemoryMap::new();
    /// # map.add_usable(0x10_0000..0x1000_0000)?;
    /// # let memory = vec![core::mem::MaybeUninit::uninit(); 2 << 20].leak();
    /// # let metadata = Metadata::new(memory, &map, 1)?;
    /// # let pages = PageAllocator::new(Bare, &map, metadata, Tuning::default())?;
    /// let eight = pages.alloc_pages(AllocRequest::unmovable().order(Order::new(3)))?;
    /// pages.free_range(PfnRange::with_len(eight, 5))?;
    /// assert_eq!(pages.allocated_count(), 3);
    /// pages.free_range(PfnRange::with_len(eight.checked_add(5).unwrap(), 3))?;
    /// assert_eq!(pages.allocated_count(), 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`FreeError::BadRange`] if the range is empty; [`FreeError::Foreign`], [`FreeError::Hole`],
    /// [`FreeError::NotManaged`], [`FreeError::DoubleFree`], [`FreeError::OfCmaArea`] or
    /// [`FreeError::Pinned`] with the first frame of the range that this call may not free;
    /// [`FreeError::Migrating`] if a block of which only a part is in the range is being migrated.
    /// Nothing has changed then, unless other code frees or pins a block of the range during the
    /// call, although it does not own it. Blocks are freed from the first to the last, so that in
    /// this case the frames of the range below the one in the error have been freed, and it and
    /// those above it have not; a block that the range ends in may have been split.
    pub fn free_range(&self, range: PfnRange) -> Result<(), FreeError> {
        contig::free_range(self, range)
    }

    /// Frees a contiguous allocation, or any part of one.
    ///
    /// As [`free_range`](Self::free_range), which frees it too, but refuses all other frames.
    ///
    /// Any context. Takes time in proportion to the range, one lock hold for each pageblock.
    ///
    /// # Errors
    ///
    /// [`FreeError::BadRange`], [`FreeError::Foreign`], [`FreeError::NotContig`] with the first
    /// frame of the range that is in no contiguous allocation, [`FreeError::OfCmaArea`] with the
    /// first that [`CmaArea::free`](crate::CmaArea::free) must free, or [`FreeError::Pinned`] with
    /// the first that a device accesses. Nothing is freed then, also if other code pins or unpins
    /// the same range at the same time. If other code frees or pins a part of the range during the
    /// call, although it does not own it, the pageblocks below that of the frame in the error have
    /// been freed, and no other frame.
    pub fn free_contig(&self, range: PfnRange) -> Result<(), FreeError> {
        contig::free_contig(self, range, false)
    }

    /// Pins a contiguous allocation, also of a CMA area, or whole blocks of one, while a device
    /// accesses it.
    ///
    /// Its frames do not move in any case. While they are pinned, a free of them is refused with
    /// [`FreeError::Pinned`], and whatever wants the frames (an isolation, a contiguous allocation,
    /// an offline operation) says [`Obstacle::Pinned`](crate::Obstacle::Pinned) of the first of
    /// them, instead of [`Obstacle::Contig`](crate::Obstacle::Contig). A handle that is dropped
    /// meanwhile does not free its range. A driver pins a buffer before it starts the first
    /// request, and unpins it after the last one.
    ///
    /// Movable pages of other owners, which a device may access as well, are pinned by these: see
    /// [`MigrateError::Pinned`](crate::MigrateError::Pinned).
    ///
    /// Only the owner of the range may call this; any CPU, any context. Takes the zone lock for the
    /// blocks of at most one pageblock at a time.
    ///
    /// # Errors
    ///
    /// [`PinError::Range`], [`PinError::NotContig`], [`PinError::PartOfBlock`], and
    /// [`PinError::Pinned`]: pins are not counted. Nothing has changed then.
    pub fn pin_range(&self, range: PfnRange) -> Result<(), PinError> {
        contig::set_pinned(self, range, true)
    }

    /// Unpins what [`pin_range`](Self::pin_range) has pinned, or whole blocks of it. As that call.
    ///
    /// # Errors
    ///
    /// [`PinError::Range`], [`PinError::NotContig`], [`PinError::PartOfBlock`], and
    /// [`PinError::NotPinned`]. Nothing has changed then.
    pub fn unpin_range(&self, range: PfnRange) -> Result<(), PinError> {
        contig::set_pinned(self, range, false)
    }
}

/// # Free page reporting
impl<'m, P: Platform, G: Geometry> PageAllocator<'m, P, G> {
    /// Takes free blocks off the free lists, so that the host can be told that their memory is not
    /// in use. `None` if no zone has a block that has not been reported.
    ///
    /// A block is reported once: it is marked when the host has acknowledged it, and the mark goes
    /// when a part of it is allocated, or when it merges with a block that is not marked. Requests
    /// take blocks without the mark first. The rules are those of free page reporting in Linux,
    /// except that half of a marked block, and two marked blocks that merge, stay marked.
    ///
    /// Only free blocks of at least the pageblock order are reported, the largest first, of the
    /// highest zone first, and one batch of a zone at a time. A zone keeps its high watermark. The
    /// atomic reserve and isolated pages are not reported, nor is memory that has never been used
    /// since boot, whose frame records have not been written.
    ///
    /// Any context. Takes the zone lock once for each block.
    ///
    /// ```
    /// # use pageblock::{AllocRequest, MemoryMap, Metadata, PageAllocator, Platform, ReportOptions};
    /// # use pageblock::{Order, Tuning};
    /// # struct Bare;
    /// # impl Platform for Bare {}
    /// # fn tell_the_host(_: core::ops::Range<u64>) {}
    /// # let mut map = MemoryMap::new();
    /// # map.add_usable(0x10_0000..0x1000_0000)?;
    /// # let memory = vec![core::mem::MaybeUninit::uninit(); 2 << 20].leak();
    /// # let metadata = Metadata::new(memory, &map, 1)?;
    /// # let pages = PageAllocator::new(Bare, &map, metadata, Tuning::default())?;
    /// # let huge = pages.alloc_pages(AllocRequest::movable().order(Order::new(9)))?;
    /// # pages.free_pages(huge, Order::new(9))?;
    /// while let Some(mut batch) = pages.report_free_pages(ReportOptions::default())? {
    ///     while let Some(block) = batch.hand_over() {
    ///         tell_the_host(block.bytes());
    ///     }
    ///     batch.acknowledged();
    /// }
    /// # assert!(pages.meminfo().reported >= 512);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ReportError::OrderTooSmall`], [`ReportError::OrderTooLarge`], [`ReportError::NoBlocks`],
    /// [`ReportError::Poisoned`], [`ReportError::BatchOut`].
    pub fn report_free_pages(
        &self,
        options: ReportOptions,
    ) -> Result<Option<ReportBatch<'_, 'm, P, G>>, ReportError> {
        ReportBatch::take(self, options)
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

    /// Brings whole offline pageblocks online by frame number, without a notifier. A retired frame
    /// counts as offline, and stays retired.
    ///
    /// Not from interrupt handlers. Takes the zone lock once for each pageblock.
    ///
    /// # Errors
    ///
    /// [`HotplugError::Unaligned`], [`HotplugError::Range`], [`HotplugError::NotOffline`].
    pub fn online_raw(&self, range: PfnRange) -> Result<(), HotplugError> {
        hotplug::online_raw(self, range)
    }

    /// Removes whole offline pageblocks: they become a hole, which
    /// [`add_memory`](Self::add_memory) can add again, for the same or for another use.
    ///
    /// For memory that leaves the machine. An [`OfflineRange`] of these frames cannot be brought
    /// online any more. A retired frame counts as offline. Not from interrupt handlers. Takes the
    /// zone lock once for each pageblock.
    ///
    /// # Errors
    ///
    /// [`HotplugError::Unaligned`], [`HotplugError::Range`], [`HotplugError::NotOffline`].
    pub fn remove_memory(&self, range: PfnRange) -> Result<(), HotplugError> {
        hotplug::remove_memory(self, range)
    }

    /// Retires a bad frame: it is never allocated again, and counted as `hwpoisoned`
    /// ([`ZoneFigures::hwpoisoned`](crate::ZoneFigures::hwpoisoned)) instead of managed.
    ///
    /// A frame that is free, on a pcplist or offline is retired at once; its block is split around
    /// it. A movable block that includes it is migrated first. If the frame is in any other
    /// allocated block, or that is not migrated, the frame is retired when the block is freed,
    /// whatever way that is; the other frames of the block are free then. To call it again for the
    /// same frame is right: it tries again to migrate the block.
    ///
    /// The pageblock of a retired frame can be isolated and go offline; the frame stays retired
    /// when it comes back, unless it was removed meanwhile. A contiguous range cannot include it.
    /// (`soft_offline_page` in Linux. For an error that destroyed the contents, as in
    /// `memory_failure`, refuse the migration and free the block.)
    ///
    /// Any CPU, several at a time; not from interrupt handlers.
    ///
    /// # Errors
    ///
    /// [`IsolateError::Range`] if the frame is not memory; [`IsolateError::Overlap`] if it is being
    /// isolated by another call: try again when that has ended. Nothing has changed then.
    /// [`IsolateError::Unmovable`] only after a double free that was not detected.
    pub fn soft_offline_page(
        &self,
        pfn: Pfn,
        migrate: &impl Migrate,
        options: ContigOptions,
    ) -> Result<SoftOffline, IsolateError> {
        hotplug::soft_offline_page(self, pfn, migrate, options)
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
    /// For early boot, when the kernel finds memory in use that the map has as usable. The range
    /// may be in several zones.
    ///
    /// Not from interrupt handlers. Holds a zone lock for time in proportion to the range.
    ///
    /// # Errors
    ///
    /// [`HandOverError::Range`], [`HandOverError::NotFree`]. Nothing has changed then.
    pub fn reserve(&self, range: PfnRange) -> Result<(), HandOverError> {
        hotplug::reserve(self, range)
    }

    /// As [`reserve`](Self::reserve), for physical addresses: every frame that holds one of the
    /// bytes ([`PfnRange::covering`]). Returns these frames.
    ///
    /// ```
    /// # use pageblock::{MemoryMap, Metadata, PageAllocator, Pfn, Platform, Tuning};
    /// # struct Bare;
    /// # impl Platform for Bare {}
    /// # let mut map = MemoryMap::new();
    /// # map.add_usable(0x10_0000..0x1000_0000)?;
    /// # let memory = vec![core::mem::MaybeUninit::uninit(); 2 << 20].leak();
    /// # let metadata = Metadata::new(memory, &map, 1)?;
    /// # let pages = PageAllocator::new(Bare, &map, metadata, Tuning::default())?;
    /// // ACPI tables that the kernel found late.
    /// let frames = pages.reserve_bytes(0x0b00_0010..0x0b00_2010)?;
    /// assert_eq!((frames.start(), frames.len()), (Pfn::new(0xb000), 3));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`reserve`](Self::reserve).
    pub fn reserve_bytes(&self, bytes: Range<u64>) -> Result<PfnRange, HandOverError> {
        let range = PfnRange::covering(bytes);
        hotplug::reserve(self, range)?;
        Ok(range)
    }

    /// Adds memory that was a hole in the map or reserved. Its frames are free then.
    ///
    /// For memory of the bootloader ([`MemoryUse::Ordinary`]), and for memory that is plugged
    /// ([`MemoryUse::MovableOnly`], so that it can be taken [`offline`](Self::offline) again). Its
    /// frames must have records, as all memory of the map of the metadata has
    /// ([`add_records`](Self::add_records) makes others), and may be in several zones. Movable-only
    /// memory must be whole pageblocks.
    ///
    /// Not from interrupt handlers. Holds a zone lock for time in proportion to the range.
    ///
    /// # Errors
    ///
    /// [`HandOverError::Range`], [`HandOverError::Managed`], [`HandOverError::Unaligned`],
    /// [`HandOverError::OtherUse`]. Nothing has changed then, except when another call adds or
    /// reserves a part of the range at the same time: the part of the range in lower zones may have
    /// been added.
    pub fn add_memory(&self, range: PfnRange, memory_use: MemoryUse) -> Result<(), HandOverError> {
        hotplug::add_memory(self, range, memory_use)
    }

    /// As [`add_memory`](Self::add_memory), for physical addresses: the frames of which every byte
    /// is included ([`PfnRange::inside`]). Returns these frames.
    ///
    /// The first and the last frame of bytes that were reserved may have bytes of others as well;
    /// they stay reserved.
    ///
    /// # Errors
    ///
    /// Those of [`add_memory`](Self::add_memory).
    pub fn add_memory_bytes(
        &self,
        bytes: Range<u64>,
        memory_use: MemoryUse,
    ) -> Result<PfnRange, HandOverError> {
        let range = PfnRange::inside(bytes);
        hotplug::add_memory(self, range, memory_use)?;
        Ok(range)
    }

    /// Makes records for the frames of `range` that have none, in `memory`. They are holes then,
    /// which [`add_memory`](Self::add_memory) adds.
    ///
    /// For memory that is added to the machine. `memory` must have the
    /// [`records_layout`](Self::records_layout) of the range, and need not be aligned if it is
    /// larger by the alignment. The records are for whole pageblocks and largest blocks, and stay
    /// if the memory is removed from the machine, until [`remove_records`](Self::remove_records). A
    /// few large ranges are better than many small ones: each keeps 16 bytes for each range before
    /// it.
    ///
    /// Any CPU, one at a time; not from interrupt handlers. Takes time in proportion to the range.
    ///
    /// # Errors
    ///
    /// See [`RecordsError`].
    pub fn add_records(
        &self,
        range: PfnRange,
        memory: &'static mut [MaybeUninit<u8>],
    ) -> Result<(), RecordsError> {
        hotplug::add_records(self, range, memory)
    }

    /// The size and the alignment, in bytes, of the memory for the records of `range`, if no others
    /// are added before.
    ///
    /// # Errors
    ///
    /// Those of [`add_records`](Self::add_records), except for [`RecordsError::MemoryTooSmall`].
    pub fn records_layout(&self, range: PfnRange) -> Result<Layout, RecordsError> {
        hotplug::records_layout(self, range)
    }

    /// Removes the records that were added last, which must be those of `range`. None of its frames
    /// may be managed or offline ([`remove_memory`](Self::remove_memory) makes them holes), and
    /// none reserved but those that hold these records.
    ///
    /// The frames are foreign then. The memory of the records is still read by calls that began
    /// before, so that it can be used for something else only after [`RemovedRecords::reclaim`].
    ///
    /// Any CPU, one at a time; not from interrupt handlers. Takes time in proportion to the range.
    ///
    /// # Errors
    ///
    /// [`RecordsError::NotLast`], [`RecordsError::InUse`].
    pub fn remove_records(&self, range: PfnRange) -> Result<RemovedRecords, RecordsError> {
        hotplug::remove_records(self, range)
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
    /// Any context. Takes the zone lock for the frames of at most one pageblock at a time, and
    /// holds no lock between two blocks: the loop may call the allocator, also to free the block.
    ///
    /// ```
    /// # use pageblock::{AllocRequest, MemoryMap, Metadata, PageAllocator, Platform, Tuning};
    /// # struct Bare;
    /// # impl Platform for Bare {}
    /// # let mut map = MemoryMap::new();
    /// # map.add_usable(0x10_0000..0x1000_0000)?;
    /// # let memory = vec![core::mem::MaybeUninit::uninit(); 2 << 20].leak();
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
    /// Any context. Takes the zone lock once for each pageblock, for a walk of its frames;
    /// different pageblocks are of different moments.
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
    /// # let memory = vec![core::mem::MaybeUninit::uninit(); 2 << 20].leak();
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
    /// lists. Needs about 50 bytes of stack for each CPU.
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
    #[expect(clippy::result_large_err, reason = "a violation says all about it, and there is no heap")]
    pub fn verify(&self) -> Result<VerifyReport, Violation> {
        inspect::verify(self)
    }

    /// Feeds all that the results of later calls depend on to `hasher`, for tests of a kernel.
    ///
    /// Two states of an allocator that feed the same answer the same calls alike. So a search that
    /// meets a state again need not go on from it, and a call that must change nothing can be
    /// checked. Records that no call reads, and statistics, are left out.
    ///
    /// No other CPU may use the allocator during the call. Takes time in proportion to the frames.
    pub fn hash_state(&self, hasher: &mut impl core::hash::Hasher) {
        inspect::hash_state(self, hasher);
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

    /// The allocated pages by the place in the source where they were allocated. As
    /// [`census_by`](Self::census_by); feature `page_owner`.
    ///
    /// While nothing is allocated, freed or migrated, the sum equals the allocated pages of
    /// [`verify`](Self::verify), which checks at one moment that every allocated block has its site
    /// (invariant I9).
    #[cfg(feature = "page_owner")]
    #[must_use]
    pub fn census_by_site<const N: usize>(&self) -> Census<Site, N> {
        self.census_by(|block| block.site)
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
