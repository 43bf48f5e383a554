//! The ranges of a zone whose frame records have not been written yet.

use crate::base::{FreeKind, Geometry, MigrateType, Pageblock, Pfn, PfnRange};
use crate::records::Descriptors;

/// The kind of deferred memory: it is never isolated and never of another type.
pub(super) const KIND: FreeKind = FreeKind::Listed(MigrateType::Movable);

/// The deferred ranges of a zone.
#[derive(Debug)]
pub(crate) struct DeferredRanges {
    /// An empty range is a free entry.
    pub(super) ranges: [PfnRange; Self::COUNT],
    pub(super) pages: usize,
}

impl DeferredRanges {
    /// Enough for the ranges that a memory map has in one zone, and for the pieces that they fall
    /// into. What finds no entry is initialised at once.
    pub(super) const COUNT: usize = 16;

    pub(super) const fn new() -> Self {
        Self { ranges: [PfnRange::new(Pfn::new(0), Pfn::new(0)); Self::COUNT], pages: 0 }
    }

    /// Deferred pages. They are blocks of the largest order on the list of movable blocks.
    pub(crate) fn pages(&self) -> usize {
        self.pages
    }

    /// The deferred range that holds the frame.
    pub(crate) fn containing(&self, pfn: Pfn) -> Option<PfnRange> {
        self.ranges.iter().copied().find(|range| range.contains(pfn))
    }

    /// Deferred pages in pageblocks that are not of the kind of deferred memory. Not 0 is damage.
    pub(crate) fn misplaced<G: Geometry>(&self, desc: &Descriptors<'_, G>) -> usize {
        let blocks = self.ranges.iter().flat_map(|range| Pageblock::covering::<G>(*range));
        blocks.filter(|block| desc.kind(block.start()) != KIND).count() * G::PAGEBLOCK_ORDER.pages()
    }

    /// False if there is no free entry.
    pub(super) fn add(&mut self, range: PfnRange) -> bool {
        match self.ranges.iter_mut().find(|entry| entry.is_empty()) {
            Some(entry) => *entry = range,
            None => return range.is_empty(),
        }
        self.pages += range.len();
        true
    }
}

#[cfg(test)]
mod tests {
    use super::DeferredRanges;
    use crate::base::{Pfn, PfnRange};

    #[test]
    fn entries_run_out_and_an_empty_range_needs_none() {
        let mut deferred = DeferredRanges::new();
        let range = |n| PfnRange::with_len(Pfn::new(n * 1024), 512);
        assert!((0..DeferredRanges::COUNT).all(|n| deferred.add(range(n))));
        assert!(!deferred.add(range(99)));
        assert!(deferred.add(PfnRange::with_len(Pfn::new(7), 0)));
        assert_eq!(deferred.pages(), DeferredRanges::COUNT * 512);
        assert_eq!(deferred.containing(Pfn::new(1024 + 511)), Some(range(1)));
        assert_eq!(deferred.containing(Pfn::new(1024 + 512)), None);
    }
}
