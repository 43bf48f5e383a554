//! Which frames isolators hold: a bit for each frame, set while a range that includes it is
//! isolated.
//!
//! The bits say whether two isolations overlap, and whether a pageblock is still needed by another
//! isolator when one ends. They are records of frames, and not a list of ranges, because such a
//! list has a length: a zone can have as many isolated ranges at a time as it has frames. The zone
//! must be locked for every use.

use core::marker::PhantomData;

use crate::base::{Geometry, Pfn, PfnRange};
use crate::records::frame_table::WordCell;
use crate::sync::Ordering;

/// The bits of all frames from `base` on.
#[derive(Debug)]
pub(crate) struct IsolatedFrames<'m, G> {
    words: &'m [WordCell],
    base: Pfn,
    geometry: PhantomData<fn() -> G>,
}

impl<'m, G: Geometry> IsolatedFrames<'m, G> {
    /// Frames of a word: 64, or those of a pageblock if that is smaller, so that no word has frames
    /// of two zones.
    const FRAMES: usize = if G::PAGEBLOCK_ORDER.get() < 6 { G::PAGEBLOCK_ORDER.pages() } else { 64 };

    /// The number of words for `frames` frames, which are whole pageblocks.
    pub(crate) const fn words(frames: usize) -> usize {
        frames / Self::FRAMES
    }

    /// `base` is the first frame of the first pageblock. The words must be zero.
    pub(crate) fn new(words: &'m [WordCell], base: Pfn) -> Self {
        Self { words, base, geometry: PhantomData }
    }

    /// The words that have frames of `range`, each with the bits of these frames.
    fn parts(&self, range: PfnRange) -> impl Iterator<Item = (&WordCell, usize, u64)> {
        let (start, end) = (range.start().offset_from(self.base), range.end().offset_from(self.base));
        let first = start / Self::FRAMES;
        let last = if range.is_empty() { first } else { end.div_ceil(Self::FRAMES) };
        let words = self.words.get(first..last).unwrap_or(&[]);
        words.iter().zip(first..).map(move |(word, number)| {
            let at = number * Self::FRAMES;
            let (low, high) = (start.max(at) - at, end.min(at + Self::FRAMES) - at);
            (word, at, (u64::MAX >> (64 - (high - low))) << low)
        })
    }

    /// Sets the bits of `range`.
    pub(crate) fn add(&self, range: PfnRange) {
        for (word, _, bits) in self.parts(range) {
            word.store(word.load(Ordering::Relaxed) | bits, Ordering::Relaxed);
        }
    }

    /// Clears the bits of `range`.
    pub(crate) fn remove(&self, range: PfnRange) {
        for (word, _, bits) in self.parts(range) {
            word.store(word.load(Ordering::Relaxed) & !bits, Ordering::Relaxed);
        }
    }

    /// The first frame of `range` whose bit is set.
    pub(crate) fn first_in(&self, range: PfnRange) -> Option<Pfn> {
        self.parts(range).find_map(|(word, at, bits)| {
            let set = word.load(Ordering::Relaxed) & bits;
            (set != 0).then(|| self.base.up(at + set.trailing_zeros() as usize))
        })
    }

    /// How many frames of `range` have their bits set.
    pub(crate) fn count(&self, range: PfnRange) -> usize {
        self.parts(range)
            .map(|(word, _, bits)| (word.load(Ordering::Relaxed) & bits).count_ones() as usize)
            .sum()
    }

    /// The frames of `within` around `pfn`, whose bit is set, that have their bits set without a
    /// gap.
    pub(crate) fn run_around(&self, pfn: Pfn, within: PfnRange) -> PfnRange {
        let clear = |range: PfnRange| {
            self.parts(range).find_map(|(word, at, bits)| {
                let clear = !word.load(Ordering::Relaxed) & bits;
                (clear != 0).then_some((at, clear))
            })
        };
        let above = PfnRange::new(pfn, within.end());
        let end =
            clear(above).map_or(within.end(), |(at, bits)| self.base.up(at + bits.trailing_zeros() as usize));
        let mut start = pfn;
        while start > within.start() {
            let first = (start.offset_from(self.base) - 1) / Self::FRAMES * Self::FRAMES;
            let below = PfnRange::new(self.base.up(first).max(within.start()), start);
            match clear(below) {
                None => start = below.start(),
                Some((at, bits)) => {
                    start = self.base.up(at + 64 - bits.leading_zeros() as usize);
                    break;
                }
            }
        }
        PfnRange::new(start, end)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::IsolatedFrames;
    use crate::base::{Geometry, Order, Pfn, PfnRange, X86_64};
    use crate::records::frame_table::WordCell;

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
        let frames = IsolatedFrames::<G>::new(&words, Pfn::new(1024));
        let all = range(1024, 3072);
        for held in [range(1024, 1025), range(1100, 1700), range(1152, 1216), range(3000, 3072), all] {
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
