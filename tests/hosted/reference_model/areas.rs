//! The steps on CMA areas.

use pageblock::{CmaArea, CmaError, FreeError, Geometry, Order, PfnRange, Platform};

use super::reference::Truth;
use super::world::World;

impl<P: Platform, G: Geometry> World<'_, '_, P, G> {
    pub(super) fn take_cma(&mut self, number: usize, pages: usize, align: Order) {
        let (mut longest, mut run) = (0, 0);
        let area = &self.areas[number];
        for pfn in area.range().iter() {
            run = if self.is_lent(pfn) { 0 } else { run + 1 };
            longest = longest.max(run);
        }
        match area.alloc(self.machine, pages, align, &self.owners()) {
            Ok(range) => {
                assert!(
                    area.range().covers(range) && range.len() == pages && align.is_aligned(range.start())
                );
                assert!(!self.lent.iter().any(|lent| lent.overlaps(range)));
                self.write(range);
                self.lent.push(range);
                self.model.borrow_mut().change(range, Truth::Pool, Truth::Contig);
            }
            Err(CmaError::Full { pages: asked, longest: left }) => {
                assert_eq!((asked, left), (pages, longest));
                assert!(longest < pages + align.pages(), "a run of {longest} pages holds {pages} at {align}");
            }
            Err(error) => assert!(matches!(error, CmaError::Busy(_)), "{error}"),
        }
        self.areas_have_what_is_lent();
    }

    /// Gives a range back to the area, if it is one of its own.
    pub(super) fn release_cma(&mut self, range: PfnRange) {
        let ours = !range.is_empty()
            && self.area_of(range).range().covers(range)
            && range.iter().all(|pfn| self.is_lent(pfn));
        let pinned = range.iter().any(|pfn| self.model.borrow().pinned.contains(&pfn));
        let before = self.state();
        match self.area_of(range).free(self.machine, range) {
            Ok(()) => {
                assert!(ours && !pinned, "{range} was freed");
                let mut rest = Vec::new();
                for held in self.lent.drain(..) {
                    let start = range.start().clamp(held.start(), held.end());
                    let end = range.end().clamp(held.start(), held.end());
                    let parts = match held.overlaps(range) {
                        true => [PfnRange::new(held.start(), start), PfnRange::new(end, held.end())],
                        false => [held, PfnRange::with_len(held.end(), 0)],
                    };
                    rest.extend(parts.into_iter().filter(|part| !part.is_empty()));
                }
                self.lent = rest;
                self.model.borrow_mut().change(range, Truth::Contig, Truth::Pool);
            }
            Err(error) => {
                let expected = match error {
                    CmaError::NotOurs { .. } => !ours,
                    CmaError::Free(FreeError::Pinned { .. }) => {
                        self.refused.set(self.refused.get() + 1);
                        ours && pinned
                    }
                    _ => false,
                };
                assert!(expected, "{range}: {error}");
                assert_eq!(self.state(), before, "{error}");
            }
        }
        self.areas_have_what_is_lent();
    }

    pub(super) fn areas_have_what_is_lent(&self) {
        for area in &self.areas {
            let lent: usize = self.lent.iter().map(|lent| lent.intersection(area.range()).len()).sum();
            assert_eq!(area.stats(self.machine).used, lent);
        }
    }

    /// Makes an area of a range.
    pub(super) fn new_area(&mut self, range: PfnRange) {
        if self.areas.len() == 4 {
            return;
        }
        let order = G::PAGEBLOCK_ORDER;
        let whole = !range.is_empty() && order.is_aligned(range.start()) && order.is_aligned(range.end());
        let can = {
            let model = self.model.borrow();
            whole
                && model.is_sound::<G>(range)
                && model.all(range, Truth::Pool)
                && !range.iter().any(|pfn| model.is_isolated::<G>(pfn) || model.is_for_movable::<G>(pfn))
        };
        let bitmap = vec![0; CmaArea::bitmap_words(range.len())].leak();
        match CmaArea::new(self.machine, range, bitmap) {
            Ok(area) => {
                assert!(can, "{range} is an area");
                self.areas.push(area);
                self.model.borrow_mut().cma.push(range);
            }
            Err(error) => {
                let model = self.model.borrow();
                let expected = match error {
                    CmaError::Unaligned { .. } => !whole,
                    CmaError::Taken { pfn } => model.is_cma(pfn),
                    CmaError::MovableOnly { pfn } => model.is_movable_only::<G>(pfn),
                    CmaError::Isolate(_) | CmaError::NotFree(_) => !can || self.keeps_frames_back(),
                    _ => false,
                };
                assert!(expected, "{range}: {error}");
            }
        }
    }
}
