//! The free blocks within one pageblock: a list for each order below the pageblock's.
//!
//! Linux keeps a zone's free blocks in one list for each order and type. Here the blocks within a pageblock are kept with the
//! pageblock, and the pageblocks on [shelves](crate::buddy) by how full they are: a request is then served from the fullest
//! one that can serve it, and the emptier ones get a chance to become free as a whole. A buddy that is merged lies in the same
//! pageblock, so that one of these records, a cache line, is all that a free or an allocation looks at besides the frames.
//!
//! Part of the metadata that the caller provides; zeroes are a pageblock without free blocks. Written with the zone locked.
//! Neighbours: [`frame`](crate::frame) holds the links, [`buddy`](crate::buddy) decides what goes where.

use crate::frame::{FrameIndex, FrameTable, Links};
use crate::order::Order;
use crate::sync::{Ordering, PlainU32};

/// The record of one pageblock.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct BlockArea {
    /// The first block of each order whose bit is set in `orders`.
    heads: [PlainU32; Order::LIMIT.index() + 1],
    /// Of which orders there are blocks.
    orders: PlainU32,
    /// Pages on the lists.
    pages: PlainU32,
    pub(crate) shelf: PlainU32,
    /// The pageblocks beside this one on its shelf.
    pub(crate) next: PlainU32,
    pub(crate) prev: PlainU32,
}

const _: () = assert!(size_of::<BlockArea>() == 64);

impl BlockArea {
    pub(crate) fn new() -> Self {
        let zero = || PlainU32::new(0);
        Self {
            heads: core::array::from_fn(|_| zero()),
            orders: zero(),
            pages: zero(),
            shelf: zero(),
            next: zero(),
            prev: zero(),
        }
    }

    /// Of which orders there are blocks: bit *n* for order *n*.
    #[inline(always)]
    pub(crate) fn orders(&self) -> u32 {
        self.orders.load(Ordering::Relaxed)
    }

    /// Pages on the lists.
    #[inline(always)]
    pub(crate) fn pages(&self) -> u32 {
        self.pages.load(Ordering::Relaxed)
    }

    #[inline(always)]
    fn head(&self, order: Order) -> FrameIndex {
        self.heads
            .get(order.index())
            .map_or(FrameIndex::NONE, |head| FrameIndex::new(head.load(Ordering::Relaxed)))
    }

    #[inline(always)]
    fn set_head(&self, order: Order, index: FrameIndex) {
        if let Some(head) = self.heads.get(order.index()) {
            head.store(index.number(), Ordering::Relaxed);
        }
    }

    /// The first block of an order.
    #[inline(always)]
    pub(crate) fn first(&self, order: Order) -> Option<FrameIndex> {
        (self.orders() >> order.get() & 1 != 0).then(|| self.head(order))
    }

    /// Puts a block that is on no list on its order's.
    #[inline(always)]
    pub(crate) fn push(&self, frames: &FrameTable<'_>, order: Order, index: FrameIndex) {
        let next = self.first(order).unwrap_or(FrameIndex::NONE);
        frames.set_links(index, Links { next, prev: FrameIndex::NONE });
        if !next.is_none() {
            frames.set_prev(next, index);
        }
        self.set_head(order, index);
        self.orders.store(self.orders() | 1 << order.get(), Ordering::Relaxed);
        self.pages.store(self.pages().wrapping_add(1 << order.get()), Ordering::Relaxed);
    }

    /// Takes a block off its order's list, which it must be on.
    #[inline(always)]
    pub(crate) fn remove(&self, frames: &FrameTable<'_>, order: Order, index: FrameIndex) {
        let Links { next, prev } = frames.links(index);
        if !next.is_none() {
            frames.set_prev(next, prev);
        }
        if !prev.is_none() {
            frames.set_next(prev, next);
        } else if next.is_none() {
            self.orders.store(self.orders() & !(1 << order.get()), Ordering::Relaxed);
        } else {
            self.set_head(order, next);
        }
        self.pages.store(self.pages().wrapping_sub(1 << order.get()), Ordering::Relaxed);
    }

    /// The blocks of one order, as the links tell it; at most `limit` of them, so that a damaged list ends the walk.
    pub(crate) fn blocks(
        &self,
        frames: &FrameTable<'_>,
        order: Order,
        limit: usize,
    ) -> impl Iterator<Item = FrameIndex> {
        let mut at = self.first(order).unwrap_or(FrameIndex::NONE);
        core::iter::from_fn(move || {
            let index = at;
            (!index.is_none()).then(|| {
                at = frames.next(index);
                index
            })
        })
        .take(limit)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::BlockArea;
    use crate::frame::FrameIndex;
    use crate::frame::testing::Arrays;
    use crate::order::Order;

    #[test]
    fn a_block_leaves_from_any_place() {
        let arrays = Arrays::new(16);
        let frames = arrays.table(0);
        let order = Order::new(1);
        for gone in [2, 4, 6] {
            let area = BlockArea::new();
            for n in [2, 4, 6] {
                area.push(&frames, order, FrameIndex::new(n));
            }
            assert_eq!((area.orders(), area.pages()), (1 << 1, 6));
            area.remove(&frames, order, FrameIndex::new(gone));
            let left: Vec<_> = area.blocks(&frames, order, 9).map(FrameIndex::number).collect();
            let expected: Vec<_> = [6, 4, 2].into_iter().filter(|n| *n != gone).collect();
            assert_eq!((left, area.pages()), (expected, 4));
        }
    }

    #[test]
    fn the_last_block_leaves_no_order_behind() {
        let arrays = Arrays::new(4);
        let frames = arrays.table(0);
        let area = BlockArea::new();
        area.push(&frames, Order::ZERO, FrameIndex::new(0));
        area.push(&frames, Order::new(1), FrameIndex::new(2));
        area.remove(&frames, Order::ZERO, FrameIndex::new(0));
        assert_eq!((area.first(Order::ZERO), area.first(Order::new(1))), (None, Some(FrameIndex::new(2))));
        assert_eq!((area.orders(), area.pages()), (0b10, 2));
    }

    #[test]
    fn a_walk_of_a_damaged_list_ends() {
        let arrays = Arrays::new(4);
        let frames = arrays.table(0);
        let area = BlockArea::new();
        area.push(&frames, Order::ZERO, FrameIndex::new(1));
        frames.set_next(FrameIndex::new(1), FrameIndex::new(1));
        assert_eq!(area.blocks(&frames, Order::ZERO, 5).count(), 5);
    }
}
