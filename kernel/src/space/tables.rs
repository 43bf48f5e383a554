//! The page tables of one address space: four levels, in unmovable pages of the allocator.
//!
//! The root is a copy of the kernel's, whose entries never change, plus one entry in the lower half
//! for the window of user pages. Entries are atomic, because the fault handler reads them while
//! they change.

use core::sync::atomic::{AtomicU64, Ordering};

use pageblock::{AllocError, AllocRequest, Order, Pfn};
use x86_64::registers::control::Cr3;
use x86_64::structures::paging::PageTableFlags as Flags;
use x86_64::structures::paging::PhysFrame;
use x86_64::structures::paging::page_table::PageTableLevel;

use crate::physical;
use crate::space::entry::Entry;
use crate::space::frame::{Words, copy, words, zero};
use crate::space::pages;
use crate::space::vpage::{VPage, WINDOW_SLOT};

/// Page tables, owned by their root frame.
#[derive(Debug)]
pub(super) struct Tables {
    root: Pfn,
}

impl Tables {
    /// Allocates tables with the kernel's entries and an empty window.
    pub(super) fn new() -> Result<Self, AllocError> {
        let root = pages::allocate(AllocRequest::unmovable())?;
        copy(words(pfn(physical::root::frame())), words(root));
        debug_assert_eq!(words(root)[WINDOW_SLOT].load(Ordering::Relaxed), 0);
        Ok(Self { root })
    }

    pub(super) fn root(&self) -> Pfn {
        self.root
    }

    /// The entry of `page`, if there is a lowest-level table for it.
    pub(super) fn entry(&self, page: VPage) -> Option<&'static AtomicU64> {
        find(self.root, page)
    }

    /// The entry of `page`. Allocates the tables that are missing.
    pub(super) fn entry_or_grow(&mut self, page: VPage) -> Result<&'static AtomicU64, AllocError> {
        let mut table = words(self.root);
        for level in [PageTableLevel::Four, PageTableLevel::Three, PageTableLevel::Two] {
            let slot = slot(table, page, level);
            let child = match child(slot) {
                Some(child) => child,
                None => {
                    let child = pages::allocate(AllocRequest::unmovable())?;
                    zero(words(child));
                    let flags = Flags::PRESENT | Flags::WRITABLE;
                    slot.store(child.start_address() | flags.bits(), Ordering::Release);
                    child
                }
            };
            table = words(child);
        }
        Ok(slot(table, page, PageTableLevel::One))
    }

    /// The entries of the block of `order` at `first`, which are in one table. Empty if that table
    /// is missing or the block would cross its end.
    pub(super) fn block(&self, first: VPage, order: Order) -> &'static [AtomicU64] {
        const { assert!(Entry::MAX_ORDER.pages() <= 512) };
        let start = index(first, PageTableLevel::One);
        let entries = lowest(self.root, first).and_then(|table| table.get(start..start + order.pages()));
        entries.unwrap_or_default()
    }

    /// Calls `f` on the first page and entry of every mapped block. `f` may clear entries.
    pub(super) fn for_each_block(&self, mut f: impl FnMut(VPage, Entry)) {
        let third = child(&words(self.root)[WINDOW_SLOT]);
        for (high, second) in children(third) {
            for (middle, first) in children(Some(second)) {
                for (low, entry) in words(first).iter().enumerate() {
                    let page = VPage::new((high << 18 | middle << 9 | low) as u32);
                    let entry = Entry::from_raw(entry.load(Ordering::Acquire));
                    if entry != Entry::EMPTY && page.head(entry.order()) == page {
                        f(page, entry);
                    }
                }
            }
        }
    }
}

impl Drop for Tables {
    /// Frees the tables. No page is mapped and they are not active on any CPU.
    fn drop(&mut self) {
        let third = child(&words(self.root)[WINDOW_SLOT]);
        for (_, second) in children(third) {
            for (_, first) in children(Some(second)) {
                debug_assert!(words(first).iter().all(|entry| entry.load(Ordering::Relaxed) == 0));
                pages::free(first, Order::ZERO);
            }
            pages::free(second, Order::ZERO);
        }
        if let Some(third) = third {
            pages::free(third, Order::ZERO);
        }
        pages::free(self.root, Order::ZERO);
    }
}

/// The entry of `page` below `root`, if there is a lowest-level table for it. Takes no lock.
pub(super) fn find(root: Pfn, page: VPage) -> Option<&'static AtomicU64> {
    Some(slot(lowest(root, page)?, page, PageTableLevel::One))
}

/// Turns the entries of a mapped block into migration entries.
pub(super) fn clear_present(block: &[AtomicU64]) {
    for entry in block {
        entry.fetch_and(!Entry::PRESENT, Ordering::SeqCst);
    }
}

/// The lowest-level table of `page`, if there is one.
fn lowest(root: Pfn, page: VPage) -> Option<&'static Words> {
    let mut table = words(root);
    for level in [PageTableLevel::Four, PageTableLevel::Three, PageTableLevel::Two] {
        table = words(child(slot(table, page, level))?);
    }
    Some(table)
}

/// The root that is loaded on this CPU.
pub(super) fn current_root() -> Pfn {
    pfn(Cr3::read().0)
}

fn pfn(frame: PhysFrame) -> Pfn {
    Pfn::containing(frame.start_address().as_u64())
}

fn slot(table: &'static Words, page: VPage, level: PageTableLevel) -> &'static AtomicU64 {
    &table[index(page, level)]
}

fn index(page: VPage, level: PageTableLevel) -> usize {
    usize::from(page.address().page_table_index(level))
}

fn child(slot: &AtomicU64) -> Option<Pfn> {
    let entry = Entry::from_raw(slot.load(Ordering::Acquire));
    (entry != Entry::EMPTY).then(|| entry.pfn())
}

fn children(table: Option<Pfn>) -> impl Iterator<Item = (usize, Pfn)> {
    let slots = table.map(words).into_iter().flatten().enumerate();
    slots.filter_map(|(index, slot)| Some((index, child(slot)?)))
}
