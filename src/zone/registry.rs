//! The registry of the isolated ranges of a zone. The zone's lock protects it.

use crate::base::{Pfn, PfnRange};

#[derive(Debug)]
pub(crate) struct Registry {
    /// An empty range is a free entry.
    ranges: [PfnRange; Self::LIMIT],
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Refused {
    /// It overlaps this registered range.
    Overlap(PfnRange),
    /// There is no free entry.
    Full,
}

impl Registry {
    /// The most isolated ranges of a zone at a time. Each entry costs 16 bytes, and a comparison
    /// for each pageblock whose isolation is undone.
    pub(crate) const LIMIT: usize = 32;

    pub(crate) fn new() -> Self {
        Self { ranges: [PfnRange::new(Pfn::new(0), Pfn::new(0)); Self::LIMIT] }
    }

    pub(crate) fn add(&mut self, range: PfnRange) -> Result<(), Refused> {
        if let Some(with) = self.ranges.iter().find(|other| other.overlaps(range)) {
            return Err(Refused::Overlap(*with));
        }
        let entry = self.ranges.iter_mut().find(|entry| entry.is_empty());
        *entry.ok_or(Refused::Full)? = range;
        Ok(())
    }

    pub(crate) fn remove(&mut self, range: PfnRange) {
        for entry in &mut self.ranges {
            if *entry == range {
                *entry = PfnRange::new(range.start(), range.start());
            }
        }
    }

    pub(crate) fn overlaps(&self, frames: PfnRange) -> bool {
        self.ranges.iter().any(|range| range.overlaps(frames))
    }
}

#[cfg(test)]
mod tests {
    use super::{Refused, Registry};
    use crate::base::{Pfn, PfnRange};

    fn range(start: usize, end: usize) -> PfnRange {
        PfnRange::new(Pfn::new(start), Pfn::new(end))
    }

    #[test]
    fn disjoint_ranges_are_accepted_and_overlapping_ones_refused() {
        let mut registry = Registry::new();
        registry.add(range(10, 20)).unwrap();
        registry.add(range(20, 30)).unwrap();
        assert_eq!(registry.add(range(15, 25)), Err(Refused::Overlap(range(10, 20))));
        registry.remove(range(10, 20));
        assert!(!registry.overlaps(range(0, 20)) && registry.overlaps(range(29, 40)));
    }

    #[test]
    fn a_full_registry_refuses_a_range() {
        let mut registry = Registry::new();
        for n in 0..Registry::LIMIT {
            registry.add(range(2 * n, 2 * n + 1)).unwrap();
        }
        assert_eq!(registry.add(range(999, 1000)), Err(Refused::Full));
        registry.remove(range(4, 5));
        registry.add(range(999, 1000)).unwrap();
    }
}
