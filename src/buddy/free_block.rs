//! A free block that is on no list: a linear token.

use crate::base::{Order, Pfn, PfnRange};

/// A block that is on no list and has no owner. It exists only while the zone is locked.
///
/// It is not `Clone`, and the functions that insert, split or allocate the block consume it, so
/// that the compiler warns if a block is neither counted nor owned.
#[must_use = "the block is on no list: insert or allocate it"]
#[derive(Debug)]
pub(crate) struct FreeBlock {
    pub(super) pfn: Pfn,
    pub(super) order: Order,
    /// Whether the host has taken back the memory of the block, and no part of it has been
    /// allocated since. Only of a block of at least the pageblock order.
    pub(super) reported: bool,
}

impl FreeBlock {
    /// A block that is not reported.
    pub(super) fn new(pfn: Pfn, order: Order) -> Self {
        Self { pfn, order, reported: false }
    }

    /// A block that its owner frees. Its state must change before the lock is dropped.
    pub(crate) fn from_owner(pfn: Pfn, order: Order) -> Self {
        Self::new(pfn, order)
    }

    pub(crate) fn pfn(&self) -> Pfn {
        self.pfn
    }

    pub(super) fn range(&self) -> PfnRange {
        self.order.block(self.pfn)
    }

    pub(super) fn halves(self) -> (Self, Self) {
        let order = self.order.down();
        (Self { order, ..self }, Self { pfn: self.pfn.up(order.pages()), order, ..self })
    }
}
