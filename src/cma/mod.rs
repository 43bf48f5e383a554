//! CMA: an area that is lent to movable allocations and given back as contiguous ranges on demand.
//!
//! The area's pageblocks have migratetype CMA, so that movable requests use its free pages and nobody else does. A
//! bitmap says which parts are handed out as contiguous ranges. An allocation picks a run of clear bits, claims it, and
//! takes its frames with [`contig`](crate::contig); if a frame there will not move, it tries further on. The bitmap's
//! lock is not held meanwhile and ranges in one pageblock do not disturb each other, so that allocations run in parallel in one
//! area (Linux serialises them; W3 in its list of open ends). Otherwise as `mm/cma.c`.
//!
//! Files: this one, [`bitmap`]. Neighbours: [`isolate`](crate::isolate) to set an area up.

mod bitmap;

use core::fmt;

use crate::contig::{ContigOptions, ContigStats};
use crate::error::{ContigError, FreeError, IsolateError};
use crate::frame::state::FrameKind;
use crate::geometry::Geometry;
use crate::isolate::NotFree;
use crate::migrate::Migrate;
use crate::migratetype::{FreeKind, MigrateType};
use crate::order::Order;
use crate::page_allocator::PageAllocator;
use crate::pageblock::Pageblock;
use crate::pfn::{Pfn, PfnRange};
use crate::platform::Platform;
use crate::request::ZoneKind;
use crate::sync::{Lock, Ordering, PlainUsize};
use bitmap::Bitmap;

/// Why an area was not set up, or gave no range.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum CmaError {
    /// The area does not start and end at pageblocks, or is empty.
    Unaligned {
        /// What was given.
        range: PfnRange,
        /// The order of a pageblock.
        pageblock: Order,
    },
    /// A pageblock is in a CMA area already.
    Taken {
        /// The first frame of the first such pageblock.
        pfn: Pfn,
    },
    /// No zone has such a stretch of free memory.
    NoRoom {
        /// What was asked for: pages.
        pages: usize,
        /// The longest stretch of whole free pageblocks there is: pages.
        longest: usize,
    },
    /// The area's frames cannot be isolated.
    Isolate(IsolateError),
    /// A frame of the area is not free.
    NotFree(NotFree),
    /// The bitmap memory is too small.
    BitmapTooSmall {
        /// What was given: words.
        given: usize,
        /// What is needed: words.
        needed: usize,
    },
    /// A request for no pages.
    Empty,
    /// No run of the area that is not handed out is long enough.
    Full {
        /// What was asked for: pages.
        pages: usize,
        /// The longest run left: pages.
        longest: usize,
    },
    /// Every run that is long enough has a frame in the way. This is the last one's.
    Busy(ContigError),
    /// The range was not handed out by this area, in whole or in part.
    NotOurs {
        /// What was given.
        range: PfnRange,
    },
    /// The range was not freed.
    Free(FreeError),
}

impl fmt::Display for CmaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unaligned { range, pageblock } => {
                write!(f, "{range} is not whole pageblocks of {pageblock}")
            }
            Self::Taken { pfn } => write!(f, "the pageblock at {pfn} is in a CMA area already"),
            Self::NoRoom { pages, longest } => {
                write!(f, "no stretch of {pages} free pages for a CMA area: the longest has {longest}")
            }
            Self::Isolate(error) => error.fmt(f),
            Self::NotFree(error) => error.fmt(f),
            Self::BitmapTooSmall { given, needed } => {
                write!(f, "the bitmap needs {needed} words, {given} were given")
            }
            Self::Empty => f.write_str("no pages were asked for"),
            Self::Full { pages, longest } => {
                write!(f, "no run of {pages} pages is left in the area: the longest has {longest}")
            }
            Self::Busy(error) => error.fmt(f),
            Self::NotOurs { range } => write!(f, "{range} was not handed out by this area"),
            Self::Free(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for CmaError {}

/// What an area has done so far, and what is left of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct CmaStats {
    /// Pages of the area.
    pub pages: usize,
    /// Pages handed out as contiguous ranges.
    pub used: usize,
    /// The longest run that is not handed out, in pages.
    pub longest: usize,
    /// Ranges handed out so far.
    pub succeeded: usize,
    /// Requests that failed.
    pub failed: usize,
    /// Places that had to be given up because a frame was in the way.
    pub busy: usize,
    /// Pages moved out of the way so far.
    pub migrated_pages: usize,
    /// Pages released so far.
    pub released_pages: usize,
}

