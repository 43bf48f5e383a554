//! Which frames isolators hold: a bit for each frame, set while a range that includes it is
//! isolated.
//!
//! The bits say whether two isolations overlap, and whether a pageblock is still needed by another
//! isolator when one ends. They are records of frames, and not a list of ranges, because such a
//! list has a length: a zone can have as many isolated ranges at a time as it has frames. The zone
//! must be locked for every use.

use core::marker::PhantomData;

use crate::base::{Geometry, Pfn, PfnRange};
use crate::records::cells::WordCell;
use crate::records::extents::Extents;
use crate::sync::Ordering;

/// The bits of all frames of the extents.
#[derive(Debug)]
pub(crate) struct IsolatedFrames<'m, G> {
    words: &'m [WordCell],
    extents: Extents<'m>,
    geometry: PhantomData<fn() -> G>,
}

/// A word, with the frames of a range that have bits in it.
struct Part<'m> {
    word: &'m WordCell,
    /// The bits of these frames.
    bits: u64,
    /// The frame of bit 0.
    base: Pfn,
}

impl Part<'_> {
    /// Which of the bits are set.
    fn set(&self) -> u64 {
        self.word.load(Ordering::Relaxed) & self.bits
    }

    /// Which of the bits are clear.
    fn clear(&self) -> u64 {
        !self.word.load(Ordering::Relaxed) & self.bits
    }

    fn pfn(&self, bit: u32) -> Pfn {
        self.base.up(bit as usize)
    }
}

impl<'m, G: Geometry> IsolatedFrames<'m, G> {
    /// Frames of a word: 64, or those of a pageblock if that is smaller, so that no word has frames
    /// of two zones or of two extents.
    const FRAMES: usize = if G::PAGEBLOCK_ORDER.get() < 6 { G::PAGEBLOCK_ORDER.pages() } else { 64 };

    /// The number of words for `frames` frames, which are whole pageblocks.
    pub(crate) const fn words(frames: usize) -> usize {
        frames / Self::FRAMES
    }

    /// The words must be zero, and have a bit for each frame of the extents.
    pub(crate) fn new(words: &'m [WordCell], extents: Extents<'m>) -> Self {
        assert!(words.len() == Self::words(extents.boot_len()));
        Self { words, extents, geometry: PhantomData }
    }

    /// The words that have frames of `range`, in ascending order.
    fn parts(&self, range: PfnRange) -> impl Iterator<Item = Part<'m>> {
        let (boot, extents) = (self.words, self.extents);
        extents.parts(range).flat_map(move |extent| {
            let first = extent.first().number() as usize;
            let (frames, end) = (extent.frames(), first + extent.frames().len());
            let (low, high) = (first / Self::FRAMES, end.div_ceil(Self::FRAMES));
            let words = boot.get(low..high).unwrap_or_else(|| {
                extents.chunk_of(extent.first()).map_or(&[], |chunk| {
                    let skipped = chunk.extent().first().number() as usize / Self::FRAMES;
                    chunk.isolated.get(low - skipped..high - skipped).unwrap_or(&[])
                })
            });
            words.iter().zip(low..).map(move |(word, number)| {
                let at = number * Self::FRAMES;
                let (from, to) = (first.max(at) - at, end.min(at + Self::FRAMES) - at);
                // The word of the first frame may begin below it.
                let base = Pfn::new(frames.start().number() + at - first);
                Part { word, bits: (u64::MAX >> (64 - (to - from))) << from, base }
            })
        })
    }

    /// Sets the bits of `range`.
    pub(crate) fn add(&self, range: PfnRange) {
        for Part { word, bits, .. } in self.parts(range) {
            word.store(word.load(Ordering::Relaxed) | bits, Ordering::Relaxed);
        }
    }

    /// Clears the bits of `range`.
    pub(crate) fn remove(&self, range: PfnRange) {
        for Part { word, bits, .. } in self.parts(range) {
            word.store(word.load(Ordering::Relaxed) & !bits, Ordering::Relaxed);
        }
    }

    /// The first frame of `range` whose bit is set.
    pub(crate) fn first_in(&self, range: PfnRange) -> Option<Pfn> {
        let part = self.parts(range).find(|part| part.set() != 0)?;
        Some(part.pfn(part.set().trailing_zeros()))
    }

    /// How many frames of `range` have their bits set.
    pub(crate) fn count(&self, range: PfnRange) -> usize {
        self.parts(range).map(|part| part.set().count_ones() as usize).sum()
    }

    /// The frames of `within` around `pfn`, whose bit is set, that have their bits set without a
    /// gap.
    pub(crate) fn run_around(&self, pfn: Pfn, within: PfnRange) -> PfnRange {
        // Of frames that have records. Runs are few.
        let within = self.extents.runs(within).find(|run| run.contains(pfn)).unwrap_or(within);
        let clear = |range: PfnRange| self.parts(range).find(|part| part.clear() != 0);
        let end = clear(PfnRange::new(pfn, within.end()))
            .map_or(within.end(), |part| part.pfn(part.clear().trailing_zeros()));
        let mut start = pfn;
        while start > within.start() {
            let word = Pfn::new((start.number() - 1) / Self::FRAMES * Self::FRAMES);
            let below = PfnRange::new(word.max(within.start()), start);
            match clear(below) {
                None => start = below.start(),
                Some(part) => {
                    start = part.pfn(64 - part.clear().leading_zeros());
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
    use crate::records::cells::WordCell;
    use crate::records::extents::Extents;

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
        let frames = IsolatedFrames::<G>::new(&words, Extents::new(range(1024, 3072), &[], None));
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
