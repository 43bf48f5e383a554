//! The arrays of records that a set of frames has, at boot and when memory is added later: where
//! they are in the memory for the records. What else is in that memory comes before them.

use core::alloc::Layout;
use core::mem::MaybeUninit;

use crate::base::Geometry;
use crate::records::{
    BuddyTree, IsolatedFrames, PageblockCell, PageblockSummary, SiteCell, StateCell, TreeWord, WordCell,
};

/// The numbers of elements of the arrays.
pub(super) struct Lengths {
    pub(super) frames: usize,
    pub(super) pageblocks: usize,
    /// Words of the trees of all pageblocks.
    pub(super) trees: usize,
    /// Words for the bits of isolated frames.
    pub(super) isolated: usize,
}

/// The offset of each array in bytes, and the layout of the whole memory.
pub(super) struct Offsets {
    pub(super) all: Layout,
    summaries: usize,
    trees: usize,
    isolated: usize,
    words: usize,
    sites: usize,
    states: usize,
    pageblocks: usize,
}

/// The memory of each array.
pub(super) struct Arrays<'m> {
    pub(super) summaries: &'m mut [MaybeUninit<u8>],
    pub(super) trees: &'m mut [MaybeUninit<u8>],
    pub(super) isolated: &'m mut [MaybeUninit<u8>],
    pub(super) words: &'m mut [MaybeUninit<u8>],
    pub(super) sites: &'m mut [MaybeUninit<u8>],
    pub(super) states: &'m mut [MaybeUninit<u8>],
    pub(super) pageblocks: &'m mut [MaybeUninit<u8>],
}

impl Arrays<'_> {
    /// Zeroes the array that must start as zeroes; with `all`, also those that are written before
    /// they are read.
    pub(super) fn zero(&mut self, all: bool) {
        let zero = |array: &mut [MaybeUninit<u8>]| array.fill(MaybeUninit::new(0));
        zero(self.sites);
        if all {
            zero(self.summaries);
            zero(self.trees);
            zero(self.isolated);
            zero(self.words);
            zero(self.states);
        }
    }
}

impl Lengths {
    /// For `frames` frames, which are whole pageblocks.
    pub(super) const fn new<G: Geometry>(frames: usize) -> Self {
        let pageblocks = frames / G::PAGEBLOCK_ORDER.pages();
        let trees = pageblocks.saturating_mul(BuddyTree::<G>::WORDS);
        Self { frames, pageblocks, trees, isolated: IsolatedFrames::<G>::words(frames) }
    }

    /// The arrays, after memory of this layout; `None` if that is larger than any memory.
    pub(super) fn after(&self, before: Layout) -> Option<Offsets> {
        let (all, summaries) =
            before.extend(Layout::array::<PageblockSummary>(self.pageblocks).ok()?).ok()?;
        let (all, trees) = all.extend(Layout::array::<TreeWord>(self.trees).ok()?).ok()?;
        let (all, isolated) = all.extend(Layout::array::<WordCell>(self.isolated).ok()?).ok()?;
        let (all, words) = all.extend(Layout::array::<WordCell>(self.frames).ok()?).ok()?;
        let (all, sites) = all.extend(Layout::array::<SiteCell>(self.frames).ok()?).ok()?;
        let (all, states) = all.extend(Layout::array::<StateCell>(self.frames).ok()?).ok()?;
        let (all, pageblocks) = all.extend(Layout::array::<PageblockCell>(self.pageblocks).ok()?).ok()?;
        let all = all.pad_to_align();
        Some(Offsets { all, summaries, trees, isolated, words, sites, states, pageblocks })
    }
}

impl Offsets {
    /// Splits memory of the layout [`all`](Self::all) into what is before the arrays, and these.
    pub(super) fn split<'m>(
        &self,
        memory: &'m mut [MaybeUninit<u8>],
    ) -> (&'m mut [MaybeUninit<u8>], Arrays<'m>) {
        let (memory, pageblocks) = memory.split_at_mut(self.pageblocks);
        let (memory, states) = memory.split_at_mut(self.states);
        let (memory, sites) = memory.split_at_mut(self.sites);
        let (memory, words) = memory.split_at_mut(self.words);
        let (memory, isolated) = memory.split_at_mut(self.isolated);
        let (memory, trees) = memory.split_at_mut(self.trees);
        let (before, summaries) = memory.split_at_mut(self.summaries);
        (before, Arrays { summaries, trees, isolated, words, sites, states, pageblocks })
    }
}