#[derive(Debug, Default)]
struct Events {
    succeeded: PlainUsize,
    failed: PlainUsize,
    busy: PlainUsize,
    migrated_pages: PlainUsize,
    released_pages: PlainUsize,
}

/// A contiguous-memory area.
///
/// Its methods take the allocator that it belongs to. Any CPU, several at a time; not from interrupt handlers.
#[derive(Debug)]
pub struct CmaArea<'m> {
    range: PfnRange,
    bitmap: Lock<Bitmap<'m>>,
    events: Events,
    options: ContigOptions,
}

impl<'m> CmaArea<'m> {
    /// Words of bitmap memory that an area of this many pages needs.
    #[must_use]
    pub const fn bitmap_words(pages: usize) -> usize {
        pages.div_ceil(64)
    }

    /// Makes the frames of `range` a CMA area: whole pageblocks, in one zone, all of them free now. From here on only
    /// movable allocations use them. `bitmap` must hold [`bitmap_words`](Self::bitmap_words).
    ///
    /// # Errors
    ///
    /// [`CmaError::Unaligned`], [`CmaError::BitmapTooSmall`], [`CmaError::Isolate`], [`CmaError::Taken`],
    /// [`CmaError::NotFree`]. Nothing has changed then.
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
        let mut isolated = allocator.isolate(range).map_err(CmaError::Isolate)?;
        // No two of us can get here with the same pageblock: it is isolated by us alone.
        if let Some(block) =
            Pageblock::covering::<G>(range).find(|block| allocator.is_cma_block(block.start()))
        {
            return Err(CmaError::Taken { pfn: block.start() });
        }
        let free = isolated.test().map_err(CmaError::NotFree)?;
        free.set_type(MigrateType::Cma);
        Ok(Self {
            range,
            bitmap: Lock::new(Bitmap::new(bitmap, range.len())),
            events: Events::default(),
            options: ContigOptions::default(),
        })
    }

    /// As [`new`](Self::new), in the highest free stretch at or below a zone. `pages` is rounded up to whole
    /// pageblocks, and `bitmap` must hold as many.
    ///
    /// # Errors
    ///
    /// [`CmaError::NoRoom`] with the longest stretch there is, and those of [`new`](Self::new).
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
        let range = allocator
            .find_free_stretch(pages, highest_zone)
            .map_err(|longest| CmaError::NoRoom { pages, longest })?;
        Self::new(allocator, range, bitmap)
    }

    /// The area's frames.
    #[must_use]
    pub fn range(&self) -> PfnRange {
        self.range
    }

    /// Allocates `pages` contiguous frames that start at a multiple of 2^`align`, moving away who is there. Free them with
    /// [`release`](Self::release).
    ///
    /// # Errors
    ///
    /// [`CmaError::Empty`], [`CmaError::Full`], or [`CmaError::Busy`] with the frame that was in the way at the last place tried, why,
    /// and after how many attempts. Each place is tried a bounded number of times, and each place once.
    pub fn alloc<P: Platform, G: Geometry>(
        &self,
        allocator: &PageAllocator<'_, P, G>,
        pages: usize,
        align: Order,
        migrate: &impl Migrate,
    ) -> Result<PfnRange, CmaError> {
        let result = self.try_places(allocator, pages, align, migrate);
        let event = if result.is_ok() { &self.events.succeeded } else { &self.events.failed };
        event.fetch_add(1, Ordering::Relaxed);
        result
    }

    fn try_places<P: Platform, G: Geometry>(
        &self,
        allocator: &PageAllocator<'_, P, G>,
        pages: usize,
        align: Order,
        migrate: &impl Migrate,
    ) -> Result<PfnRange, CmaError> {
        if pages == 0 {
            return Err(CmaError::Empty);
        }
        let mut from = 0;
        let mut in_the_way = None;
        loop {
            let claimed = self.with_bitmap(allocator, |bitmap| {
                let start = bitmap.find_clear(from, pages, align.pages(), self.range.start().number())?;
                bitmap.set(start, pages);
                Some(start)
            });
            let Some(start) = claimed else {
                let longest = self.with_bitmap(allocator, |bitmap| bitmap.longest_clear());
                return Err(in_the_way.map_or(CmaError::Full { pages, longest }, CmaError::Busy));
            };
            let range = PfnRange::with_len(self.range.start().up(start), pages);
            let mut stats = ContigStats::default();
            let taken = allocator.take_contig(range, migrate, self.options, &mut stats);
            self.events.migrated_pages.fetch_add(stats.migrated_pages, Ordering::Relaxed);
            match taken {
                Ok(()) => return Ok(range),
                Err(error) => {
                    self.with_bitmap(allocator, |bitmap| bitmap.clear(start, pages));
                    self.events.busy.fetch_add(1, Ordering::Relaxed);
                    if matches!(error, ContigError::NoMemory { .. }) {
                        return Err(CmaError::Busy(error));
                    }
                    in_the_way = Some(error);
                    from = start + align.pages();
                }
            }
        }
    }

    /// Frees a range that [`alloc`](Self::alloc) gave, or any part of one.
    ///
    /// # Errors
    ///
    /// [`CmaError::NotOurs`], [`CmaError::Free`]. Nothing is freed then.
    pub fn release<P: Platform, G: Geometry>(
        &self,
        allocator: &PageAllocator<'_, P, G>,
        range: PfnRange,
    ) -> Result<(), CmaError> {
        let start = range.start().above(self.range.start());
        let ours = !range.is_empty()
            && self.range.covers(range)
            && self.with_bitmap(allocator, |bitmap| bitmap.all_set(start, range.len()));
        if !ours {
            return Err(CmaError::NotOurs { range });
        }
        // The frames first: a clear bit says that they can be taken again.
        allocator.free_contig(range).map_err(CmaError::Free)?;
        self.with_bitmap(allocator, |bitmap| bitmap.clear(start, range.len()));
        self.events.released_pages.fetch_add(range.len(), Ordering::Relaxed);
        Ok(())
    }

    /// What the area has done and what is left of it.
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
            released_pages: read(&self.events.released_pages),
        }
    }

    fn with_bitmap<R, P: Platform, G: Geometry>(
        &self,
        allocator: &PageAllocator<'_, P, G>,
        f: impl FnOnce(&mut Bitmap<'m>) -> R,
    ) -> R {
        allocator.platform().without_interrupts(|| f(&mut self.bitmap.lock()))
    }
}

