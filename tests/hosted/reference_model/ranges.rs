//! The steps on ranges: isolation, contiguous ranges, CMA, pins.

use pageblock::{
    CmaError, ContigError, ContigOptions, ContigPlace, ContigRange, Depth, FreeError, Geometry, NoMigration,
    Obstacle, Order, Pfn, PfnRange, PinError, RangeError,
};

use super::reference::{Reference, Truth};
use super::steps::DEPTHS;
use super::world::{World, is_pinned};

impl<G: Geometry> World<'_, '_, G> {
    pub(super) fn isolate(&mut self, range: PfnRange) {
        if self.isolated.len() == 20 {
            return;
        }
        let refusal = self.model.borrow().refusal::<G>(range, true);
        match (self.machine.isolate(range), refusal) {
            (Ok(held), None) => {
                self.isolated.push(held);
                self.model.borrow_mut().isolated.push(range);
            }
            (Err(error), Some(refusal)) => assert!(refusal.is(error), "{error}, not {refusal:?}"),
            (result, refusal) => panic!("{range}: {result:?}, not {refusal:?}"),
        }
    }

    pub(super) fn test(&mut self, number: u16) {
        if self.isolated.is_empty() {
            return;
        }
        let (index, keeps) = (usize::from(number) % self.isolated.len(), self.keeps_frames_back());
        let range = self.isolated[index].range();
        let model = self.model.borrow();
        let busy = range.iter().find(|pfn| model.at(*pfn) != Truth::Pool);
        match self.isolated[index].test() {
            Ok(free) => assert_eq!((free.range(), busy), (range, None)),
            Err(not_free) if keeps => {
                assert!(busy.is_none_or(|busy| not_free.pfn <= busy), "{not_free}")
            }
            Err(not_free) => assert_eq!(Some(not_free.pfn), busy, "{not_free}"),
        }
    }

    /// Whether a range that could be isolated may still not be had for this reason.
    pub(super) fn may_fail(&self, range: PfnRange, error: &ContigError) -> bool {
        let model = self.model.borrow();
        let pinned = range.iter().find(|pfn| matches!(model.at(*pfn), Truth::Owned(word) if is_pinned(word)));
        match error {
            ContigError::Busy { pfn, .. } => pinned == Some(*pfn) || self.keeps_frames_back(),
            ContigError::NoMemory { pfn, .. } => {
                range.contains(*pfn) && matches!(model.at(*pfn), Truth::Owned(_))
            }
            ContigError::BelowMark { left, floor, .. } => {
                *left < *floor && *left <= self.machine.free_count()
            }
            _ => false,
        }
    }

    /// A contiguous range was allocated.
    fn admit_contig(&mut self, range: PfnRange) {
        assert!(!range.iter().any(|pfn| self.model.borrow().is_movable_only::<G>(pfn)), "{range}");
        self.contig.push(range);
        self.model.borrow_mut().change(range, Truth::Pool, Truth::Contig);
    }

    pub(super) fn take_contig(&mut self, range: PfnRange, hard: u8) {
        let refusal = self.model.borrow().refusal::<G>(range, false);
        let depth = DEPTHS[usize::from(hard / 4 % 3)];
        let options = ContigOptions::default().attempts(1 + u32::from(hard % 3)).depth(depth);
        // One in eight has nobody who could migrate anything.
        let result = match hard % 8 {
            7 => self.machine.alloc_contig(range, &NoMigration, options),
            _ => self.machine.alloc_contig(range, &self.owners(), options),
        };
        match (result, refusal) {
            (Ok(taken), None) => self.admit_contig(taken.into_raw()),
            (Err(ContigError::Isolate(error)), Some(refusal)) => {
                assert!(refusal.is(error), "{error}, not {refusal:?}")
            }
            (Err(ContigError::MovableOnly { pfn }), None) => {
                let model = self.model.borrow();
                assert_eq!(range.iter().find(|pfn| model.is_movable_only::<G>(*pfn)), Some(pfn));
            }
            (Err(ContigError::Busy { pfn, .. }), None) if hard % 8 == 7 => {
                let owned = matches!(self.model.borrow().at(pfn), Truth::Owned(_));
                assert!(owned || self.keeps_frames_back(), "{range}: {pfn} is busy");
            }
            // A bad frame of a block that has left the range.
            (Err(ContigError::Busy { pfn, reason: Obstacle::HwPoison, .. }), None) => {
                assert_eq!(self.model.borrow().at(pfn), Truth::Bad, "{range}");
            }
            (Err(error), None) => assert!(self.may_fail(range, &error), "{range}: {error}"),
            (Ok(_), Some(refusal)) => panic!("{range} was allocated in spite of {refusal:?}"),
            (Err(error), Some(refusal)) => panic!("{range}: {error}, not {refusal:?}"),
        }
    }

