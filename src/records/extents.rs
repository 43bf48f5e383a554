//! The extents: which frames have records, and the index of each.
//!
//! Physical memory has holes, some of them larger than all memory. A frame of a hole has no record
//! and no index, so that records cost what memory costs and not what its addresses span (as the
//! sections of `CONFIG_SPARSEMEM` in Linux). An [`Extent`] is a run of frames that have records.
//!
//! The largest extent, the *main* one, has the indices from 0 on. A frame of it is found with one
//! subtraction and one comparison, which is also the bounds check; the fast paths handle no other.
//! Any other extent is found by a binary search.

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
    fn index_of(self, pfn: Pfn) -> Option<FrameIndex> {
        let offset = pfn.number().wrapping_sub(self.frames.start().number());
        (offset < self.frames.len()).then(|| self.first.up(offset as u32))
    }

    #[inline(always)]
    fn pfn_of(self, index: FrameIndex) -> Option<Pfn> {
        let offset = index.number().wrapping_sub(self.first.number()) as usize;
        (offset < self.frames.len()).then(|| self.frames.start().up(offset))
    }

    /// The frames of `range` that are in the extent.
    fn part(self, range: PfnRange) -> Self {
        let frames = self.frames.intersection(range);
        Self { frames, first: self.first.up(frames.start().offset_from(self.frames.start()) as u32) }
    }
}

/// All extents.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extents<'m> {
    /// The first frame of the main extent, whose index is 0.
    base: Pfn,
    /// The number of frames of the main extent.
    len: u32,
    /// The others, in ascending order of frames and of indices.
    others: &'m [Extent],
}

impl<'m> Extents<'m> {
    /// `main` has the index 0; `others` are in ascending order of frames and of indices.
    pub(crate) fn new(main: PfnRange, others: &'m [Extent]) -> Self {
        assert!(others.is_sorted_by(|low, high| {
            low.frames.end() <= high.frames.start() && low.first.number() < high.first.number()
        }));
        let extents = Self { base: main.start(), len: main.len() as u32, others };
        assert!(
            extents.len() <= FrameIndex::LIMIT && main.len() == extents.len as usize,
            "all have an index"
        );
        extents
    }

    /// The number of frames that have records.
    pub(crate) fn len(&self) -> usize {
        self.len as usize + self.others.iter().map(|other| other.frames.len()).sum::<usize>()
    }

    /// The number of frames of the main extent.
    #[inline(always)]
    pub(crate) const fn main_len(&self) -> u32 {
        self.len
    }

    fn main(&self) -> Extent {
        Extent::new(PfnRange::with_len(self.base, self.len as usize), FrameIndex::new(0))
    }

    /// The index of `pfn`, if that is in the main extent.
    #[inline(always)]
    pub(crate) fn main_index_of(&self, pfn: Pfn) -> Option<FrameIndex> {
        let number = pfn.number().wrapping_sub(self.base.number());
        (number < self.len as usize).then(|| FrameIndex::new(number as u32))
    }

    /// The frame of an index of the main extent.
    #[inline(always)]
    pub(crate) fn main_pfn(&self, index: FrameIndex) -> Pfn {
        Pfn::new(self.base.number().wrapping_add(index.number() as usize))
    }

    /// The index of `pfn`; `None` if it has no record.
    #[inline(always)]
    pub(crate) fn index_of(&self, pfn: Pfn) -> Option<FrameIndex> {
        match self.main_index_of(pfn) {
            None => self.other_index_of(pfn),
            found => found,
        }
    }

    #[cold]
    #[inline(never)]
    fn other_index_of(&self, pfn: Pfn) -> Option<FrameIndex> {
        let at = self.others.partition_point(|extent| extent.frames.end() <= pfn);
        self.others.get(at)?.index_of(pfn)
    }

    /// The frame of an index. An index that no frame has gives a frame that has no record, or
    /// another index.
    #[inline(always)]
    pub(crate) fn pfn(&self, index: FrameIndex) -> Pfn {
        if index.number() < self.len { self.main_pfn(index) } else { self.other_pfn(index) }
    }

    #[cold]
    #[inline(never)]
    fn other_pfn(&self, index: FrameIndex) -> Pfn {
        let at = self.others.partition_point(|extent| extent.first.number() <= index.number());
        let found = at.checked_sub(1).and_then(|at| self.others.get(at)?.pfn_of(index));
        found.unwrap_or(self.main_pfn(index))
    }

    /// The lowest extent that ends above `pfn`.
    fn next(&self, pfn: Pfn) -> Option<Extent> {
        let at = self.others.partition_point(|extent| extent.frames.end() <= pfn);
        let main = Some(self.main()).filter(|main| main.frames.end() > pfn);
        lower(main, self.others.get(at).copied())
    }

    /// The parts of `range` that have records, in ascending order: at most one for each extent.
    pub(crate) fn parts(self, range: PfnRange) -> impl Iterator<Item = Extent> + use<'m> {
        let mut from = range.start();
        core::iter::from_fn(move || {
            let part = self.next(from)?.part(PfnRange::new(from, range.end()));
            from = part.frames.end();
            (!part.frames.is_empty()).then_some(part)
        })
    }

    /// The parts of `range` that have records, in ascending order, each as long as possible: parts
    /// of extents that touch are joined.
    pub(crate) fn runs(self, range: PfnRange) -> impl Iterator<Item = PfnRange> + use<'m> {
        let mut from = range.start();
        core::iter::from_fn(move || {
            let start = self.next(from)?.frames.start().max(from);
            let run = PfnRange::new(start, self.end_of_run(start, range.end()));
            from = run.end();
            (!run.is_empty()).then_some(run)
        })
    }

    /// The first frame from `from` on that has no record, or `limit` if that is lower.
    fn end_of_run(&self, from: Pfn, limit: Pfn) -> Pfn {
        let mut at = from;
        while at < limit
            && let Some(extent) = self.next(at).filter(|extent| extent.frames.start() <= at)
        {
            at = extent.frames.end();
        }
        at.min(limit)
    }

    /// The first frame of `range` that has no record.
    pub(crate) fn first_missing(&self, range: PfnRange) -> Option<Pfn> {
        let end = self.end_of_run(range.start(), range.end());
        (end < range.end()).then_some(end)
    }

    /// From the first frame of `range` that has a record to the last.
    pub(crate) fn span_in(&self, range: PfnRange) -> PfnRange {
        let mut runs = self.runs(range);
        let Some(first) = runs.next() else {
            return PfnRange::with_len(range.start(), 0);
        };
        PfnRange::new(first.start(), runs.last().unwrap_or(first).end())
    }
}

/// The lower of two extents.
fn lower(one: Option<Extent>, other: Option<Extent>) -> Option<Extent> {
    match (one, other) {
        (Some(one), Some(other)) if other.frames.start() < one.frames.start() => Some(other),
        (None, other) => other,
        (one, _) => one,
    }
}
