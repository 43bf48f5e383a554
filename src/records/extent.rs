//! An extent: a run of frames that have records.

use crate::base::{Pfn, PfnRange};
use crate::records::frame_index::FrameIndex;

/// A run of frames that have records: neighbours in memory, whose indices are neighbours too.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Extent {
    frames: PfnRange,
    first: FrameIndex,
}

impl Extent {
    /// `first` is the index of the first frame.
    pub(crate) const fn new(frames: PfnRange, first: FrameIndex) -> Self {
        Self { frames, first }
    }

    pub(crate) const fn frames(self) -> PfnRange {
        self.frames
    }

    /// The index of the first frame.
    pub(crate) const fn first(self) -> FrameIndex {
        self.first
    }

    #[inline(always)]
    pub(super) fn index_of(self, pfn: Pfn) -> Option<FrameIndex> {
        let offset = pfn.number().wrapping_sub(self.frames.start().number());
        (offset < self.frames.len()).then(|| self.first.up(offset as u32))
    }

    #[inline(always)]
    pub(super) fn pfn_of(self, index: FrameIndex) -> Option<Pfn> {
        let offset = index.number().wrapping_sub(self.first.number()) as usize;
        (offset < self.frames.len()).then(|| self.frames.start().up(offset))
    }

    /// The frames of `range` that are in the extent.
    pub(super) fn part(self, range: PfnRange) -> Self {
        let frames = self.frames.intersection(range);
        Self { frames, first: self.first.up(frames.start().offset_from(self.frames.start()) as u32) }
    }
}
