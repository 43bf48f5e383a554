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

impl Found {
    /// The head of the block and its state; those of the frame if it is in no block.
    pub(crate) fn head(self, table: &FrameTable<'_>) -> (Pfn, FrameState) {
        self.block.unwrap_or_else(|| (self.pfn, table.state(self.pfn)))
    }
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
    /// Passes over blocks whose states are as `wanted`, which that of a frame in no block is not,
    /// up to one that is not, or for some other reason earlier.
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

    /// As [`pass_over`](Self::pass_over), for blocks that nothing keeps from becoming free.
    #[inline(always)]
    pub(crate) fn pass_over_movable(&mut self) {
        let (states, mut at) = (self.states, self.at);
        while let Some(cell) = states.get(at) {
            let state = FrameState::from_bits(cell.load(Ordering::Acquire));
            // First what there are most of.
            let pages = if state.is_movable_page() { 1 } else { state.pages_if_movable() };
            if pages == 0 {
                break;
            }
            at = at.wrapping_add(pages);
        }
        self.at = at;
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
        if self.first >= self.end {
            return Some(Found { pfn, block });
        }
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

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::Found;
    use crate::base::{AllocRequest, Geometry, Order, Pfn, PfnRange, X86_64};
    use crate::page_allocator::Tuning;
    use crate::page_allocator::testing::{Bare, machine};
    use crate::records::frame_state::FrameState;

    #[test]
    fn a_walk_finds_what_a_search_for_each_frame_finds() {
        // Only the first pageblocks are written.
        let machine = machine(Bare, 32 << 20, Tuning::default());
        let mut held = Vec::new();
        for n in 0..700 {
            let order = Order::new([0, 1, 0, 3][n % 4]);
            held.push((machine.alloc_pages(AllocRequest::movable().order(order)).unwrap(), order));
        }
        for (pfn, order) in held.into_iter().step_by(3) {
            machine.free_pages(pfn, order).unwrap();
        }
        machine.drain_all();
        let (frames, max) = (&machine.desc().frames, X86_64::MAX_ORDER);
        let (mut in_blocks, mut in_none) = (0, 0);
        let first = machine.span().start();
        for (from, pages) in [(0, 5000), (1, 1), (3, 600), (511, 2), (513, 4000), (1020, 3000), (4000, 0)] {
            let range = PfnRange::with_len(first.up(from), pages);
            let (mut walk, mut pfn) = (frames.blocks(range, max), range.start());
            while pfn < range.end() {
                let block = frames.head_of(pfn, max);
                assert_eq!(walk.next(), Some(Found { pfn, block }), "{range}");
                pfn = block.map_or(pfn.up(1), |(head, state)| state.order().block(head).end());
                *(if block.is_some() { &mut in_blocks } else { &mut in_none }) += 1;
            }
            assert_eq!(walk.next(), None, "{range}");
        }
        assert!(in_blocks > 500 && in_none > 500, "{in_blocks}, {in_none}");
    }

    #[test]
    fn a_walk_passes_over_what_is_wanted() {
        let machine = machine(Bare, 8 << 20, Tuning::default());
        let pages: Vec<Pfn> =
            (0..64).map(|_| machine.alloc_pages(AllocRequest::movable()).unwrap()).collect();
        let first = *pages.iter().min().unwrap();
        let other = first.up(40);
        machine.desc().frames.set_state(other, FrameState::guard(Order::ZERO));
        let range = PfnRange::with_len(first, 64);
        let mut walk = machine.desc().frames.blocks(range, X86_64::MAX_ORDER);
        assert_eq!(walk.next().map(|found| found.pfn), Some(first));
        walk.pass_over(FrameState::is_free_or_movable);
        assert_eq!(walk.next().map(|found| found.pfn), Some(other));
        walk.pass_over(FrameState::is_free_or_movable);
        assert_eq!(walk.next(), None);
        walk.skip_to(first.up(63));
        assert_eq!(walk.next().map(|found| found.pfn), Some(first.up(63)));
        assert_eq!(walk.next(), None);
    }
}
