//! Owned blocks: a handle that frees on drop. [`page_allocator::raw`](crate::PageAllocator::alloc_pages) is the
//! interface without one.

use core::fmt;
use core::mem;

use crate::error::{AllocError, FreeError};
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

    /// Two handles for the lower and the upper half.
    ///
    /// # Errors
    ///
    /// Gives the handle back if the order is 0, or if the block is movable and being moved.
    pub fn split(self) -> Result<(Self, Self), Self> {
        if self.order == Order::ZERO || !self.allocator.split_owned(self.pfn, self.order) {
            return Err(self);
        }
        let allocator = self.allocator;
        let (pfn, order) = self.into_raw();
        let half = order.down();
        let part = |pfn| Pages { allocator, pfn, order: half };
        Ok((part(pfn), part(pfn.up(half.pages()))))
    }

    /// A handle for a block that was given up with [`into_raw`](Self::into_raw) or allocated with
    /// [`PageAllocator::alloc_pages`].
    ///
    /// # Errors
    ///
    /// Those of freeing the block. That nobody else owns it cannot be checked; if someone does, one of the two
    /// frees will be an error.
    pub fn from_raw(
        allocator: &'a PageAllocator<'m, P, G>,
        pfn: Pfn,
        order: Order,
    ) -> Result<Self, FreeError> {
        allocator.owner(pfn, order)?;
        Ok(Self { allocator, pfn, order })
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
