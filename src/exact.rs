//! Blocks of any number of frames: the smallest block that is large enough, cut to size.
//!
//! `alloc_pages_exact`: what is left over of the power of two is freed at once, so that seven pages cost seven pages and not
//! eight. For more than the largest block see [`contig_pages`](crate::contig_pages); for the cutting
//! [`page_allocator::raw`](crate::PageAllocator::alloc_pages).

use core::fmt;
use core::mem;

use crate::error::{AllocError, FreeError};
use crate::geometry::Geometry;
use crate::migratetype::Mobility;
use crate::order::{Order, aligned_blocks};
use crate::page_allocator::PageAllocator;
use crate::pfn::{Pfn, PfnRange};
use crate::platform::Platform;
use crate::request::AllocRequest;
use crate::sync::spin_hint;

/// So many frames in a row, and not one more. Dropping it frees them, in any context.
#[must_use = "dropping this frees the frames"]
pub struct ExactPages<'a, 'm, P: Platform, G: Geometry> {
    allocator: &'a PageAllocator<'m, P, G>,
    frames: PfnRange,
}

impl<'m, P: Platform, G: Geometry> PageAllocator<'m, P, G> {
    /// Allocates exactly `pages` frames in a row, aligned to the next power of two. The request's order does not matter; a
    /// movable request is served as an unmovable one, because frames that move one by one do not stay in a row. No
    /// pages is an empty range.
    ///
    /// Any CPU; in interrupt handlers with [`Depth::Atomic`](crate::Depth::Atomic). Takes the zone's lock once for each
    /// halving, beside what [`alloc_pages`](Self::alloc_pages) takes.
    ///
    /// ```
    /// # use pageblock::{AllocRequest, MemoryMap, Metadata, PageAllocator, Platform, Tuning, X86_64};
    /// # struct Bare;
    /// # impl Platform for Bare {}
    /// # let mut map: MemoryMap = MemoryMap::new();
    /// # map.add_usable(0x10_0000..0x1000_0000)?;
    /// # let layout = Metadata::<X86_64>::layout(&map, 1)?;
    /// # let memory = vec![core::mem::MaybeUninit::uninit(); layout.size() + layout.align()].leak();
    /// # let pages = PageAllocator::new(Bare, &map, Metadata::<X86_64>::new(memory, &map, 1)?, Tuning::default())?;
    /// let before = pages.free_count();
    /// let seven = pages.alloc_exact(7, AllocRequest::unmovable())?;
    /// pages.drain_all();
    /// assert_eq!((seven.frames().len(), before - pages.free_count()), (7, 7));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`AllocError::OrderTooLarge`] for more frames than the largest block has, [`AllocError::NoMemory`].
    pub fn alloc_exact(
        &self,
        pages: usize,
        request: AllocRequest,
    ) -> Result<ExactPages<'_, 'm, P, G>, AllocError> {
        if pages == 0 {
            return Ok(ExactPages { allocator: self, frames: PfnRange::with_len(Pfn::new(0), 0) });
        }
        let mobility = match request.mobility {
            Mobility::Movable => Mobility::Unmovable,
            other => other,
        };
        let order = Order::covering(pages);
        let start = self.alloc_pages(AllocRequest { mobility, order, ..request })?;
        self.trim(start, order, pages);
        Ok(ExactPages { allocator: self, frames: PfnRange::with_len(start, pages) })
    }

    /// Splits a block that we own until it ends at `pages`, and frees the rest. What is left are the blocks that
    /// [`aligned_blocks`] names.
    fn trim(&self, mut start: Pfn, mut order: Order, mut pages: usize) {
        while pages < order.pages() {
            while !self.split_owned(start, order) {
                spin_hint(); // never: only movable blocks are held by someone else
            }
            order = order.down();
            let upper = start.up(order.pages());
            if pages <= order.pages() {
                self.refused_free(upper, self.free_pages(upper, order));
            } else {
                (start, pages) = (upper, pages - order.pages());
            }
        }
    }

    /// Frees frames that were given up with [`ExactPages::into_raw`].
    ///
    /// Any CPU, and interrupt handlers.
    ///
    /// # Errors
    ///
    /// Those of [`free_pages`](Self::free_pages) for the first block of the range that is not as it was allocated. Nothing is
    /// freed then.
    pub fn free_exact(&self, frames: PfnRange) -> Result<(), FreeError> {
        if !self.span().covers(frames) {
            return Err(FreeError::Foreign { pfn: frames.start() });
        }
        for (pfn, order) in aligned_blocks(frames, G::MAX_ORDER) {
            self.owner(pfn, order)?;
        }
        for (pfn, order) in aligned_blocks(frames, G::MAX_ORDER) {
            self.free_pages(pfn, order)?;
        }
        Ok(())
    }
}

impl<P: Platform, G: Geometry> ExactPages<'_, '_, P, G> {
    /// The frames.
    #[must_use]
    pub fn frames(&self) -> PfnRange {
        self.frames
    }

    /// Gives up the handle but not the frames: free them with [`PageAllocator::free_exact`].
    #[must_use = "the frames are yours to free"]
    pub fn into_raw(self) -> PfnRange {
        let frames = self.frames;
        mem::forget(self);
        frames
    }
}

impl<P: Platform, G: Geometry> Drop for ExactPages<'_, '_, P, G> {
    fn drop(&mut self) {
        self.allocator.refused_free(self.frames.start(), self.allocator.free_exact(self.frames));
    }
}

impl<P: Platform, G: Geometry> fmt::Debug for ExactPages<'_, '_, P, G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ExactPages").field(&self.frames).finish()
    }
}
