//! Orders, and the buddy arithmetic on them.
//!
//! A block of order *n* has 2ⁿ page frames and starts at a multiple of 2ⁿ. Its buddy is the block
//! of the same order whose frame number differs in bit *n* only (`__find_buddy_pfn` in Linux;
//! Knuth, *The Art of Computer Programming* vol. 1, 2.5).

use core::fmt;

use crate::base::pfn::{Pfn, PfnRange};

/// The size of a block: order *n* is 2ⁿ page frames.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Order(u8);

impl Order {
    /// One page frame.
    pub const ZERO: Self = Self(0);
    /// The largest [`MAX_ORDER`](crate::Geometry::MAX_ORDER) that a geometry may have: 10.
    pub const LIMIT: Self = Self(10);
    /// The largest alignment that a range can have: physical addresses have 52 bits, frame numbers
    /// 40.
    pub(crate) const MAX_ALIGN: Self = Self(40);
    /// The number of orders from 0 to [`LIMIT`](Self::LIMIT).
    pub(crate) const COUNT: usize = Self::LIMIT.index() + 1;

    /// The order `n`. Every value is accepted here; an allocator refuses orders above its
    /// [`MAX_ORDER`](crate::Geometry::MAX_ORDER).
    #[must_use]
    pub const fn new(n: u8) -> Self {
        Self(n)
    }

    /// The smallest order whose block has at least `pages` frames: rounds up. 0 for 0 pages.
    #[must_use]
    pub const fn covering(pages: usize) -> Self {
        match pages.checked_next_power_of_two() {
            Some(rounded) => Self(rounded.trailing_zeros() as u8),
            None => Self(usize::BITS as u8),
        }
    }

    /// The exponent *n* of the 2ⁿ frames.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }

    /// The number of frames in a block of this order; `usize::MAX` if it would overflow.
    #[must_use]
    pub const fn pages(self) -> usize {
        match 1_usize.checked_shl(self.0 as u32) {
            Some(pages) => pages,
            None => usize::MAX,
        }
    }

    pub(crate) const fn index(self) -> usize {
        self.0 as usize
    }

    pub(crate) const fn up(self) -> Self {
        Self(self.0 + 1)
    }

    pub(crate) const fn down(self) -> Self {
        Self(self.0.saturating_sub(1))
    }

    /// Whether `pfn` is a multiple of the block size, so that a block may start there.
    #[must_use]
    pub const fn is_aligned(self, pfn: Pfn) -> bool {
        pfn.number() & (self.pages() - 1) == 0
    }

    /// The first frame of the block of this order that includes `pfn`.
    #[must_use]
    pub const fn align_down(self, pfn: Pfn) -> Pfn {
        Pfn::new(pfn.number() & !(self.pages() - 1))
    }

    /// The lowest frame at or above `pfn` at which a block of this order may start.
    #[must_use]
    pub const fn align_up(self, pfn: Pfn) -> Pfn {
        self.align_down(pfn.up(self.pages() - 1))
    }

    /// The first frame of the buddy of the block of this order at `pfn`.
    #[must_use]
    pub const fn buddy(self, pfn: Pfn) -> Pfn {
        Pfn::new(pfn.number() ^ self.pages())
    }

    /// The frames of the block of this order at `pfn`.
    #[must_use]
    pub const fn block(self, pfn: Pfn) -> PfnRange {
        PfnRange::with_len(pfn, self.pages())
    }

    pub(crate) fn up_to(self, last: Self) -> impl DoubleEndedIterator<Item = Self> {
        (self.0..=last.0).map(Self)
    }
}

impl fmt::Debug for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Order({})", self.0)
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "order {}", self.0)
    }
}

/// Splits a range into as few aligned blocks of at most order `max` as possible, lowest first.
pub(crate) fn aligned_blocks(range: PfnRange, max: Order) -> impl Iterator<Item = (Pfn, Order)> {
    let mut at = range.start();
    core::iter::from_fn(move || {
        let left = range.end().offset_from(at);
        if left == 0 {
            return None;
        }
        let fits = left.ilog2();
        let aligned = at.number().trailing_zeros();
        let order = Order(fits.min(aligned).min(u32::from(max.0)) as u8);
        let start = at;
        at = at.up(order.pages());
        Some((start, order))
    })
}

#[cfg(test)]
mod tests {
    use super::{Order, aligned_blocks};
    use crate::base::pfn::{Pfn, PfnRange};

    #[test]
    fn the_buddy_of_a_buddy_is_the_block_itself() {
        for n in 0..10 {
            let order = Order::new(n);
            let pfn = order.align_down(Pfn::new(0x5a5a5));
            assert_eq!(order.buddy(order.buddy(pfn)), pfn);
            assert_eq!(order.up().align_down(pfn), order.up().align_down(order.buddy(pfn)));
        }
    }

    #[test]
    fn covering_rounds_up_to_a_power_of_two() {
        assert_eq!(Order::covering(0), Order::ZERO);
        assert_eq!(Order::covering(1), Order::ZERO);
        assert_eq!(Order::covering(3), Order::new(2));
        assert_eq!(Order::covering(512), Order::new(9));
        assert_eq!(Order::covering(513), Order::new(10));
    }

    #[test]
    fn alignment_goes_down_and_up() {
        let order = Order::new(3);
        assert_eq!(order.align_down(Pfn::new(15)), Pfn::new(8));
        assert_eq!(order.align_up(Pfn::new(9)), Pfn::new(16));
        assert_eq!(order.align_up(Pfn::new(8)), Pfn::new(8));
        assert!(order.is_aligned(Pfn::new(8)) && !order.is_aligned(Pfn::new(12)));
    }

    #[test]
    fn aligned_blocks_cover_a_range_exactly() {
        for (start, end) in [(0, 1024), (1, 7), (5, 5), (511, 1537), (3, 4000)] {
            let range = PfnRange::new(Pfn::new(start), Pfn::new(end));
            let mut at = range.start();
            for (pfn, order) in aligned_blocks(range, Order::new(9)) {
                assert_eq!(pfn, at);
                assert!(order.is_aligned(pfn) && order <= Order::new(9));
                at = order.block(pfn).end();
            }
            assert_eq!(at, range.end());
        }
    }

    #[test]
    fn the_size_of_a_huge_order_saturates() {
        assert_eq!(Order::new(200).pages(), usize::MAX);
    }
}
