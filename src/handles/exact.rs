//! An owned range of any number of frames, cut from the smallest block that is large enough.
//!
//! This is `alloc_pages_exact` of Linux: what is left over of the power of two is freed at once, so
//! that seven pages cost seven pages and not eight.

use core::{fmt, mem};

use crate::base::{AllocRequest, Geometry, Mobility, Order, Pfn, PfnRange, Platform, X86_64, aligned_blocks};
use crate::page_allocator::{AllocError, FreeError, PageAllocator};
use crate::sync::spin_hint;

/// An owned range of contiguous frames. Dropping it frees them, in any context.
#[must_use = "dropping this frees the frames"]
pub struct ExactPages<'a, 'm, P: Platform, G: Geometry = X86_64> {
    allocator: &'a PageAllocator<'m, P, G>,
    range: PfnRange,
}

impl<'a, 'm, P: Platform, G: Geometry> ExactPages<'a, 'm, P, G> {
    pub(crate) fn alloc(
        allocator: &'a PageAllocator<'m, P, G>,
        pages: usize,
        request: AllocRequest,
    ) -> Result<Self, AllocError> {
        if pages == 0 {
            return Ok(Self { allocator, range: PfnRange::with_len(Pfn::new(0), 0) });
        }
        // Frames that migrate one by one do not stay in a row.
        let mobility = match request.mobility {
            Mobility::Movable => Mobility::Unmovable,
            other => other,
        };
        let order = Order::covering(pages);
        let start = allocator.alloc_pages(AllocRequest { mobility, order, ..request })?;
        trim(allocator, start, order, pages);
        Ok(Self { allocator, range: PfnRange::with_len(start, pages) })
    }

    /// The frames.
    #[must_use]
    pub fn range(&self) -> PfnRange {
        self.range
    }

    /// Gives up the handle but not the frames, which the caller must free with
    /// [`PageAllocator::free_exact`].
    #[must_use = "the frames are the caller's to free"]
    pub fn into_raw(self) -> PfnRange {
        let range = self.range;
        mem::forget(self);
        range
    }
}

/// Splits an owned block until it ends after `pages`, and frees the rest. What remains are the
/// blocks that [`aligned_blocks`] names.
fn trim<P: Platform, G: Geometry>(
    allocator: &PageAllocator<'_, P, G>,
    mut start: Pfn,
    mut order: Order,
    mut pages: usize,
) {
    while pages < order.pages() {
        while !allocator.split_owned(start, order) {
            spin_hint(); // does not happen: only movable blocks are ever pinned
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

/// Frees the frames of an exact allocation.
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
