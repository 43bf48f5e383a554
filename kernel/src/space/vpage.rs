//! The number of a user page, and the window of the address space in which user pages are mapped.
//!
//! The window is the same in every address space. User code does not exist: the kernel itself reads
//! and writes the pages at these addresses, with the root of the space in CR3.

use core::fmt;
use core::ops::Range;

use pageblock::Order;
use x86_64::VirtAddr;

/// The entry of the top-level table for the window, above what a bootloader maps there.
pub(super) const WINDOW_SLOT: usize = 64;
const WINDOW_START: u64 = (WINDOW_SLOT as u64) << 39;
/// The addresses of user pages.
pub(super) const WINDOW: Range<VirtAddr> =
    VirtAddr::new(WINDOW_START)..VirtAddr::new(WINDOW_START + (1 << 39));

/// The number of a user page, counted from the start of the window.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct VPage(u32);

impl VPage {
    /// The page with this number.
    pub(crate) const fn new(number: u32) -> Self {
        Self(number & ((1 << 27) - 1))
    }

    pub(crate) const fn number(self) -> u32 {
        self.0
    }

    /// The address at which the page is mapped.
    pub(crate) fn address(self) -> VirtAddr {
        VirtAddr::new(WINDOW_START + (u64::from(self.0) << 12))
    }

    /// The page that contains `address`, if that is in the window.
    pub(super) fn containing(address: VirtAddr) -> Option<Self> {
        let offset = address.as_u64().checked_sub(WINDOW_START)?;
        Some(Self(u32::try_from(offset >> 12).ok()?))
    }

    /// The first page of the aligned block of `order` that contains this page.
    pub(crate) const fn head(self, order: Order) -> Self {
        Self(self.0 & !(order.pages() as u32 - 1))
    }

    /// The pages of the block of `order` that starts with this page.
    pub(crate) fn block(self, order: Order) -> impl Iterator<Item = Self> + Clone {
        self.until(Self(self.0 + order.pages() as u32))
    }

    /// The pages from this one up to `end`.
    pub(crate) fn until(self, end: Self) -> impl Iterator<Item = Self> + Clone {
        (self.0..end.0).map(Self)
    }
}

impl fmt::Debug for VPage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "page {:#x}", self.0)
    }
}
