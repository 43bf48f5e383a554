//! A handle that owns a range of any number of frames.
//!
//! This is `alloc_pages_exact` of Linux: it allocates the smallest block that is large enough and
//! frees the rest of it at once, so that seven pages cost seven pages and not eight.

use core::{fmt, mem};

use crate::base::{
    AllocRequest, Geometry, Mobility, Order, Pfn, PfnRange, Platform, Site, X86_64, aligned_blocks,
};
use crate::page_allocator::{AllocError, FreeError, PageAllocator};
use crate::sync::spin_hint;

/// A range of contiguous frames that is freed when this is dropped, in any context.
#[must_use = "dropping this frees the frames"]
pub struct ExactPages<'a, 'm, P: Platform, G: Geometry = X86_64> {
    allocator: &'a PageAllocator<'m, P, G>,
    range: PfnRange,
}

impl<'a, 'm, P: Platform, G: Geometry> ExactPages<'a, 'm, P, G> {
    #[cfg_attr(feature = "page_owner", track_caller)]
    pub(crate) fn alloc(
        allocator: &'a PageAllocator<'m, P, G>,
        pages: usize,
        request: AllocRequest,
    ) -> Result<Self, AllocError> {
        if pages == 0 {
            return Ok(Self { allocator, range: PfnRange::with_len(Pfn::new(0), 0) });
        }
        // Frames that migrate one by one do not stay contiguous.
        let mobility = match request.mobility {
            Mobility::Movable => Mobility::Unmovable,
            other => other,
        };
        let order = Order::covering(pages);
        let start = allocator.alloc_at(AllocRequest { mobility, order, ..request }.at(Site::caller()))?;
        trim(allocator, start, order, pages);
        Ok(Self { allocator, range: PfnRange::with_len(start, pages) })
    }

    /// The frames of the range.
    #[must_use]
    pub fn range(&self) -> PfnRange {
        self.range
    }

    /// Ends the handle. The caller must free the frames with [`PageAllocator::free_exact`].
    #[must_use = "the caller must free the frames"]
    pub fn into_raw(self) -> PfnRange {
        let range = self.range;
        mem::forget(self);
        range
    }
}

/// Splits an allocated block and frees all but its first `pages` frames. These are then the blocks
/// that [`aligned_blocks`] returns.
fn trim<P: Platform, G: Geometry>(
    allocator: &PageAllocator<'_, P, G>,
    mut start: Pfn,
    mut order: Order,
    mut pages: usize,
) {
    while pages < order.pages() {
        while !allocator.split_owned(start, order) {
            spin_hint(); // does not occur: only movable blocks are migrated
        }
        order = order.down();
        let upper = start.up(order.pages());
        if pages <= order.pages() {
            allocator.log_refused_free(upper, allocator.free_pages(upper, order));
        } else {
            (start, pages) = (upper, pages - order.pages());
        }
    }
}

/// Frees the frames of an exact allocation, after checking all of them.
pub(crate) fn free_exact<P: Platform, G: Geometry>(
    allocator: &PageAllocator<'_, P, G>,
    range: PfnRange,
) -> Result<(), FreeError> {
    if !allocator.span().covers(range) {
        return Err(FreeError::Foreign { pfn: range.start() });
    }
    for (pfn, order) in aligned_blocks(range, G::MAX_ORDER) {
        allocator.owner(pfn, order)?;
    }
    for (pfn, order) in aligned_blocks(range, G::MAX_ORDER) {
        allocator.free_pages(pfn, order)?;
    }
    Ok(())
}

impl<P: Platform, G: Geometry> Drop for ExactPages<'_, '_, P, G> {
    fn drop(&mut self) {
        self.allocator.log_refused_free(self.range.start(), free_exact(self.allocator, self.range));
    }
}

impl<P: Platform, G: Geometry> fmt::Debug for ExactPages<'_, '_, P, G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ExactPages").field(&self.range).finish()
    }
}
