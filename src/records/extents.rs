//! The extents: which frames have records, and the index of each.
//!
//! Physical memory has holes, some of them larger than all memory. A frame of a hole has no record
//! and no index, so that records cost what memory costs and not what its addresses span (as the
//! sections of `CONFIG_SPARSEMEM` in Linux). An [`Extent`] is a run of frames that have records.
//!
//! The frames of the two largest extents of boot are *near*. They have the indices from 0 on, and
//! are found with a subtraction and a comparison for each of the two, which are also the bounds
//! check; the fast paths handle no others. Most machines have no more than two extents: below and
//! above the hole below 4 GiB. All other frames are *far* and found by a search, first among the
//! other extents of boot. The records of boot are in one set of arrays, by index. Extents that were
//! [added](crate::records::Added) later have the indices after these, and arrays of their own.

use crate::base::{Pfn, PfnRange};
use crate::records::added::{Added, Chunk};
use crate::records::cells::{StateCell, WordCell};
use crate::records::extent::Extent;
use crate::records::frame_index::FrameIndex;

/// All extents.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extents<'m> {
    /// The first frame of the largest extent, whose index is 0.
    base: Pfn,
    /// The first frame of the second largest extent, whose index is `len`.
    second_base: Pfn,
    /// The number of frames of the largest extent.
    len: u32,
    /// The number of frames of the second largest extent; 0 if there is none.
    second_len: u32,
    /// The others of boot, in ascending order of frames and of indices.
    others: &'m [Extent],
    /// The extents that were added after boot; `None` in unit tests.
    added: Option<&'m Added>,
}

impl<'m> Extents<'m> {
    /// `near` are the two largest extents, and `others` the others, which have the indices after
    /// these in ascending order of frames.
    pub(crate) fn new(near: [PfnRange; 2], others: &'m [Extent], added: Option<&'m Added>) -> Self {
        assert!(others.is_sorted_by(|low, high| {
            low.frames().end() <= high.frames().start() && low.first().number() < high.first().number()
        }));
        let [base, second_base] = near.map(PfnRange::start);
        let [len, second_len] = near.map(|extent| extent.len() as u32);
        let extents = Self { base, second_base, len, second_len, others, added };
        let lens = [len, second_len].map(|len| len as usize);
        assert!(
            extents.boot_len() <= FrameIndex::LIMIT && near.map(PfnRange::len) == lens,
            "all have an index"
        );
        extents
    }

    /// The number of frames that have had records since boot.
    pub(crate) fn boot_len(&self) -> usize {
        let others = self.others.iter().map(|other| other.frames().len()).sum::<usize>();
        self.len as usize + self.second_len as usize + others
    }

    /// Whether there are far frames.
    #[inline]
    pub(crate) fn has_far(&self) -> bool {
        !self.others.is_empty() || self.added.is_some_and(|added| !added.chunks().is_empty())
    }

    /// The two largest extents.
    fn near(&self) -> [Extent; 2] {
        let first = PfnRange::with_len(self.base, self.len as usize);
        let second = PfnRange::with_len(self.second_base, self.second_len as usize);
        [Extent::new(first, FrameIndex::new(0)), Extent::new(second, FrameIndex::new(self.len))]
    }

    /// The index of `pfn`, if it is near.
    #[inline(always)]
    pub(crate) fn near_index_of(&self, pfn: Pfn) -> Option<FrameIndex> {
        let number = pfn.number().wrapping_sub(self.base.number());
        if number < self.len as usize {
            return Some(FrameIndex::new(number as u32));
        }
        let number = pfn.number().wrapping_sub(self.second_base.number());
        (number < self.second_len as usize).then(|| FrameIndex::new(self.len.wrapping_add(number as u32)))
    }

    /// The frame of an index, if it is near.
    #[inline(always)]
    pub(crate) fn near_pfn(&self, index: FrameIndex) -> Option<Pfn> {
        let number = index.number();
        if number < self.len {
            return Some(Pfn::new(self.base.number().wrapping_add(number as usize)));
        }
        let number = number.wrapping_sub(self.len);
        (number < self.second_len).then(|| Pfn::new(self.second_base.number().wrapping_add(number as usize)))
    }

