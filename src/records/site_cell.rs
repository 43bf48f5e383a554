//! The cell that has the site of a frame: a pointer with the feature `page_owner`, nothing without.

#[cfg(feature = "page_owner")]
use core::panic::Location;
#[cfg(feature = "page_owner")]
use core::sync::atomic::{AtomicPtr, Ordering};

/// The record of a frame. It holds null or the address of a `&'static Location`, plus 1 if it is
/// old: only [`page_owner`](crate::records::page_owner) writes it.
#[cfg(feature = "page_owner")]
#[derive(Debug)]
pub(crate) struct SiteCell(AtomicPtr<Location<'static>>);

#[cfg(feature = "page_owner")]
impl SiteCell {
    pub(crate) const fn new() -> Self {
        Self(AtomicPtr::new(core::ptr::null_mut()))
    }

    #[inline(always)]
    pub(super) fn load(&self) -> *mut Location<'static> {
        self.0.load(Ordering::Relaxed)
    }

    #[inline(always)]
    pub(super) fn store(&self, address: *mut Location<'static>) {
        self.0.store(address, Ordering::Relaxed);
    }
}

/// The record of a frame: nothing.
#[cfg(not(feature = "page_owner"))]
#[derive(Debug)]
pub(crate) struct SiteCell;

#[cfg(not(feature = "page_owner"))]
impl SiteCell {
    pub(crate) const fn new() -> Self {
        Self
    }
}
