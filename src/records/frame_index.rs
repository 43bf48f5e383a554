//! The index of a frame: its place in the arrays of records.

use core::fmt;

use crate::base::Order;

/// The index of a frame that has a record, or [`NONE`](Self::NONE).
///
/// Indices are dense: only frames with records have one. Within an
/// [extent](crate::records::Extent) neighbouring frames have neighbouring indices, and every extent
/// begins at a multiple of the largest block and of the pageblock, in frame numbers and in indices.
/// So the buddies, the blocks and the pageblocks of indices are those of frame numbers.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct FrameIndex(u32);

impl FrameIndex {
    pub(crate) const NONE: Self = Self(u32::MAX);

    /// The most frames that can have an index: 16 TiB of memory.
    pub(crate) const LIMIT: usize = Self::NONE.0 as usize - 1;

    #[inline(always)]
    pub(crate) const fn new(number: u32) -> Self {
        Self(number)
    }

    #[inline(always)]
    pub(crate) const fn number(self) -> u32 {
        self.0
    }

    /// The index of the buddy of the block of this order here.
    #[inline(always)]
    pub(crate) const fn buddy(self, order: Order) -> Self {
        Self(self.0 ^ 1_u32.wrapping_shl(order.get() as u32))
    }

    /// The head of the smallest block that includes this frame and does not begin with it. It is
    /// not 0.
    #[inline(always)]
    pub(crate) const fn next_head(self) -> Self {
        Self(self.0 & self.0.wrapping_sub(1))
    }

    /// The index of the first frame of the block of this order that includes this frame.
    #[inline(always)]
    pub(crate) const fn align_down(self, order: Order) -> Self {
        Self(self.0 & u32::MAX.wrapping_shl(order.get() as u32))
    }

    #[inline(always)]
    pub(crate) const fn up(self, frames: u32) -> Self {
        Self(self.0.wrapping_add(frames))
    }

    /// The largest order of a block that may start here.
    #[inline(always)]
    pub(crate) const fn alignment(self) -> Order {
        Order::new(self.0.trailing_zeros() as u8)
    }

    #[inline(always)]
    pub(crate) const fn is_none(self) -> bool {
        self.0 == Self::NONE.0
    }
}

impl fmt::Debug for FrameIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_none() { f.write_str("-") } else { write!(f, "#{}", self.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::FrameIndex;
    use crate::base::Order;

    #[test]
    fn a_block_is_the_buddy_of_its_buddy() {
        for (low, high, order) in [(0, 1, 0), (4, 6, 1), (8, 12, 2)] {
            let [low, high] = [low, high].map(FrameIndex::new);
            assert_eq!((low.buddy(Order::new(order)), high.buddy(Order::new(order))), (high, low));
        }
    }
}