    pub(super) fn contig_pages(&mut self, pages: usize, align: Order, below: u8) {
        let span = self.machine.span();
        // One in four has no limit.
        let limit = match below % 4 {
            0 => usize::MAX,
            _ => span.start().number() + usize::from(below) * (span.len() + 2) / 256,
        };
        let place = ContigPlace::anywhere().aligned(align).below(Pfn::new(limit));
        let options = ContigOptions::default().depth(Depth::Emergency).attempts(2);
        let taken = self.machine.alloc_contig_pages(pages, place, &self.owners(), options);
        self.admit_contig_pages(taken.map(ContigRange::into_raw), pages, align, limit);
    }

    /// The allocator was asked for so many pages in a row, anywhere below a frame.
    pub(super) fn admit_contig_pages(
        &mut self,
        taken: Result<PfnRange, ContigError>,
        pages: usize,
        align: Order,
        limit: usize,
    ) {
        let span = self.machine.span();
        match taken {
            Ok(range) => {
                assert!(range.len() == pages && align.is_aligned(range.start()), "{range}");
                assert!(range.end().number() <= limit, "{range}");
                self.admit_contig(range);
            }
            Err(ContigError::NoPlace { pages: asked }) => {
                assert_eq!(asked, pages);
                // None was free even without a migration.
                let model = self.model.borrow();
                let free = span.iter().map(|start| PfnRange::with_len(start, pages)).find(|range| {
                    align.is_aligned(range.start())
                        && range.end().number() <= limit
                        && model.all(*range, Truth::Pool)
                        && Reference::zone::<G>(range.start())
                            == Reference::zone::<G>(Pfn::new(range.end().number() - 1))
                        && !range
                            .iter()
                            .any(|pfn| model.is_isolated::<G>(pfn) || model.is_for_movable::<G>(pfn))
                });
                assert!(free.is_none() || self.keeps_frames_back(), "{free:?} is free");
            }
            Err(ContigError::Isolate(error)) if pages == 0 => {
                assert!(Reference::is_range_error(error), "{error}");
            }
            Err(error) => {
                let expected = matches!(
                    error,
                    ContigError::Isolate(_)
                        | ContigError::Busy { .. }
                        | ContigError::NoMemory { .. }
                        | ContigError::BelowMark { .. }
                );
                assert!(expected, "{error}");
            }
        }
    }

    /// Frees `range` as a contiguous one, or as what it is.
    pub(super) fn free_range(&mut self, range: PfnRange, contig: bool) {
        let can = {
            let model = self.model.borrow();
            let one_zone = || {
                let last = Pfn::new(range.end().number() - 1);
                Reference::zone::<G>(range.start()) == Reference::zone::<G>(last)
            };
            let may_be_freed = |pfn| match model.at(pfn) {
                Truth::Owned(_) => !contig,
                Truth::Contig => !model.pinned.contains(&pfn) && !self.is_lent(pfn),
                _ => false,
            };
            !range.is_empty() && range.iter().all(may_be_freed) && (!contig || one_zone())
        };
        let result = self.free_is_refused_without_a_change(|machine| {
            if contig { machine.free_contig(range) } else { machine.free_range(range) }
        });
        assert_eq!(result.is_ok(), can, "{range}: {result:?}");
        if let Err(error) = result {
            let pinned = |pfn| self.model.borrow().pinned.contains(&pfn);
            assert!(!matches!(error, FreeError::Pinned { pfn } if !pinned(pfn)), "{error}");
            return;
        }
        let parts: Vec<PfnRange> = self.contig.iter().map(|held| held.intersection(range)).collect();
        for part in parts {
            self.model.borrow_mut().change(part, Truth::Contig, Truth::Pool);
        }
        let keep = |held: PfnRange| {
            let below = PfnRange::new(held.start(), range.start().clamp(held.start(), held.end()));
            let above = PfnRange::new(range.end().clamp(held.start(), held.end()), held.end());
            [below, above].into_iter().filter(|rest| !rest.is_empty())
        };
        self.contig = self
            .contig
            .drain(..)
            .flat_map(|held| if held.overlaps(range) { keep(held).collect() } else { vec![held] })
            .collect();
        self.parts_of_blocks_are_free(range);
    }

