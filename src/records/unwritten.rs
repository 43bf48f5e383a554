//! Which pageblocks have records that have not been written yet.
//!
//! Memory that the kernel has mapped has any contents. To write all records at boot would take time
//! in proportion to memory, so that those of a pageblock (the states and the isolated bits of its
//! frames, its summary and its tree) are written when one of its frames is set to something else
//! than a tail. Until then they are not read: each frame of the pageblock counts as a
//! [`FrameState::TAIL`](crate::records::FrameState::TAIL) of no block, which is what a frame of
//! [deferred](crate::buddy) memory is, and no free block of it is on a list. The fast paths need no
//! check, because pages of an unwritten pageblock have no pcplist slot.
//!
//! The records are written with the zone locked, and the flag of the pageblock changes after them.
//! A reader of a state without the lock reads the flag first: the pair of a release and an acquire
//! makes the states that it reads then the written ones.

use core::ops::Range;

use crate::base::{Geometry, Order};
use crate::records::extent::Extent;
use crate::records::frame_index::FrameIndex;
use crate::records::pageblock_state::PageblockCell;

/// The flags of the pageblocks of boot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unwritten<'m> {
    /// Empty if all records have been written.
    pageblocks: &'m [PageblockCell],
    order: Order,
}

impl<'m> Unwritten<'m> {
    /// All records have been written, as in memory that is zeroed.
    pub(crate) const NONE: Self = Self { pageblocks: &[], order: Order::ZERO };

    /// Pageblocks whose flag may be set.
    pub(crate) fn new<G: Geometry>(pageblocks: &'m [PageblockCell]) -> Self {
        Self { pageblocks, order: G::PAGEBLOCK_ORDER }
    }

    /// Whether the state of the frame must not be read.
    #[inline(always)]
    pub(super) fn has(self, index: FrameIndex) -> bool {
        let number = index.number() >> (self.order.get() & 31);
        self.pageblocks.get(number as usize).is_some_and(PageblockCell::is_unwritten)
    }

    /// The number of frames from this one to the end of its pageblock, or more if all records have
    /// been written.
    pub(super) fn rest_of_pageblock(self, index: FrameIndex) -> usize {
        let pages = self.order.pages();
        if self.pageblocks.is_empty() { usize::MAX } else { pages - index.number() as usize % pages }
    }

    /// Whether both frames are in one pageblock, so that its flag is that of both.
    #[inline(always)]
    pub(super) fn of_one_pageblock(self, one: FrameIndex, other: FrameIndex) -> bool {
        (one.number() ^ other.number()) >> (self.order.get() & 31) == 0
    }

    /// Calls `write` for each unwritten pageblock of `part`, with its number and the indices of its
    /// frames. It is to write their records.
    pub(super) fn write(self, part: Extent, write: impl Fn(usize, Range<usize>)) {
        let (first, pages) = (part.first().number() as usize, self.order.pages());
        for number in first / pages..(first + part.frames().len()).div_ceil(pages) {
            let Some(pageblock) = self.pageblocks.get(number) else {
                return;
            };
            if pageblock.is_unwritten() {
                write(number, number * pages..(number + 1) * pages);
                pageblock.set_written();
            }
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::Unwritten;
    use crate::base::X86_64;
    use crate::records::{FrameIndex, PageblockCell};

    #[test]
    fn the_rest_of_a_pageblock_ends_with_it() {
        let cells = [PageblockCell::new(), PageblockCell::new()];
        let rest = |unwritten: Unwritten<'_>| {
            [0, 1, 511, 512, 513].map(|index| unwritten.rest_of_pageblock(FrameIndex::new(index)))
        };
        assert_eq!(rest(Unwritten::new::<X86_64>(&cells)), [512, 511, 1, 512, 511]);
        assert_eq!(rest(Unwritten::NONE), [usize::MAX; 5]);
    }
}
