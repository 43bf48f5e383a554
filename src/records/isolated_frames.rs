//! Which frames isolators hold: a bit for each frame, set while a range that includes it is
//! isolated.
//!
//! The bits say whether two isolations overlap, and whether a pageblock is still needed by another
//! isolator when one ends. They are records of frames, and not a list of ranges, because such a
//! list has a length: a zone can have as many isolated ranges at a time as it has frames. The zone
//! must be locked for every use; what is read without its lock is a hint.

use core::marker::PhantomData;
use core::ops::Range;

use crate::base::{Geometry, Pfn, PfnRange};
use crate::records::cells::WordCell;
use crate::records::extents::Extents;
use crate::records::frame_index::FrameIndex;
use crate::records::unwritten::Unwritten;
use crate::sync::Ordering;

/// The bits of all frames of the extents.
#[derive(Debug)]
pub(crate) struct IsolatedFrames<'m, G> {
    words: &'m [WordCell],
    extents: Extents<'m>,
    unwritten: Unwritten<'m>,
    geometry: PhantomData<fn() -> G>,
}

/// Consecutive words that have frames of a range.
struct Part<'m> {
    words: &'m [WordCell],
    /// The first word has these frames of the range, and maybe more above them.
    first: u64,
    /// The last word has these frames of the range, and maybe more below them.
    last: u64,
    /// The frame of bit 0 of the first word.
    base: Pfn,
    /// The index of that frame.
    base_index: usize,
}

impl<'m> Part<'m> {
    /// Calls `f` with each word and the bits of the frames of the range, until it returns a value.
    /// `all` is every bit of a word.
    #[inline(always)]
    fn find<T>(&self, all: u64, mut f: impl FnMut(usize, &'m WordCell, u64) -> Option<T>) -> Option<T> {
        match self.words {
            [] => None,
            [only] => f(0, only, self.first & self.last),
            [first, middle @ .., last] => f(0, first, self.first)
                .or_else(|| middle.iter().zip(1..).find_map(|(word, at)| f(at, word, all)))
                .or_else(|| f(middle.len() + 1, last, self.last)),
        }
    }

    /// As [`find`](Self::find), for every word.
    #[inline(always)]
    fn for_each(&self, all: u64, mut f: impl FnMut(usize, &WordCell, u64)) {
        self.find(all, |at, word, bits| {
            f(at, word, bits);
            None::<()>
        });
    }
}

impl<'m, G: Geometry> IsolatedFrames<'m, G> {
    /// Frames of a word: 64, or those of a pageblock if that is smaller, so that no word has frames
    /// of two zones or of two extents.
    const FRAMES: usize = if G::PAGEBLOCK_ORDER.get() < 6 { G::PAGEBLOCK_ORDER.pages() } else { 64 };
    /// The bits of these frames.
    const ALL: u64 = u64::MAX >> (64 - Self::FRAMES);

    /// The number of words for `frames` frames, which are whole pageblocks.
    pub(crate) const fn words(frames: usize) -> usize {
        frames / Self::FRAMES
    }

    /// The words must have a bit for each frame of the extents, and be zero, or their pageblock is
    /// `unwritten`.
    pub(crate) fn new(words: &'m [WordCell], extents: Extents<'m>, unwritten: Unwritten<'m>) -> Self {
        assert!(words.len() == Self::words(extents.boot_len()));
        Self { words, extents, unwritten, geometry: PhantomData }
    }

    /// Clears the bits of all frames of an unwritten pageblock, which have these indices.
    pub(super) fn write(&self, indices: Range<usize>) {
        let words = self.words.get(indices.start / Self::FRAMES..indices.end / Self::FRAMES);
        words.unwrap_or(&[]).iter().for_each(|word| word.store(0, Ordering::Relaxed));
    }

    /// The words that have frames of `range`, in ascending order: at most one part for each extent.
    fn parts(&self, range: PfnRange) -> impl Iterator<Item = Part<'m>> {
        let (boot, extents) = (self.words, self.extents);
        extents.parts(range).filter_map(move |extent| {
            let first = extent.first().number() as usize;
            let end = first + extent.frames().len();
            let (low, high) = (first / Self::FRAMES, end.div_ceil(Self::FRAMES));
            let words = boot.get(low..high).or_else(|| {
                let chunk = extents.chunk_of(extent.first())?;
                let skipped = chunk.extent().first().number() as usize / Self::FRAMES;
                chunk.isolated.get(low - skipped..high - skipped)
            });
            let (below, above) = (first - low * Self::FRAMES, high * Self::FRAMES - end);
            // The word of the first frame may begin below it.
            let base = Pfn::new(extent.frames().start().number() - below);
            Some(Part {
                words: words?,
                first: Self::ALL << below & Self::ALL,
                last: Self::ALL >> above,
                base,
                base_index: low * Self::FRAMES,
            })
        })
    }

    /// Sets the bits of `range`, whose pageblocks have been written.
    pub(crate) fn add(&self, range: PfnRange) {
        for part in self.parts(range) {
            part.for_each(Self::ALL, |_, word, bits| {
                word.store(word.load(Ordering::Relaxed) | bits, Ordering::Relaxed);
            });
        }
    }

