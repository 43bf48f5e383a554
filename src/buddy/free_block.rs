//! The token of a free block that is on no list.

use crate::base::{Order, Pfn, PfnRange};

/// A block that is on no list and has no owner, while the zone's lock is held.
///
/// Not `Clone`, and consumed by whatever inserts, splits or hands out the block: a block that is
/// neither counted nor owned cannot be dropped without a warning of the compiler.
#[must_use = "the block is on no list: insert it or hand it out"]
#[derive(Debug)]
pub(crate) struct FreeBlock {
    pub(super) pfn: Pfn,
    pub(super) order: Order,
}

impl FreeBlock {
    /// The block that its last owner gave up (its state says so, or will before the lock is
    /// dropped).
    pub(crate) fn from_owner(pfn: Pfn, order: Order) -> Self {
        Self { pfn, order }
    }

    pub(crate) fn pfn(&self) -> Pfn {
        self.pfn
    }

    pub(super) fn range(&self) -> PfnRange {
        self.order.block(self.pfn)
    }

    /// The lower and the upper half.
    pub(super) fn halves(self) -> (Self, Self) {
        let order = self.order.down();
        (Self { pfn: self.pfn, order }, Self { pfn: self.pfn.up(order.pages()), order })
    }
}
