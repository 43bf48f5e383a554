//! The hot slot of a list: the block that was freed last, outside the array of the list.
//!
//! A page that is freed and soon allocated again does not change the length of the list. That
//! halves the instructions, and shortens the chain of loads that depend on recent stores. Only
//! lists of order 0 have a hot slot: requests of mixed orders would find it empty or not at random,
//! and a mispredicted branch costs more than the slot saves.

use crate::pcp::biased_lock::REVOKED;
use crate::records::FrameIndex;
use crate::sync::{Ordering, PlainU32};

const EMPTY: u32 = 0;
/// The list is disabled. The same value as [`REVOKED`], so that one check finds either.
const CLOSED: u32 = REVOKED;

/// The hot slot of a list: [`EMPTY`], [`CLOSED`], or the index of a block plus 1.
#[derive(Debug)]
pub(super) struct HotSlot(PlainU32);

/// The contents of a hot slot, as a free read them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HotBlock(u32);

impl HotSlot {
    pub(super) fn closed() -> Self {
        Self(PlainU32::new(CLOSED))
    }

    #[inline(always)]
    fn load(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    #[inline(always)]
    pub(super) fn block(&self) -> Option<FrameIndex> {
        let stored = self.load();
        (stored != EMPTY && stored != CLOSED).then(|| FrameIndex::new(stored - 1))
    }

    /// The block in the slot, unless access is revoked. If the slot is closed, an index beyond
    /// every table, so that the caller's lookup fails. `revoked` is the word of the lock.
    #[inline(always)]
    pub(super) fn block_unless_revoked(&self, revoked: u32) -> Option<FrameIndex> {
        let stored = self.load();
        // One comparison for both, because `revoked` is 0 or larger than any index.
        (stored > revoked).then(|| FrameIndex::new(stored.wrapping_sub(1)))
    }

    /// The contents of the slot; `CLOSED` if access is revoked.
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

    /// Closes the slot if it is empty, or empties it if it is closed.
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

    /// The block; `None` if the slot was closed or access was revoked when it was read.
    #[inline(always)]
    pub(crate) fn block(self) -> Option<FrameIndex> {
        (self.0 != CLOSED).then(|| FrameIndex::new(self.0.wrapping_sub(1)))
    }
}
