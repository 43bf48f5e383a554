//! The records of one pageblock, found at once: for code that frees many single pages.

use core::marker::PhantomData;

use crate::base::Geometry;
use crate::records::buddy_tree::BuddyTree;
use crate::records::cells::StateCell;
use crate::records::frame_index::FrameIndex;
use crate::records::frame_state::FrameState;
use crate::records::pageblock_state::StateBits;
use crate::sync::Ordering;

/// The records of one pageblock and of its frames, which have been written.
#[derive(Debug)]
pub(crate) struct PageblockRecords<'m, G> {
    pub(crate) bits: StateBits,
    pub(crate) tree: BuddyTree<'m, G>,
    pub(crate) frames: PageblockFrames<'m, G>,
}

/// The states of the frames of one pageblock.
#[derive(Debug)]
pub(crate) struct PageblockFrames<'m, G> {
    /// One for each frame.
    states: &'m [StateCell],
    geometry: PhantomData<fn() -> G>,
}

impl<'m, G: Geometry> PageblockFrames<'m, G> {
    pub(super) const COUNT: usize = 1 << G::PAGEBLOCK_ORDER.get();

    /// `states` are those of the frames of the pageblock.
    #[inline(always)]
    pub(super) fn new(states: &'m [StateCell]) -> Self {
        Self { states, geometry: PhantomData }
    }

    /// The same. Tells the compiler how many there are.
    #[inline(always)]
    pub(crate) fn whole(&self) -> Option<Self> {
        Some(Self::new(self.states.get(..Self::COUNT)?))
    }

    #[inline(always)]
    fn cell(&self, index: FrameIndex) -> Option<&StateCell> {
        self.states.get(index.number() as usize % Self::COUNT)
    }

    /// The state of a frame of the pageblock.
    #[inline(always)]
    pub(crate) fn state_at(&self, index: FrameIndex) -> FrameState {
        let bits = self.cell(index).map(|cell| cell.load(Ordering::Acquire));
        bits.map_or(FrameState::HOLE, FrameState::from_bits)
    }

    /// Stores the state of a frame of the pageblock, which no other CPU may change now.
    #[inline(always)]
    pub(crate) fn set_state_at(&self, index: FrameIndex, state: FrameState) {
        if let Some(cell) = self.cell(index) {
            cell.store(state.to_bits(), Ordering::Release);
        }
    }
}
