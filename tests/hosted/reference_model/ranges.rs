//! The steps on ranges: isolation, contiguous ranges, pins.

use pageblock::{
    ContigError, ContigOptions, ContigPlace, ContigRange, Depth, FreeError, Geometry, NoMigration, Obstacle,
    Order, Pfn, PfnRange, PinError, Platform, RangeError,
};

use super::owners::{is_pinned, is_reluctant};
use super::reference::{Reference, Truth};
use super::steps::DEPTHS;
use super::world::World;

impl<P: Platform, G: Geometry> World<'_, '_, P, G> {
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
        let stays = |word| is_pinned(word) || self.setup.busy_owners && is_reluctant(word);
        let pinned = range.iter().find(|pfn| matches!(model.at(*pfn), Truth::Owned(word) if stays(word)));
        match error {
            ContigError::Busy { pfn, .. } => pinned == Some(*pfn) || self.keeps_frames_back(),
            ContigError::NoMemory { pfn, .. } => {
                range.contains(*pfn) && (matches!(model.at(*pfn), Truth::Owned(_)) || self.setup.others)
            }
            ContigError::BelowMark { left, floor, .. } => {
                *left < *floor && (*left <= self.machine.free_count() || self.setup.others)
            }
            _ => false,
        }
    }

    /// A contiguous range was allocated.
    fn admit_contig(&mut self, range: PfnRange) {
        assert!(!range.iter().any(|pfn| self.model.borrow().is_movable_only::<G>(pfn)), "{range}");
        self.write(range);
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
}
