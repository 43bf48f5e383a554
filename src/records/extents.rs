//! The extents: which frames have records, and the index of each.
//!
//! Physical memory has holes, some of them larger than all memory. A frame of a hole has no record
//! and no index, so that records cost what memory costs and not what its addresses span (as the
//! sections of `CONFIG_SPARSEMEM` in Linux). An [`Extent`] is a run of frames that have records.
//!
//! The largest extent, the *main* one, has the indices from 0 on. A frame of it is found with one
//! subtraction and one comparison, which is also the bounds check. The fast paths try it first, and
//! then the *second*, the next in size: together the *front*. (The memory of a PC below the hole
//! for devices is one extent, and that from 4 GiB on another.) They handle no other.
//!
//! Any other extent is found by a binary search, first among those of boot. The frames of these
//! have the indices below [`boot_len`](Extents::boot_len), and their records are in one set of
//! arrays, by index. Extents that were [added](crate::records::Added) later come after, each with
//! arrays of its own.

use crate::base::{Pfn, PfnRange};
use crate::records::added::{Added, Chunk};
use crate::records::cells::{StateCell, WordCell};
use crate::records::extent::Extent;
use crate::records::frame_index::FrameIndex;

/// All extents.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extents<'m> {
    /// The first frame of the main extent, whose index is 0.
    base: Pfn,
    /// The number of frames of the main extent.
    len: usize,
    /// The first frame of the second extent.
    second_base: Pfn,
    /// The number of its frames; 0 if there is no second extent.
    second_len: usize,
    /// Its first index.
    second_first: usize,
    /// By how much its indices are above its frames, modulo 2⁶⁴.
    second_lead: usize,
    /// The others, in ascending order of frames and of indices.
    others: &'m [Extent],
    /// The extents that were added after boot; `None` in unit tests.
    added: Option<&'m Added>,
}

impl<'m> Extents<'m> {
    /// `main` has the index 0; `others` are in ascending order of frames and of indices.
    pub(crate) fn new(main: PfnRange, others: &'m [Extent], added: Option<&'m Added>) -> Self {
        assert!(others.is_sorted_by(|low, high| {
            low.frames().end() <= high.frames().start() && low.first().number() < high.first().number()
        }));
        let none = Extent::new(PfnRange::with_len(main.start(), 0), FrameIndex::new(0));
        let second = others.iter().copied().max_by_key(|other| other.frames().len()).unwrap_or(none);
        let second_first = second.first().number() as usize;
        let extents = Self {
            base: main.start(),
            len: main.len(),
            second_base: second.frames().start(),
            second_len: second.frames().len(),
            second_first,
            second_lead: second_first.wrapping_sub(second.frames().start().number()),
            others,
            added,
        };
        assert!(extents.boot_len() <= FrameIndex::LIMIT, "all have an index");
        extents
    }

    /// The number of frames that have had records since boot.
    pub(crate) fn boot_len(&self) -> usize {
        self.len + self.others.iter().map(|other| other.frames().len()).sum::<usize>()
    }

    /// The number of frames of the main extent.
    pub(crate) const fn main_len(&self) -> usize {
        self.len
    }

    /// The index of `pfn`, if that is in the front. `main_len` is the length of the main extent, or
    /// 0: then there is none.
    #[inline(always)]
    pub(super) fn front_index_of(&self, pfn: Pfn, main_len: usize) -> Option<usize> {
        let offset = pfn.number().wrapping_sub(self.base.number());
        if offset < main_len {
            return Some(offset);
        }
        unlikely();
        let offset = pfn.number().wrapping_sub(self.second_base.number());
        (main_len > 0 && offset < self.second_len).then(|| self.second_first.wrapping_add(offset))
    }

    /// Whether an index is that of a frame of the second extent.
    #[inline(always)]
    pub(super) fn is_second(&self, index: FrameIndex) -> bool {
        (index.number() as usize).wrapping_sub(self.second_first) < self.second_len
    }

