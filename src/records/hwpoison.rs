//! The marks of bad frames in allocated blocks.
//!
//! A bad frame of an allocated block has a mark in its own state, whether it is the head or a tail,
//! and the head has a note that there is one. Marks are made, moved to other heads and evaluated
//! with the zone locked.

use crate::base::{Pfn, PfnRange};
use crate::records::frame_state::FrameState;
use crate::records::frame_table::FrameTable;

impl FrameTable<'_> {
    /// The first frame of `range` that is marked as bad.
    pub(crate) fn first_marked_bad(&self, range: PfnRange) -> Option<Pfn> {
        range.iter().find(|pfn| self.state(*pfn).is_marked_bad())
    }

    /// `state`, for the head at `pfn` of a part of an allocated block, with the note and the mark
    /// that it needs.
    pub(crate) fn with_marks(&self, pfn: Pfn, state: FrameState) -> FrameState {
        if self.first_marked_bad(state.order().block(pfn)).is_none() {
            return state;
        }
        let noted = state.with_bad();
        if self.state(pfn).is_marked_bad() { noted.marked_bad() } else { noted }
    }

    /// Marks a frame of the allocated block at `head` as bad. Returns the new state of the head.
    ///
    /// No other CPU may free the block meanwhile: its zone is locked, and no pcplist takes it.
    pub(crate) fn mark_bad(&self, pfn: Pfn, head: Pfn) -> FrameState {
        if pfn != head {
            self.set_state(pfn, FrameState::TAIL.marked_bad());
        }
        loop {
            let state = self.state(head);
            let noted = if pfn == head { state.with_bad().marked_bad() } else { state.with_bad() };
            // Its owner or a migration may change the migration state.
            if self.exchange(head, state, noted).is_ok() {
                return noted;
            }
        }
    }
}
