//! Owned blocks: a handle that frees on drop. [`page_allocator::raw`](crate::PageAllocator::alloc_pages) is the
//! interface without one.

use core::fmt;
use core::mem;

use crate::error::AllocError;
use crate::geometry::Geometry;
use crate::order::Order;
use crate::page_allocator::PageAllocator;
use crate::pfn::{Pfn, PfnRange};
use crate::platform::Platform;
use crate::request::AllocRequest;

/// A block of 2ⁿ frames that belongs to whoever holds this. Dropping it frees the block.
///
/// Not `Clone`: a double free is not expressible. Meant for unmovable and reclaimable blocks; a movable block's frame
/// changes when it is migrated, so that its owner keeps the number in its own page tables and uses the raw
/// interface.
#[must_use = "dropping this frees the block"]
pub struct Pages<'a, 'm, P: Platform, G: Geometry> {
    allocator: &'a PageAllocator<'m, P, G>,
    pfn: Pfn,
    order: Order,
}

impl<'m, P: Platform, G: Geometry> PageAllocator<'m, P, G> {
    /// Allocates a block that is freed when the handle is dropped. Otherwise as [`alloc_pages`](Self::alloc_pages).
    ///
    /// # Errors
    ///
    /// As [`alloc_pages`](Self::alloc_pages).
    pub fn alloc(&self, request: AllocRequest) -> Result<Pages<'_, 'm, P, G>, AllocError> {
        let pfn = self.alloc_pages(request)?;
        Ok(Pages { allocator: self, pfn, order: request.order })
    }
}

impl<'a, 'm, P: Platform, G: Geometry> Pages<'a, 'm, P, G> {
    /// The first frame.
    #[must_use]
    pub fn pfn(&self) -> Pfn {
        self.pfn
    }

    /// The order.
    #[must_use]
    pub fn order(&self) -> Order {
        self.order
    }

    /// All frames of the block.
    #[must_use]
    pub fn frames(&self) -> PfnRange {
        self.order.block(self.pfn)
    }

    /// Gives up the handle but not the block: free it with [`PageAllocator::free_pages`].
    #[must_use = "the block is yours to free"]
    pub fn into_raw(self) -> (Pfn, Order) {
        let raw = (self.pfn, self.order);
        mem::forget(self);
        raw
    }
}

impl<P: Platform, G: Geometry> Drop for Pages<'_, '_, P, G> {
    fn drop(&mut self) {
        if let Err(error) = self.allocator.free_pages(self.pfn, self.order) {
            log::error!("{} of {} was not freed: {error}", self.pfn, self.order);
        }
    }
}

impl<P: Platform, G: Geometry> fmt::Debug for Pages<'_, '_, P, G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pages").field("pfn", &self.pfn).field("order", &self.order).finish()
    }
}