    /// Clears the bits of `range`.
    pub(crate) fn remove(&self, range: PfnRange) {
        for part in self.parts(range) {
            part.for_each(Self::ALL, |_, word, bits| {
                word.store(word.load(Ordering::Relaxed) & !bits, Ordering::Relaxed);
            });
        }
    }

    /// The value of a word of a part.
    #[inline(always)]
    fn value(&self, part: &Part<'m>, at: usize, word: &WordCell) -> u64 {
        if word.load(Ordering::Relaxed) == 0 {
            return 0;
        }
        // Mostly no word has a bit, so that the flag of the pageblock need not be read before.
        let index = FrameIndex::new((part.base_index + at * Self::FRAMES) as u32);
        if self.unwritten.has(index) { 0 } else { word.load(Ordering::Relaxed) }
    }

    /// The first frame of `range` that has a bit in what `wanted` makes of its word.
    #[inline]
    fn first_with(&self, range: PfnRange, wanted: impl Fn(u64) -> u64) -> Option<Pfn> {
        self.parts(range).find_map(|part| {
            part.find(Self::ALL, |at, word, bits| {
                let found = wanted(self.value(&part, at, word)) & bits;
                (found != 0).then(|| part.base.up(at * Self::FRAMES + found.trailing_zeros() as usize))
            })
        })
    }

    /// The first frame of `range` whose bit is set.
    pub(crate) fn first_in(&self, range: PfnRange) -> Option<Pfn> {
        self.first_with(range, |word| word)
    }

    /// How many frames of `range` have their bits set.
    pub(crate) fn count(&self, range: PfnRange) -> usize {
        let mut count = 0;
        for part in self.parts(range) {
            part.for_each(Self::ALL, |at, word, bits| {
                count += (self.value(&part, at, word) & bits).count_ones() as usize;
            });
        }
        count
    }

    /// The frames of `within` around `pfn`, whose bit is set, that have their bits set without a
    /// gap.
    pub(crate) fn run_around(&self, pfn: Pfn, within: PfnRange) -> PfnRange {
        // Of frames that have records. Runs are few.
        let within = self.extents.runs(within).find(|run| run.contains(pfn)).unwrap_or(within);
        let first_clear = |range: PfnRange| self.first_with(range, |word| !word);
        let end = first_clear(PfnRange::new(pfn, within.end())).unwrap_or(within.end());
        let mut start = pfn;
        while start > within.start() {
            // Down by words, and in the last one by frames.
            let word = Pfn::new((start.number() - 1) / Self::FRAMES * Self::FRAMES);
            let below = PfnRange::new(word.max(within.start()), start);
            let Some(mut clear) = first_clear(below) else {
                start = below.start();
                continue;
            };
            while let Some(next) = first_clear(PfnRange::new(clear.up(1), start)) {
                clear = next;
            }
            start = clear.up(1);
            break;
        }
        PfnRange::new(start, end)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::IsolatedFrames;
    use crate::base::{Geometry, Order, Pfn, PfnRange, X86_64};
    use crate::records::cells::WordCell;
    use crate::records::extents::Extents;
    use crate::records::unwritten::Unwritten;

    enum Small {}
    impl Geometry for Small {
        const MAX_ORDER: Order = Order::new(2);
        const PAGEBLOCK_ORDER: Order = Order::new(1);
    }

    fn range(start: usize, end: usize) -> PfnRange {
        PfnRange::new(Pfn::new(start), Pfn::new(end))
    }

    fn check<G: Geometry>() {
        let words: Vec<_> = (0..IsolatedFrames::<G>::words(2048)).map(|_| WordCell::new(0)).collect();
        let frames =
            IsolatedFrames::<G>::new(&words, Extents::new(range(1024, 3072), &[], None), Unwritten::NONE);
        let all = range(1024, 3072);
        for held in [range(1024, 1025), range(1100, 1700), range(1152, 1216), range(3000, 3072), all] {
            frames.add(held);
            frames.add(held);
            assert_eq!((frames.first_in(all), frames.count(all)), (Some(held.start()), held.len()));
            for pfn in [held.start(), Pfn::new(held.end().number() - 1)] {
                assert_eq!(frames.run_around(pfn, all), held);
                assert_eq!(frames.run_around(pfn, PfnRange::new(pfn, pfn.up(1))).len(), 1);
            }
            assert_eq!(frames.first_in(PfnRange::new(all.start(), held.start())), None);
            assert_eq!(frames.first_in(PfnRange::new(held.end(), all.end())), None);
            frames.remove(held);
            assert_eq!(frames.first_in(all), None);
        }
        frames.add(range(1100, 1200));
        frames.add(range(1201, 1300));
        assert_eq!(frames.run_around(Pfn::new(1150), all), range(1100, 1200));
        assert_eq!(frames.run_around(Pfn::new(1201), all), range(1201, 1300));
    }

    #[test]
    fn ranges_are_added_found_and_removed() {
        check::<X86_64>();
        check::<Small>();
    }
}
