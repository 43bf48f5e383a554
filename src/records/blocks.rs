//! Walks the blocks of a range of frames.
//!
//! Mostly a block begins where the one before ends, and the records there are known to be written,
//! because those before in the same pageblock are. That takes one read of a state for each block.
//! Otherwise the block is searched as that of any frame is.

use crate::base::{Order, Pfn, PfnRange};
use crate::records::cells::StateCell;
use crate::records::frame_state::FrameState;
use crate::records::frame_table::FrameTable;
use crate::sync::Ordering;

/// A frame, and the block that includes it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Found {
    /// The first frame of the walk's range that is in the block.
    pub(crate) pfn: Pfn,
    /// The head of the block and its state; `None` if the frame is in no block.
    pub(crate) block: Option<(Pfn, FrameState)>,
}

/// An iterator over the blocks of a range, in ascending order, each as
/// [`FrameTable::head_of`] finds it.
pub(crate) struct Blocks<'t, 'm> {
    table: &'t FrameTable<'m>,
    /// The states of frames from `first` on, all of which are written.
    states: &'m [StateCell],
    first: Pfn,
    /// The number of frames from `first` to the next block.
    at: usize,
    /// The end of the range.
    end: Pfn,
    max: Order,
}

impl<'m> FrameTable<'m> {
    /// The blocks that include frames of `range`, whose orders are at most `max`.
    pub(crate) fn blocks(&self, range: PfnRange, max: Order) -> Blocks<'_, 'm> {
        Blocks { table: self, states: &[], first: range.start(), at: 0, end: range.end(), max }
    }
}

impl Blocks<'_, '_> {
    /// Passes over blocks whose states are as `wanted`, which that of a frame in no block is not, up
    /// to one that is not, or for some other reason earlier.
    #[inline(always)]
    pub(crate) fn pass_over(&mut self, mut wanted: impl FnMut(FrameState) -> bool) {
        while let Some(cell) = self.states.get(self.at) {
            let state = FrameState::from_bits(cell.load(Ordering::Acquire));
            if !wanted(state) {
                break;
            }
            self.at = self.at.wrapping_add(state.pages_of_head());
        }
    }

    /// Passes over the frames below `pfn`, which is not below those that were visited.
    pub(crate) fn skip_to(&mut self, pfn: Pfn) {
        (self.states, self.first, self.at) = (&[], pfn, 0);
    }

    /// The block of the next frame, which may be in the middle of it, or in none.
    #[inline(never)]
    fn search(&mut self) -> Option<Found> {
        let pfn = self.first.up(self.at);
        if pfn >= self.end {
            return None;
        }
        let block = self.table.head_of(pfn, self.max);
        self.skip_to(block.map_or(pfn.up(1), |(head, state)| state.order().block(head).end()));
        let unwritten = self.table.unwritten();
        let next = self.table.checked_index_of(self.first);
        if let Some(index) = next.filter(|index| !unwritten.has(*index)) {
            let end = self.first.up(unwritten.rest_of_pageblock(index)).min(self.end);
            let parts = self.table.extents().parts(PfnRange::new(self.first, end));
            self.states = parts.map(|part| self.table.states_of(part)).next().unwrap_or(&[]);
        }
        Some(Found { pfn, block })
    }
}

impl Iterator for Blocks<'_, '_> {
    type Item = Found;

    #[inline(always)]
    fn next(&mut self) -> Option<Found> {
        if let Some(cell) = self.states.get(self.at) {
            let state = FrameState::from_bits(cell.load(Ordering::Acquire));
            if state.is_head() {
                let pfn = Pfn::new(self.first.number().wrapping_add(self.at));
                self.at = self.at.wrapping_add(state.pages_of_head());
                return Some(Found { pfn, block: Some((pfn, state)) });
            }
        }
        self.search()
    }
}
