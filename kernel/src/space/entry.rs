//! A page table entry of a user page, and the software bits kept in it.
//!
//! Beside frame and flags an entry carries the order of the block it belongs to and the version of
//! the page's contents, in bits that the hardware leaves to software. A *migration entry* is the same
//! entry without its present bit: touching it faults, and the fault handler knows to wait. Pure;
//! neighbours: [`tables`](super::tables), [`address_space`](super::address_space).

use pageblock::{Order, Pfn};
use x86_64::structures::paging::PageTableFlags as Flags;

const FRAME_MASK: u64 = 0x000f_ffff_ffff_f000;
const ORDER_SHIFT: u32 = 9; // bits 9 to 11
const ORDER_MASK: u64 = 0b111;
const VERSION_SHIFT: u32 = 52; // bits 52 to 58
const VERSION_MASK: u64 = 0x7f;

/// The value of a lowest-level page table entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Entry(u64);

/// What an entry says about its page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum EntryState {
    /// Nothing is mapped.
    Empty,
    /// Present and accessible.
    Mapped,
    /// A page in flight from one frame to another.
    Migrating,
}

impl Entry {
    /// No page.
    pub(super) const EMPTY: Self = Self(0);
    /// The bit that tells a mapped page from one in flight.
    pub(super) const PRESENT: u64 = Flags::PRESENT.bits();
    /// The largest order a block of user pages may have.
    pub(crate) const MAX_ORDER: Order = Order::new(ORDER_MASK as u8);

    pub(super) const fn from_raw(raw: u64) -> Self {
        Self(raw)
    }

    pub(super) const fn raw(self) -> u64 {
        self.0
    }

    /// A writable page at `pfn`, part of a block of order `order`, with version 0 of its contents.
    pub(super) fn mapped(pfn: Pfn, order: Order) -> Self {
        let flags = Flags::PRESENT | Flags::WRITABLE | Flags::NO_EXECUTE;
        Self(pfn.start_address() | flags.bits() | u64::from(order.get()) << ORDER_SHIFT)
    }

    /// The same entry for a page that now lives in `pfn`, present.
    pub(super) fn moved_to(self, pfn: Pfn) -> Self {
        Self(self.0 & !FRAME_MASK | pfn.start_address() | Self::PRESENT)
    }

    /// The same entry with the next version of the contents.
    pub(super) fn next_version(self) -> Self {
        let version = (self.version() + 1) & VERSION_MASK;
        Self(self.0 & !(VERSION_MASK << VERSION_SHIFT) | version << VERSION_SHIFT)
    }

    pub(crate) fn state(self) -> EntryState {
        match self.0 {
            0 => EntryState::Empty,
            raw if raw & Self::PRESENT != 0 => EntryState::Mapped,
            _ => EntryState::Migrating,
        }
    }

    pub(crate) const fn pfn(self) -> Pfn {
        Pfn::containing(self.0 & FRAME_MASK)
    }

    pub(crate) const fn order(self) -> Order {
        Order::new((self.0 >> ORDER_SHIFT & ORDER_MASK) as u8)
    }

    pub(crate) const fn version(self) -> u64 {
        self.0 >> VERSION_SHIFT & VERSION_MASK
    }
}
