//! A page table entry of a user page, with software bits.
//!
//! Beside the frame and the flags, an entry holds the order of the page's block and the version of
//! the page's contents, in bits that the hardware ignores. A *migration entry* is the same entry
//! without its present bit: an access faults, and the fault handler waits for the migration.

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

/// The state of the page that an entry describes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum EntryState {
    /// Nothing is mapped.
    Empty,
    /// Present and accessible.
    Mapped,
    /// Under migration to another frame: a migration entry.
    Migrating,
}

impl Entry {
    /// An entry without a page.
    pub(super) const EMPTY: Self = Self(0);
    /// The bit that a migration entry lacks.
    pub(super) const PRESENT: u64 = Flags::PRESENT.bits();
    /// The largest order of a block of user pages.
    pub(crate) const MAX_ORDER: Order = Order::new(ORDER_MASK as u8);

    pub(super) const fn from_raw(raw: u64) -> Self {
        Self(raw)
    }

    pub(super) const fn raw(self) -> u64 {
        self.0
    }

    /// A writable page in the frame `pfn`, part of a block of `order`, with contents of version 0.
    pub(super) fn mapped(pfn: Pfn, order: Order) -> Self {
        let flags = Flags::PRESENT | Flags::WRITABLE | Flags::NO_EXECUTE;
        Self(pfn.start_address() | flags.bits() | u64::from(order.get()) << ORDER_SHIFT)
    }

    /// The same entry with the frame `pfn`, present.
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
