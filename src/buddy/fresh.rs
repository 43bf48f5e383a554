//! Memory that nobody has used yet: free, counted, and on no list so far.
//!
//! To list a gibibyte's largest blocks at boot means to touch the records of each of them. Instead a zone keeps a few ranges of
//! *fresh* frames, whole largest blocks and pageblocks of movable type, whose records nobody has touched since they were zeroes. They are
//! free pages from the start and are counted as such when they become fresh. One block at a time is put on the
//! lists, uncounted, when these have none that is large enough; and whoever looks at given frames (an isolation, a reservation) has
//! what lies there listed first. So initialisation costs nothing for each frame, and the first use of each block its share.
//!
//! A fresh frame is a [`FrameState::TAIL`](crate::frame::state::FrameState::TAIL) of no block. Where an invariant says *on the
//! lists*, it means fresh pages as well: they belong to the list of movable blocks of the largest order. Neighbours: [`super`];
//! [`verify`](crate::verify) holds the frames to it.

use super::{Buddy, FreeBlock};
use crate::counters::{Change, Pool};
use crate::geometry::Geometry;
use crate::mem_map::MemMap;
use crate::migratetype::{FreeKind, MigrateType};
use crate::order::{Order, aligned_blocks};
use crate::pageblock::Pageblock;
use crate::pfn::{Pfn, PfnRange};

/// What fresh memory is: never isolated, never of another type.
const KIND: FreeKind = FreeKind::Listed(MigrateType::Movable);

/// The fresh ranges of a zone.
#[derive(Debug)]
pub(crate) struct Fresh {
    /// An empty range is a free place.
    ranges: [PfnRange; Self::PLACES],
    pages: usize,
}

impl Fresh {
    /// Ranges of the memory map in one zone, and pieces that they fall into. What finds no place is listed at once.
    const PLACES: usize = 16;

    pub(super) const fn new() -> Self {
        Self { ranges: [PfnRange::new(Pfn::new(0), Pfn::new(0)); Self::PLACES], pages: 0 }
    }

    /// Fresh pages, all of them on the list of movable blocks of the largest order if they were on one.
    pub(crate) fn pages(&self) -> usize {
        self.pages
    }

    /// The fresh range that holds the frame.
    pub(crate) fn around(&self, pfn: Pfn) -> Option<PfnRange> {
        self.ranges.iter().copied().find(|range| range.contains(pfn))
    }

    /// Pages of pageblocks that are not what fresh memory is. 0, or something is wrong.
    pub(crate) fn misplaced<G: Geometry>(&self, mem: &MemMap<'_, G>) -> usize {
        let blocks = self.ranges.iter().flat_map(|range| Pageblock::covering::<G>(*range));
        blocks.filter(|block| mem.kind(block.start()) != KIND).count() * G::PAGEBLOCK_ORDER.pages()
    }

    /// False if there is no place.
    fn add(&mut self, range: PfnRange) -> bool {
        match self.ranges.iter_mut().find(|place| place.is_empty()) {
            Some(place) => *place = range,
            None => return range.is_empty(),
        }
        self.pages += range.len();
        true
    }
}

impl<G: Geometry> Buddy<G> {
    /// Fresh memory comes in whole blocks of this order.
    const FRESH_ORDER: Order =
        if G::PAGEBLOCK_ORDER.get() > G::MAX_ORDER.get() { G::PAGEBLOCK_ORDER } else { G::MAX_ORDER };

    pub(crate) fn fresh(&self) -> &Fresh {
        &self.fresh
    }

    /// As [`add`](Self::add), for memory whose records have not been touched since they were zeroes.
    pub(crate) fn add_fresh(&mut self, mem: &MemMap<'_, G>, range: PfnRange) {
        let order = Self::FRESH_ORDER;
        let whole = PfnRange::new(order.align_up(range.start()), order.align_down(range.end()));
        if whole.is_empty() || !self.fresh.add(whole) {
            return self.add(mem, range);
        }
        self.counters.account(Pool::List(KIND), Change::Join, whole.len());
        self.add(mem, PfnRange::new(range.start(), whole.start()));
        self.add(mem, PfnRange::new(whole.end(), range.end()));
    }

    /// Puts one largest block on the lists, the lowest of a fresh range. False if no memory is fresh.
    #[cold]
    pub(super) fn list_one(&mut self, mem: &MemMap<'_, G>) -> bool {
        let Some(place) = self.fresh.ranges.iter_mut().find(|range| !range.is_empty()) else {
            return false;
        };
        let block = Self::FRESH_ORDER.block(place.start());
        *place = PfnRange::new(block.end(), place.end());
        self.list_fresh(mem, block);
        true
    }

    /// Puts what is fresh of the blocks that hold the frames of `range` on the lists.
    ///
    /// A piece that is left over and finds no place among the fresh ranges is listed as well.
    pub(crate) fn list_all_of(&mut self, mem: &MemMap<'_, G>, range: PfnRange) {
        if self.fresh.pages == 0 {
            return;
        }
        let order = Self::FRESH_ORDER;
        let wanted = PfnRange::new(order.align_down(range.start()), order.align_up(range.end()));
        for index in 0..Fresh::PLACES {
            let Some(place) = self.fresh.ranges.get_mut(index).filter(|place| place.overlaps(wanted)) else {
                continue;
            };
            let (was, taken) = (*place, place.intersection(wanted));
            let below = PfnRange::new(was.start(), taken.start());
            let above = PfnRange::new(taken.end(), was.end());
            let (longer, shorter) = if below.len() < above.len() { (above, below) } else { (below, above) };
            *place = longer;
            self.list_fresh(mem, taken);
            self.fresh.pages -= shorter.len();
            if !self.fresh.add(shorter) {
                self.fresh.pages += shorter.len();
                self.list_fresh(mem, shorter);
            }
        }
    }

    /// Lists blocks that are no longer among the fresh ranges. They have been counted since they were.
    fn list_fresh(&mut self, mem: &MemMap<'_, G>, range: PfnRange) {
        self.fresh.pages -= range.len();
        for (pfn, order) in aligned_blocks(range, G::MAX_ORDER) {
            self.enlist(mem, FreeBlock { pfn, order }, KIND);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Fresh;
    use crate::pfn::{Pfn, PfnRange};

    #[test]
    fn places_run_out_and_an_empty_range_needs_none() {
        let mut fresh = Fresh::new();
        let range = |n| PfnRange::with_len(Pfn::new(n * 1024), 512);
        assert!((0..Fresh::PLACES).all(|n| fresh.add(range(n))));
        assert!(!fresh.add(range(99)));
        assert!(fresh.add(PfnRange::with_len(Pfn::new(7), 0)));
        assert_eq!(fresh.pages(), Fresh::PLACES * 512);
        assert_eq!(fresh.around(Pfn::new(1024 + 511)), Some(range(1)));
        assert_eq!(fresh.around(Pfn::new(1024 + 512)), None);
    }
}
