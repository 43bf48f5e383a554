//! A CMA area: make it, allocate from it, free to it.
//!
//! The pageblocks of an area have the migratetype CMA, so that only movable requests use their free
//! pages. A bitmap has a bit for each page that is part of an allocated range. An allocation finds
//! a run of clear bits, sets them, and takes the frames with [`contig`](crate::contig); if a frame
//! does not become free, it clears the bits and goes on above that frame. The lock of the bitmap is
//! not held meanwhile, and ranges in one pageblock are isolated independently, so that allocations
//! from one area run in parallel (Linux serialises them). Otherwise this is `mm/cma.c`.

use crate::base::{
    Geometry, Masked, Migrate, NotFree, Order, PAGE_SIZE, Pfn, PfnRange, Platform, Site, ZoneKind,
};
use crate::buddy::Taken;
use crate::cma::bitmap::Bitmap;
use crate::cma::convert::{convert_free, convert_isolated};
use crate::cma::error::CmaError;
use crate::cma::place::find_free_run;
use crate::contig::{Blocked, ContigError, ContigOptions, ContigStats, Survey, behind, free_contig, take};
use crate::isolation::IsolateError;
use crate::page_allocator::PageAllocator;
use crate::sync::{Lock, Ordering, PlainUsize};

/// The use of an area, and the counts of its events.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct CmaStats {
    /// The size of the area, in pages.
    pub pages: usize,
    /// Pages allocated as contiguous ranges.
    pub used: usize,
    /// The longest part that is not allocated, in pages.
    pub longest: usize,
    /// Allocations that succeeded.
    pub succeeded: usize,
    /// Allocations that failed.
    pub failed: usize,
    /// Places that were given up because a frame did not become free. Places with a frame that
    /// cannot be migrated are found beforehand and not counted.
    pub busy: usize,
    /// Pages that were migrated.
    pub migrated_pages: usize,
    /// Pages that were freed.
    pub freed_pages: usize,
}

#[derive(Debug, Default)]
struct Events {
    succeeded: PlainUsize,
    failed: PlainUsize,
    busy: PlainUsize,
    migrated_pages: PlainUsize,
    freed_pages: PlainUsize,
}

/// A contiguous memory area: memory that movable pages use until a contiguous range is allocated.
///
/// Its methods take the allocator that it was made with, and refuse another. Any CPU, several at a
/// time; not from interrupt handlers.
#[derive(Debug)]
pub struct CmaArea<'m> {
    range: PfnRange,
    bitmap: Lock<Bitmap<'m>>,
    events: Events,
    options: ContigOptions,
    /// The identity of the records of the allocator that the area belongs to.
    records: usize,
}

impl<'m> CmaArea<'m> {
    /// The number of words that the bitmap of an area of this many pages needs: a bit for each
    /// page, and up to as much again for a tree in which free parts are found.
    #[must_use]
    pub const fn bitmap_words(pages: usize) -> usize {
        Bitmap::words_for(pages)
    }

    /// Makes the frames of `range` a CMA area. From then on only movable allocations use them.
    ///
    /// The range must be whole pageblocks in one zone, all of them free. `bitmap` must have at
    /// least [`bitmap_words`](Self::bitmap_words) words.
    ///
    /// # Errors
    ///
    /// [`CmaError::Unaligned`], [`CmaError::BitmapTooSmall`], [`CmaError::Isolate`],
    /// [`CmaError::Taken`], [`CmaError::MovableOnly`], [`CmaError::NotFree`]. Nothing has changed
    /// then.
    pub fn new<P: Platform, G: Geometry>(
        allocator: &PageAllocator<'_, P, G>,
        range: PfnRange,
        bitmap: &'m mut [u64],
    ) -> Result<Self, CmaError> {
        let order = G::PAGEBLOCK_ORDER;
        if range.is_empty() || !order.is_aligned(range.start()) || !order.is_aligned(range.end()) {
            return Err(CmaError::Unaligned { range, pageblock: order });
        }
        let needed = Self::bitmap_words(range.len());
        if bitmap.len() < needed {
            return Err(CmaError::BitmapTooSmall { given: bitmap.len(), needed });
        }
        if !convert_free(allocator, range)? {
            convert_isolated(allocator, range)?;
        }
        Ok(Self {
            range,
            bitmap: Lock::new(Bitmap::new(bitmap, range.len())),
            events: Events::default(),
            options: ContigOptions::default(),
            records: allocator.desc().frames.identity(),
        })
    }