    pub(super) fn set_pinned(&mut self, range: PfnRange, pinned: bool) {
        let before = self.state();
        let result = if pinned { self.machine.pin_range(range) } else { self.machine.unpin_range(range) };
        let mut model = self.model.borrow_mut();
        let is_pinned = |pfn: Pfn| model.pinned.contains(&pfn);
        let Err(error) = result else {
            for pfn in range.iter() {
                assert_eq!((model.at(pfn), is_pinned(pfn)), (Truth::Contig, !pinned), "{pfn} of {range}");
            }
            model.pinned = if pinned {
                model.pinned.iter().copied().chain(range.iter()).collect()
            } else {
                model.pinned.iter().copied().filter(|pfn| !range.contains(*pfn)).collect()
            };
            return;
        };
        match error {
            PinError::Range(RangeError::Empty { .. }) => assert!(range.is_empty()),
            PinError::Range(RangeError::Foreign { pfn }) => assert!(!model.span.contains(pfn)),
            PinError::Range(_) => assert!(!model.is_sound::<G>(range), "{error}"),
            PinError::NotContig { pfn, .. } => assert!(model.at(pfn) != Truth::Contig, "{error}"),
            // An allocation has no block that is not all its own.
            PinError::PartOfBlock { head, .. } => {
                let whole = self.contig.iter().chain(&self.lent).find(|held| held.contains(head));
                assert!(whole.is_none_or(|held| !range.covers(*held)), "{error}");
            }
            PinError::Pinned { pfn } => assert!(pinned && is_pinned(pfn), "{error}"),
            PinError::NotPinned { pfn } => assert!(!pinned && !is_pinned(pfn), "{error}"),
            other => panic!("{range}: {other}"),
        }
        drop(model);
        assert_eq!(self.state(), before, "{error}");
    }

    pub(super) fn take_cma(&mut self, pages: usize, align: Order) {
        let (mut longest, mut run) = (0, 0);
        for pfn in self.area.range().iter() {
            run = if self.is_lent(pfn) { 0 } else { run + 1 };
            longest = longest.max(run);
        }
        match self.area.alloc(self.machine, pages, align, &self.owners()) {
            Ok(range) => {
                assert!(
                    self.area.range().covers(range)
                        && range.len() == pages
                        && align.is_aligned(range.start())
                );
                assert!(!self.lent.iter().any(|lent| lent.overlaps(range)));
                self.lent.push(range);
                self.model.borrow_mut().change(range, Truth::Pool, Truth::Contig);
            }
            Err(CmaError::Full { pages: asked, longest: left }) => {
                assert_eq!((asked, left), (pages, longest));
                assert!(longest < pages + align.pages(), "a run of {longest} pages holds {pages} at {align}");
            }
            Err(error) => assert!(matches!(error, CmaError::Busy(_)), "{error}"),
        }
        self.area_has_what_is_lent();
    }

    /// Gives a range back to the area, if it is one of its own.
    pub(super) fn release_cma(&mut self, range: PfnRange) {
        let ours = !range.is_empty() && range.iter().all(|pfn| self.is_lent(pfn));
        let pinned = range.iter().any(|pfn| self.model.borrow().pinned.contains(&pfn));
        let before = self.state();
        match self.area.free(self.machine, range) {
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
        self.area_has_what_is_lent();
    }

    pub(super) fn area_has_what_is_lent(&self) {
        let lent: usize = self.lent.iter().map(|lent| lent.len()).sum();
        assert_eq!(self.area.stats(self.machine).used, lent);
    }
}
