//! Free places of a pcplist, which the buddy system fills with the blocks of a refill.

use crate::records::frame_index::FrameIndex;
use crate::sync::{Ordering, PlainU32};

/// Free places of a list of blocks. They are filled from the last to the first, which is at the top
/// of the list: the block that is put first is popped first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FreePlaces<'a>(&'a [PlainU32]);

impl<'a> FreePlaces<'a> {
    pub(crate) fn new(places: &'a [PlainU32]) -> Self {
        Self(places)
    }

    /// The number of places that are free still.
    #[inline(always)]
    pub(crate) fn len(self) -> u32 {
        self.0.len() as u32
    }

    /// Takes the next `count` places, in the order in which they are to be filled, or all if there
    /// are fewer.
    #[inline(always)]
    pub(crate) fn take(&mut self, count: u32) -> impl ExactSizeIterator<Item = FreePlace<'a>> + use<'a> {
        let rest = self.0.len().saturating_sub(count as usize);
        let (left, taken) = self.0.split_at_checked(rest).unwrap_or((&[], self.0));
        self.0 = left;
        taken.iter().rev().map(FreePlace)
    }

    /// Fills the next place, if there is one.
    pub(crate) fn put(&mut self, index: FrameIndex) {
        self.take(1).for_each(|place| place.fill(index));
    }
}

/// A place that is to be filled.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FreePlace<'a>(&'a PlainU32);

impl FreePlace<'_> {
    #[inline(always)]
    pub(crate) fn fill(self, index: FrameIndex) {
        self.0.store(index.number(), Ordering::Relaxed);
    }
}