    /// As [`new`](Self::new), for the highest run of free pageblocks at or below a zone. `pages` is
    /// rounded up to whole pageblocks, and `bitmap` must have a bit for each page of these.
    ///
    /// # Errors
    ///
    /// [`CmaError::Empty`], [`CmaError::NoRoom`], and those of [`new`](Self::new).
    pub fn reserve<P: Platform, G: Geometry>(
        allocator: &PageAllocator<'_, P, G>,
        pages: usize,
        highest_zone: ZoneKind,
        bitmap: &'m mut [u64],
    ) -> Result<Self, CmaError> {
        if pages == 0 {
            return Err(CmaError::Empty);
        }
        let pages = pages.checked_next_multiple_of(G::PAGEBLOCK_ORDER.pages()).unwrap_or(usize::MAX);
        let range = find_free_run(allocator, pages, highest_zone)
            .map_err(|longest| CmaError::NoRoom { pages, longest })?;
        Self::new(allocator, range, bitmap)
    }

    /// The frames of the area.
    #[must_use]
    pub fn range(&self) -> PfnRange {
        self.range
    }

    /// Allocates `pages` contiguous frames that start at a multiple of 2^`align` frames.
    ///
    /// The movable pages there are migrated. Free the range with [`free`](Self::free).
    ///
    /// # Errors
    ///
    /// [`CmaError::OtherAllocator`], [`CmaError::Empty`], [`CmaError::AlignTooLarge`],
    /// [`CmaError::Full`], or
    /// [`CmaError::Busy`] with the frame that did not become free at the last place, why, and after
    /// how many attempts. Each place is tried once, with a bounded number of attempts, and the next
    /// place starts above that frame: there are at most as many places as blocks that cannot be
    /// migrated.
    #[cfg_attr(feature = "page_owner", track_caller)]
    pub fn alloc<P: Platform, G: Geometry>(
        &self,
        allocator: &PageAllocator<'_, P, G>,
        pages: usize,
        align: Order,
        migrate: &impl Migrate,
    ) -> Result<PfnRange, CmaError> {
        let options = self.options.one_of_many().at(Site::caller());
        self.alloc_counted(allocator, pages, align, Pfn::new(usize::MAX), migrate, options)
    }

    /// Allocates a buffer for a device, as [`PageAllocator::alloc_dma`] does outside of areas:
    /// `bytes` of contiguous memory that end at or below the physical address `below` and start at
    /// a multiple of `align` bytes.
    ///
    /// The size is rounded up to whole frames, and the limit down. The limit may be inside of the
    /// area. The movable pages there are migrated. Free the range with [`free`](Self::free).
    ///
    /// # Errors
    ///
    /// [`CmaError::BadAlignment`] if `align` is not a power of two; [`CmaError::BeyondLimit`] if
    /// the part of the area below the limit is shorter than the buffer; [`CmaError::FullBelow`];
    /// and those of [`alloc`](Self::alloc).
    #[cfg_attr(feature = "page_owner", track_caller)]
    pub fn alloc_dma<P: Platform, G: Geometry>(
        &self,
        allocator: &PageAllocator<'_, P, G>,
        bytes: usize,
        below: u64,
        align: u64,
        migrate: &impl Migrate,
    ) -> Result<PfnRange, CmaError> {
        if !align.is_power_of_two() {
            return Err(CmaError::BadAlignment { bytes: align });
        }
        let align = Order::covering(align.div_ceil(PAGE_SIZE) as usize);
        let pages = bytes.div_ceil(PAGE_SIZE as usize);
        let options = self.options.one_of_many().at(Site::caller());
        self.alloc_counted(allocator, pages, align, Pfn::containing(below), migrate, options)
    }

    fn alloc_counted<P: Platform, G: Geometry>(
        &self,
        allocator: &PageAllocator<'_, P, G>,
        pages: usize,
        align: Order,
        below: Pfn,
        migrate: &impl Migrate,
        options: ContigOptions,
    ) -> Result<PfnRange, CmaError> {
        let result = self.try_places(allocator, pages, align, below, migrate, options);
        let event = if result.is_ok() { &self.events.succeeded } else { &self.events.failed };
        event.fetch_add(1, Ordering::Relaxed);
        let counters = allocator.events();
        let counter = if result.is_ok() { &counters.cma_allocs } else { &counters.failed_cma_allocs };
        counter.add(1);
        result
    }