impl<P: Platform, G: Geometry> PageAllocator<'_, P, G> {
    /// The highest stretch of `pages` frames in whole pageblocks that are entirely free, in one zone. Else the length of
    /// the longest. Reads without a lock: what it finds may be gone when it is isolated.
    fn find_free_stretch(&self, pages: usize, highest_zone: ZoneKind) -> Result<PfnRange, usize> {
        let mut longest = 0;
        for kind in ZoneKind::ALL[..=highest_zone.index()].iter().rev() {
            let span = self.zones()[kind.index()].span();
            let mut end = span.end();
            let mut pfn = span.end();
            while pfn > span.start() {
                pfn = Pfn::new(pfn.number() - G::PAGEBLOCK_ORDER.pages());
                if !self.is_free_block(pfn) {
                    end = pfn;
                    continue;
                }
                let stretch = PfnRange::new(pfn, end);
                longest = longest.max(stretch.len());
                if stretch.len() >= pages {
                    return Ok(stretch);
                }
            }
        }
        Err(longest)
    }

    /// Whether the pageblock at `start` is in no CMA area yet and every frame of it is free, or on a pcplist from where it can be drained, and is no
    /// other area's, reserve's or isolator's.
    fn is_free_block(&self, start: Pfn) -> bool {
        match self.mem().kind(start) {
            FreeKind::Listed(migratetype) if migratetype.is_ordinary() => {}
            FreeKind::Listed(_) | FreeKind::Isolated => return false,
        }
        if self.is_cma_block(start) {
            return false;
        }
        if self.in_zone(self.zone_of(start), |inner| inner.buddy.fresh().around(start).is_some()) {
            return true;
        }
        let block = G::PAGEBLOCK_ORDER.block(start);
        let mut pfn = start;
        while pfn < block.end() {
            match self.mem().frames.head_of(pfn, G::MAX_ORDER) {
                Some((head, state)) if matches!(state.kind(), FrameKind::Free | FrameKind::Cached) => {
                    pfn = state.order().block(head).end();
                }
                _ => return false,
            }
        }
        true
    }

    fn is_cma_block(&self, start: Pfn) -> bool {
        self.mem().blocks.state(start).migratetype == MigrateType::Cma
    }
}
