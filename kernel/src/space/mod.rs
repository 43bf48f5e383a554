//! Address spaces with real page tables, and the migration of what is mapped in them.
//!
//! ```text
//!            jobs, scenarios
//!                  |
//!   active (CR3, contents, fault hook)      migrate (pageblock::Migrate)
//!                  \                          /
//!                   address_space (slots, lock, map, unmap, flush)
//!                     |            |          |
//!                  tables        owner      pages (counted allocation)
//!                     |
//!                   entry   frame   contents   lock
//! ```
//!
//! User pages live in one window of the address space, the same in every space, and are reached at
//! those addresses with the space's own root in CR3.

mod active;
mod address_space;
pub(crate) mod contents;
mod entry;
pub(crate) mod frame;
pub(crate) mod lock;
mod migrate;
mod owner;
pub(crate) mod pages;
mod tables;

use core::fmt;
use core::ops::Range;

use pageblock::Order;
use x86_64::VirtAddr;

pub(crate) use active::Active;
pub(crate) use address_space::{AddressSpace, SpaceError};
pub(crate) use entry::EntryState;
pub(crate) use migrate::{Migration, pages_migrated};

use crate::arch;

/// The slot of the root that user pages are mapped below: in the lower half, above anything that a
/// boot loader maps there.
const WINDOW_SLOT: usize = 64;
const WINDOW_START: u64 = (WINDOW_SLOT as u64) << 39;
const WINDOW: Range<VirtAddr> = VirtAddr::new(WINDOW_START)..VirtAddr::new(WINDOW_START + (1 << 39));

/// Installs the page fault hook. Once, before the first page is mapped.
pub(crate) fn init() {
    arch::set_fault_hook(Some(active::on_page_fault));
}

/// The number of a page in a space, from the start of its window.
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

    /// Where the page is mapped.
    pub(crate) fn address(self) -> VirtAddr {
        VirtAddr::new(WINDOW_START + (u64::from(self.0) << 12))
    }

    fn containing(address: VirtAddr) -> Option<Self> {
        let offset = address.as_u64().checked_sub(WINDOW_START)?;
        Some(Self(u32::try_from(offset >> 12).ok()?))
    }

    /// The first page of the block of `order` that holds this one.
    pub(crate) const fn head(self, order: Order) -> Self {
        Self(self.0 & !(order.pages() as u32 - 1))
    }

    /// The pages of the block of `order` that starts here.
    pub(crate) fn block(self, order: Order) -> impl Iterator<Item = Self> + Clone {
        self.until(Self(self.0 + order.pages() as u32))
    }

    /// The pages from here up to `end`.
    pub(crate) fn until(self, end: Self) -> impl Iterator<Item = Self> + Clone {
        (self.0..end.0).map(Self)
    }
}

impl fmt::Debug for VPage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "page {:#x}", self.0)
    }
}