    fn try_places<P: Platform, G: Geometry>(
        &self,
        allocator: &PageAllocator<'_, P, G>,
        pages: usize,
        align: Order,
        below: Pfn,
        migrate: &impl Migrate,
        options: ContigOptions,
    ) -> Result<PfnRange, CmaError> {
        self.check_allocator(allocator)?;
        if pages == 0 {
            return Err(CmaError::Empty);
        }
        if align > Order::MAX_ALIGN {
            return Err(CmaError::AlignTooLarge { align, max: Order::MAX_ALIGN });
        }
        let reachable = self.range.intersection(PfnRange::new(Pfn::new(0), below));
        if reachable.len() < pages && reachable != self.range {
            return Err(CmaError::BeyondLimit { pages, area: self.range, below });
        }
        let mut survey = Survey::new(allocator, allocator.zone_of(self.range.start()), false);
        let mut from = 0;
        let mut obstacle = None;
        loop {
            let found = self.with_bitmap(allocator, |bitmap| {
                bitmap.find_clear(from, pages, align.pages(), self.range.start().number())
            });
            let Some(start) = found.filter(|start| start + pages <= reachable.len()) else {
                let full = if reachable == self.range {
                    let longest = self.with_bitmap(allocator, |bitmap| bitmap.longest_clear());
                    CmaError::Full { pages, longest }
                } else {
                    CmaError::FullBelow { pages, below }
                };
                return Err(obstacle.map_or(full, CmaError::Busy));
            };
            let range = PfnRange::with_len(self.range.start().up(start), pages);
            // Before anything is moved: frames that cannot move.
            if let Some(Blocked { frames, why: NotFree { pfn, reason } }) = survey.last_obstacle(range) {
                obstacle = Some(ContigError::Isolate(IsolateError::Unmovable { pfn, reason }));
                from = frames.end().offset_from(self.range.start());
                continue;
            }
            if !self.with_bitmap(allocator, |bitmap| bitmap.claim(start, pages)) {
                from = start; // another CPU was faster
                continue;
            }
            let mut stats = ContigStats::default();
            let taken = take(allocator, range, migrate, options, &mut stats, Taken::Cma);
            self.events.migrated_pages.fetch_add(stats.migrated_pages, Ordering::Relaxed);
            let error = match taken {
                Ok(()) => return Ok(range),
                Err(error) => error,
            };
            self.with_bitmap(allocator, |bitmap| bitmap.clear(start, pages));
            self.events.busy.fetch_add(1, Ordering::Relaxed);
            let Some(next) = behind(allocator, &error) else {
                return Err(CmaError::Busy(error));
            };
            obstacle = Some(error);
            from = next.offset_from(self.range.start()).max(start + 1);
        }
    }

    /// Frees a range from [`alloc`](Self::alloc), or any part of one.
    ///
    /// # Errors
    ///
    /// [`CmaError::OtherAllocator`], [`CmaError::NotOurs`], [`CmaError::Free`]. Nothing is freed
    /// then.
    pub fn free<P: Platform, G: Geometry>(
        &self,
        allocator: &PageAllocator<'_, P, G>,
        range: PfnRange,
    ) -> Result<(), CmaError> {
        self.check_allocator(allocator)?;
        let start = range.start().offset_from(self.range.start());
        let allocated_here = !range.is_empty()
            && self.range.covers(range)
            && self.with_bitmap(allocator, |bitmap| bitmap.all_set(start, range.len()));
        if !allocated_here {
            return Err(CmaError::NotOurs { range });
        }
        // The frames first, because they can be allocated again as soon as their bits are clear.
        free_contig(allocator, range, true).map_err(CmaError::Free)?;
        self.with_bitmap(allocator, |bitmap| bitmap.clear(start, range.len()));
        self.events.freed_pages.fetch_add(range.len(), Ordering::Relaxed);
        Ok(())
    }

    /// The use of the area, and the counts of its events.
    #[must_use]
    pub fn stats<P: Platform, G: Geometry>(&self, allocator: &PageAllocator<'_, P, G>) -> CmaStats {
        let (used, longest) =
            self.with_bitmap(allocator, |bitmap| (bitmap.count_set(), bitmap.longest_clear()));
        let read = |counter: &PlainUsize| counter.load(Ordering::Relaxed);
        CmaStats {
            pages: self.range.len(),
            used,
            longest,
            succeeded: read(&self.events.succeeded),
            failed: read(&self.events.failed),
            busy: read(&self.events.busy),
            migrated_pages: read(&self.events.migrated_pages),
            freed_pages: read(&self.events.freed_pages),
        }
    }

    fn check_allocator<P: Platform, G: Geometry>(
        &self,
        allocator: &PageAllocator<'_, P, G>,
    ) -> Result<(), CmaError> {
        if allocator.desc().frames.identity() == self.records {
            Ok(())
        } else {
            Err(CmaError::OtherAllocator { area: self.range })
        }
    }

    fn with_bitmap<R, P: Platform, G: Geometry>(
        &self,
        allocator: &PageAllocator<'_, P, G>,
        f: impl FnOnce(&mut Bitmap<'m>) -> R,
    ) -> R {
        let _masked = Masked::new(allocator.platform());
        f(&mut self.bitmap.lock())
    }
}