    /// The index of `pfn`; `None` if it has no record.
    #[inline(always)]
    pub(crate) fn index_of(&self, pfn: Pfn) -> Option<FrameIndex> {
        match self.near_index_of(pfn) {
            None => self.far_index_of(pfn),
            found => found,
        }
    }

    #[cold]
    #[inline(never)]
    fn far_index_of(&self, pfn: Pfn) -> Option<FrameIndex> {
        let at = self.others.partition_point(|extent| extent.frames().end() <= pfn);
        let boot = self.others.get(at).and_then(|extent| extent.index_of(pfn));
        boot.or_else(|| self.added?.at_or_above(pfn)?.extent().index_of(pfn))
    }

    /// The frame of an index. An index that no frame has gives some frame that has no record, or
    /// another index.
    #[inline(always)]
    pub(crate) fn pfn(&self, index: FrameIndex) -> Pfn {
        match self.near_pfn(index) {
            None => self.far_pfn(index),
            Some(pfn) => pfn,
        }
    }

    #[cold]
    #[inline(never)]
    fn far_pfn(&self, index: FrameIndex) -> Pfn {
        let at = self.others.partition_point(|extent| extent.first().number() <= index.number());
        let boot = at.checked_sub(1).and_then(|at| self.others.get(at)?.pfn_of(index));
        let found = boot.or_else(|| self.chunk_of(index)?.extent().pfn_of(index));
        found.unwrap_or(self.base.up(index.number() as usize))
    }

    /// The lowest extent that ends above `pfn`.
    fn next(&self, pfn: Pfn) -> Option<Extent> {
        let near = self.near().into_iter().filter(|extent| extent.frames().end() > pfn);
        let near = near.fold(None, |lowest, extent| lower(lowest, Some(extent)));
        if near.is_some_and(|extent| extent.frames().contains(pfn)) {
            return near;
        }
        let at = self.others.partition_point(|extent| extent.frames().end() <= pfn);
        let boot = lower(near, self.others.get(at).copied());
        lower(boot, self.added.and_then(|added| Some(added.at_or_above(pfn)?.extent())))
    }

    /// The records of the added extent that has this index.
    #[cold]
    #[inline(never)]
    pub(crate) fn chunk_of(&self, index: FrameIndex) -> Option<&'static Chunk> {
        self.added?.with_index(index)
    }

    /// The state of a frame of an added extent.
    #[cold]
    #[inline(never)]
    pub(crate) fn added_state(&self, index: FrameIndex) -> Option<&'static StateCell> {
        self.chunk_of(index)?.state(index)
    }

    /// The word of a frame of an added extent.
    #[cold]
    #[inline(never)]
    pub(crate) fn added_word(&self, index: FrameIndex) -> Option<&'static WordCell> {
        self.chunk_of(index)?.word(index)
    }

    /// What was added after boot.
    pub(crate) fn added(&self) -> Option<&'m Added> {
        self.added
    }

    /// The parts of `range` that have records, in ascending order: at most one for each extent.
    pub(crate) fn parts(self, range: PfnRange) -> impl Iterator<Item = Extent> + use<'m> {
        let mut from = range.start();
        core::iter::from_fn(move || {
            if from >= range.end() {
                return None;
            }
            let part = self.next(from)?.part(PfnRange::new(from, range.end()));
            from = part.frames().end();
            (!part.frames().is_empty()).then_some(part)
        })
    }

    /// The parts of `range` that have records, in ascending order, each as long as possible: parts
    /// of extents that touch are joined.
    pub(crate) fn runs(self, range: PfnRange) -> impl Iterator<Item = PfnRange> + use<'m> {
        let mut from = range.start();
        core::iter::from_fn(move || {
            if from >= range.end() {
                return None;
            }
            let start = self.next(from)?.frames().start().max(from);
            let run = PfnRange::new(start, self.end_of_run(start, range.end()));
            from = run.end();
            (!run.is_empty()).then_some(run)
        })
    }

    /// The first frame from `from` on that has no record, or `limit` if that is lower.
    fn end_of_run(&self, from: Pfn, limit: Pfn) -> Pfn {
        let mut at = from;
        while at < limit
            && let Some(extent) = self.next(at).filter(|extent| extent.frames().start() <= at)
        {
            at = extent.frames().end();
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
        (Some(one), Some(other)) if other.frames().start() < one.frames().start() => Some(other),
        (None, other) => other,
        (one, _) => one,
    }
}
