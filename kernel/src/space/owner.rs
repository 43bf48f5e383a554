//! The owner word of a movable page, by which migration finds the page table entry of a frame.
//!
//! Linux uses `page->mapping` and the reverse map for this. Here every movable page has exactly one
//! mapping, and the owner word that the allocator stores for each allocated block names it.

use crate::space::vpage::VPage;

/// The address space of a frame, by slot and generation, and its page there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct OwnerWord {
    pub(super) slot: u16,
    pub(super) generation: u16,
    pub(super) page: VPage,
}

/// The top byte of the word. It makes zero and most accidental values invalid.
const TAG: u64 = 0xa5;
const SLOT_BITS: u32 = 8;

impl OwnerWord {
    /// The number of slots that a word can name.
    pub(super) const SLOTS: usize = 1 << SLOT_BITS;

    pub(super) fn encode(self) -> u64 {
        TAG << 56
            | u64::from(self.slot) << 48
            | u64::from(self.generation) << 32
            | u64::from(self.page.number())
    }

    /// Decodes `word`, or returns `None` if no space wrote it.
    pub(super) fn decode(word: u64) -> Option<Self> {
        (word >> 56 == TAG).then_some(Self {
            slot: (word >> 48) as u16 & ((1 << SLOT_BITS) - 1),
            generation: (word >> 32) as u16,
            page: VPage::new(word as u32),
        })
    }
}
