//! Pageblocks: aligned groups of frames that have one migratetype and are isolated together.

use crate::base::geometry::Geometry;
use crate::base::pfn::{Pfn, PfnRange};

/// A pageblock, named by its first frame, which may be a hole.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Pageblock {
    start: Pfn,
}

impl Pageblock {
    pub(crate) fn of<G: Geometry>(pfn: Pfn) -> Self {
        Self { start: G::PAGEBLOCK_ORDER.align_down(pfn) }
    }

    pub(crate) const fn start(self) -> Pfn {
        self.start
    }

    pub(crate) fn range<G: Geometry>(self) -> PfnRange {
        G::PAGEBLOCK_ORDER.block(self.start)
    }

    /// The pageblocks that overlap `range`, in ascending order.
    pub(crate) fn covering<G: Geometry>(range: PfnRange) -> impl DoubleEndedIterator<Item = Self> {
        let first = G::PAGEBLOCK_ORDER.align_down(range.start());
        let end = if range.is_empty() { first } else { range.end() };
        (first.number()..end.number())
            .step_by(G::PAGEBLOCK_ORDER.pages())
            .map(|number| Self { start: Pfn::new(number) })
    }

    /// The parts of `range` in each pageblock, in ascending order: what is done in one lock hold.
    pub(crate) fn parts<G: Geometry>(range: PfnRange) -> impl DoubleEndedIterator<Item = PfnRange> {
        Self::covering::<G>(range).map(move |pageblock| pageblock.range::<G>().intersection(range))
    }
}

#[cfg(test)]
mod tests {
    use super::Pageblock;
    use crate::base::geometry::X86_64;
    use crate::base::pfn::{Pfn, PfnRange};

    #[test]
    fn a_range_is_covered_by_every_pageblock_that_it_overlaps() {
        let starts = |start, end| {
            let range = PfnRange::new(Pfn::new(start), Pfn::new(end));
            Pageblock::covering::<X86_64>(range).map(|block| block.start().number()).collect::<Vec<_>>()
        };
        assert_eq!(starts(0, 512), [0]);
        assert_eq!(starts(511, 513), [0, 512]);
        assert_eq!(starts(600, 700), [512]);
        assert!(starts(600, 600).is_empty());
    }
}