    /// The frame of an index of the second extent.
    #[inline(always)]
    pub(super) fn second_pfn(&self, index: FrameIndex) -> Pfn {
        // Subtracted, where that of the main extent is added: the compiler would merge equal code
        // of the fast path at the expense of the main extent.
        Pfn::new((index.number() as usize).wrapping_sub(self.second_lead))
    }

    /// Whether a frame is in the front.
    pub(crate) fn is_front(&self, pfn: Pfn) -> bool {
        self.front_index_of(pfn, self.len).is_some()
    }

    /// Whether there are frames outside the front.
    #[inline]
    pub(crate) fn has_others(&self) -> bool {
        self.others.len() > 1 || self.added.is_some_and(|added| !added.chunks().is_empty())
    }

    fn main(&self) -> Extent {
        Extent::new(PfnRange::with_len(self.base, self.len), FrameIndex::new(0))
    }

    /// The index of `pfn`, if that is in the main extent.
    #[inline(always)]
    fn main_index_of(&self, pfn: Pfn) -> Option<FrameIndex> {
        let number = pfn.number().wrapping_sub(self.base.number());
        (number < self.len).then(|| FrameIndex::new(number as u32))
    }

    /// The frame of an index of the main extent.
    #[inline(always)]
    pub(super) fn main_pfn(&self, index: FrameIndex) -> Pfn {
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
        let near = self.near(|extent| extent.frames().end() <= pfn);
        let boot = near.iter().find_map(|extent| extent.index_of(pfn));
        boot.or_else(|| self.added?.at_or_above(pfn)?.extent().index_of(pfn))
    }

    /// The extents of boot other than the main one, if they are few, or else the first that is not
    /// below what is looked for: a search of a few is faster than a binary search.
    #[inline(always)]
    fn near(&self, below: impl Fn(&Extent) -> bool) -> &'m [Extent] {
        if self.others.len() <= 4 {
            return self.others;
        }
        let at = self.others.partition_point(below);
        self.others.get(at..at + 1).unwrap_or(&[])
    }

    /// The frame of an index. An index that no frame has gives a frame that has no record, or
    /// another index.
    #[inline(always)]
    pub(crate) fn pfn(&self, index: FrameIndex) -> Pfn {
        if (index.number() as usize) < self.len { self.main_pfn(index) } else { self.other_pfn(index) }
    }

    #[cold]
    #[inline(never)]
    fn other_pfn(&self, index: FrameIndex) -> Pfn {
        let end = |extent: &Extent| extent.first().number() as usize + extent.frames().len();
        let near = self.near(|extent| end(extent) <= index.number() as usize);
        let boot = near.iter().find_map(|extent| extent.pfn_of(index));
        let found = boot.or_else(|| self.chunk_of(index)?.extent().pfn_of(index));
        found.unwrap_or(self.main_pfn(index))
    }

    /// The lowest extent that ends above `pfn`.
    fn next(&self, pfn: Pfn) -> Option<Extent> {
        let main = self.main();
        if main.frames().contains(pfn) {
            return Some(main);
        }
        let main = Some(main).filter(|main| main.frames().start() > pfn);
        let at = self.others.partition_point(|extent| extent.frames().end() <= pfn);
        let boot = lower(main, self.others.get(at).copied());
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

    /// The states of so many frames of an added extent, from this one on.
    #[cold]
    #[inline(never)]
    pub(crate) fn added_states(&self, first: FrameIndex, frames: usize) -> &'static [StateCell] {
        self.chunk_of(first).map_or(&[], |chunk| chunk.states_from(first, frames))
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

/// Tells the compiler that the branch which calls it is rarely taken.
#[cold]
#[inline(always)]
const fn unlikely() {}

/// The lower of two extents.
fn lower(one: Option<Extent>, other: Option<Extent>) -> Option<Extent> {
    match (one, other) {
        (Some(one), Some(other)) if other.frames().start() < one.frames().start() => Some(other),
        (None, other) => other,
        (one, _) => one,
    }
}
