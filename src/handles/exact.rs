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
        align: Order,
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
        let order = Order::covering(pages).max(align);
        let start = allocator.alloc_at(AllocRequest { mobility, order, ..request }.at(Site::caller()))?;
        let range = PfnRange::with_len(start, pages);
        trim(allocator, order.block(start), order, range);
        if request.owner != 0 {
            // A split leaves the owner word with the first piece.
            allocator.desc().frames.set_owner_of_range(range, request.owner);
        }
        Ok(Self { allocator, range })
    }

    /// The physical address of the first byte.
    #[must_use]
    pub fn start_address(&self) -> u64 {
        self.range.start_address()
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

/// Frees all frames of an allocated block but `kept`, which starts with the block. What is kept is
/// then the blocks that [`aligned_blocks`] returns for it.
fn trim<P: Platform, G: Geometry>(
    allocator: &PageAllocator<'_, P, G>,
    block: PfnRange,
    order: Order,
    kept: PfnRange,
) {
    if kept == block {
        return;
    }
    let blocks = |range| aligned_blocks(range, G::MAX_ORDER);
    let rest = PfnRange::new(kept.end(), block.end());
    while !allocator.split_owned(block.start(), order, blocks(kept).chain(blocks(rest))) {
        spin_hint(); // does not occur: only movable blocks are migrated
    }
    for (pfn, order) in blocks(rest) {
        allocator.log_refused_free(pfn, allocator.free_pages(pfn, order));
    }
}

/// Frees the frames of an exact allocation, after checking all of them.
pub(crate) fn free_exact<P: Platform, G: Geometry>(
    allocator: &PageAllocator<'_, P, G>,
    range: PfnRange,
) -> Result<(), FreeError> {
    check_exact(allocator, range).map_err(|error| allocator.count_refused(error))?;
    for (pfn, order) in aligned_blocks(range, G::MAX_ORDER) {
        allocator.free_pages(pfn, order)?;
    }
    Ok(())
}

fn check_exact<P: Platform, G: Geometry>(
    allocator: &PageAllocator<'_, P, G>,
    range: PfnRange,
) -> Result<(), FreeError> {
    if allocator.desc().frames.extents().first_missing(range).is_some() {
        return Err(FreeError::Foreign { pfn: range.start() });
    }
    aligned_blocks(range, G::MAX_ORDER).try_for_each(|(pfn, order)| allocator.owner(pfn, order).map(|_| ()))
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
