//! The hot slot of a list: the block that was freed last, outside the list's array.
//!
//! A page that is freed and then allocated again changes no length and waits for none: that halves
//! the instructions, and shortens the chain of loads that wait for stores. Only lists of single
//! pages have one: requests of mixed orders would find it empty or not at random, and a
//! mispredicted branch costs more than it saves.

use crate::pcp::biased_lock::REVOKED;
use crate::records::FrameIndex;
use crate::sync::{Ordering, PlainU32};

const EMPTY: u32 = 0;
/// The list may hold no block. The same value as [`REVOKED`], so that one check finds either.
const CLOSED: u32 = REVOKED;

/// The stored slot: [`EMPTY`], [`CLOSED`], or one more than the index of a block.
#[derive(Debug)]
pub(super) struct HotSlot(PlainU32);

/// What a free found in a hot slot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HotBlock(u32);

impl HotSlot {
    /// The slot of a list that may hold no block.
    pub(super) fn closed() -> Self {
        Self(PlainU32::new(CLOSED))
    }

    #[inline(always)]
    fn load(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    /// The block in the slot.
    #[inline(always)]
    pub(super) fn block(&self) -> Option<FrameIndex> {
        let stored = self.load();
        (stored != EMPTY && stored != CLOSED).then(|| FrameIndex::new(stored - 1))
    }

    /// The block in the slot, unless access is revoked. An index beyond every table if the list is
    /// closed, so that the caller's lookup fails. `revoked` is that of the lock.
    #[inline(always)]
    pub(super) fn block_unless_revoked(&self, revoked: u32) -> Option<FrameIndex> {
        let stored = self.load();
        // One comparison for both: `revoked` is zero, or larger than anything.
        (stored > revoked).then(|| FrameIndex::new(stored.wrapping_sub(1)))
    }

    /// What is in the slot; closed if access is revoked.
    #[inline(always)]
    pub(super) fn read(&self, revoked: u32) -> HotBlock {
        HotBlock(self.load() | revoked)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.load() == EMPTY
    }

    pub(super) fn is_closed(&self) -> bool {
        self.load() == CLOSED
    }

    #[inline(always)]
    pub(super) fn set(&self, index: FrameIndex) {
        self.0.store(index.number().wrapping_add(1), Ordering::Relaxed);
    }

    #[inline(always)]
    pub(super) fn clear(&self) {
        self.0.store(EMPTY, Ordering::Relaxed);
    }

    /// Closes the slot if it is empty, or opens it if it is closed.
    pub(super) fn set_closed(&self, closed: bool) {
        match (closed, self.load()) {
            (true, EMPTY) => self.0.store(CLOSED, Ordering::Relaxed),
            (false, CLOSED) => self.clear(),
            _ => {}
        }
    }
}

impl HotBlock {
    #[inline(always)]
    pub(crate) fn is_empty(self) -> bool {
        self.0 == EMPTY
    }

    /// The block. `None` if the list is closed, or if access was revoked when the slot was read (it
    /// may be resumed by now).
    #[inline(always)]
    pub(crate) fn block(self) -> Option<FrameIndex> {
        (self.0 != CLOSED).then(|| FrameIndex::new(self.0.wrapping_sub(1)))
    }
}
