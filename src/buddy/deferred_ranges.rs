//! The deferred ranges of a zone: free memory whose frame records have not been written yet.

use crate::base::{FreeKind, Geometry, MigrateType, Pageblock, Pfn, PfnRange};
use crate::records::Descriptors;

/// The kind of all deferred memory: it is movable and not isolated.
pub(super) const KIND: FreeKind = FreeKind::Listed(MigrateType::Movable);

#[derive(Clone, Debug)]
pub(crate) struct DeferredRanges {
    /// An empty range is a free entry.
    ranges: [PfnRange; Self::COUNT],
    /// Entries from here on were never used.
    used: usize,
    pub(super) pages: usize,
}

impl DeferredRanges {
    /// A range or a piece of one that finds no free entry is initialised.
    pub(super) const COUNT: usize = 16;

    pub(super) const fn new() -> Self {
        Self { ranges: [PfnRange::new(Pfn::new(0), Pfn::new(0)); Self::COUNT], used: 0, pages: 0 }
    }

    /// The number of deferred pages. They count as blocks of the largest order on the movable list.
    pub(crate) fn pages(&self) -> usize {
        self.pages
    }

    /// The ranges, of which some may be empty.
    #[inline]
    pub(crate) fn ranges(&self) -> &[PfnRange] {
        self.ranges.get(..self.used).unwrap_or(&self.ranges)
    }

    #[inline]
    pub(super) fn ranges_mut(&mut self) -> &mut [PfnRange] {
        self.ranges.get_mut(..self.used).unwrap_or(&mut [])
    }

    pub(crate) fn containing(&self, pfn: Pfn) -> Option<PfnRange> {
        self.ranges().iter().copied().find(|range| range.contains(pfn))
    }

    /// Deferred pages in pageblocks of another kind than [`KIND`], for audits; should be 0.
    pub(crate) fn misplaced<G: Geometry>(&self, desc: &Descriptors<'_, G>) -> usize {
        let blocks = self.ranges().iter().flat_map(|range| Pageblock::covering::<G>(*range));
        blocks.filter(|block| desc.kind(block.start()) != KIND).count() * G::PAGEBLOCK_ORDER.pages()
    }

    pub(super) fn has_free_entry(&self) -> bool {
        self.ranges.iter().any(|entry| entry.is_empty())
    }

    /// Adds a range; an empty one needs no entry. Returns false if there is no free entry.
    pub(super) fn add(&mut self, range: PfnRange) -> bool {
        if range.is_empty() {
            return true;
        }
        let Some(index) = self.ranges.iter().position(|entry| entry.is_empty()) else {
            return false;
        };
        self.ranges[index] = range;
        self.used = self.used.max(index + 1);
        self.pages += range.len();
        true
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::DeferredRanges;
    use crate::base::{MigrateType, Pageblock, Pfn, PfnRange, X86_64};
    use crate::page_allocator::Tuning;
    use crate::page_allocator::testing::{Bare, machine};

    #[test]
    fn a_range_needs_a_free_entry_and_an_empty_one_needs_none() {
        let mut deferred = DeferredRanges::new();
        let range = |n| PfnRange::with_len(Pfn::new(n * 1024), 512);
        assert!((0..DeferredRanges::COUNT).all(|n| deferred.add(range(n))));
        assert!(!deferred.add(range(99)));
        assert!(deferred.add(PfnRange::with_len(Pfn::new(7), 0)));
        assert_eq!(deferred.pages(), DeferredRanges::COUNT * 512);
        assert_eq!(deferred.containing(Pfn::new(1024 + 511)), Some(range(1)));
        assert_eq!(deferred.containing(Pfn::new(1024 + 512)), None);
    }

    #[test]
    fn an_audit_counts_deferred_pageblocks_of_another_kind_as_misplaced() {
        let machine = machine(Bare, 8 << 20, Tuning::default());
        let (desc, mut deferred) = (machine.desc(), DeferredRanges::new());
        assert!(deferred.add(PfnRange::with_len(Pfn::new(1 << 20), 2 * 512)));
        assert_eq!(deferred.misplaced(desc), 0);
        let second = Pageblock::of::<X86_64>(Pfn::new((1 << 20) + 512));
        let state = desc.pageblocks.state(second.start());
        desc.pageblocks.set_state(second, state.with_type(MigrateType::Unmovable));
        assert_eq!(deferred.misplaced(desc), 512);
    }
}
