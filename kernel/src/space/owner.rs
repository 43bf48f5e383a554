//! The owner word of a movable page: how migration gets from a frame to the page table entry.
//!
//! Linux walks `page->mapping` and the reverse map; here every movable page has exactly one mapping,
//! and the word that the allocator keeps for each allocated block names it. Pure; neighbours:
//! [`address_space`](super::address_space), which writes it, and [`migrate`](super::migrate), which
//! reads it.

use super::VPage;

/// Which page of which life of which space a frame belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct OwnerWord {
    pub(super) slot: u16,
    pub(super) generation: u16,
    pub(super) page: VPage,
}

/// Top byte of the slot half; makes zero and most stray values invalid.
const TAG: u64 = 0xa5;
const SLOT_BITS: u32 = 8;

impl OwnerWord {
    /// How many slots a word can name.
    pub(super) const SLOTS: usize = 1 << SLOT_BITS;

    pub(super) fn encode(self) -> u64 {
        TAG << 56
            | u64::from(self.slot) << 48
            | u64::from(self.generation) << 32
            | u64::from(self.page.number())
    }

    /// The word's meaning, or `None` if no space wrote it.
    pub(super) fn decode(word: u64) -> Option<Self> {
        (word >> 56 == TAG).then_some(Self {
            slot: (word >> 48) as u16 & ((1 << SLOT_BITS) - 1),
            generation: (word >> 32) as u16,
            page: VPage::new(word as u32),
        })
    }
}
