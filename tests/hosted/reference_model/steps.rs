//! One operation, on the allocator and on the model.

use std::collections::BTreeSet;

use pageblock::{
    AllocRequest, CmaError, ContigError, ContigOptions, Depth, FrameKind, FreeError, Geometry, HotplugError,
    IsolateError, Mark, MemoryUse, Mobility, NoNotifier, Obstacle, Order, Pfn, PfnRange, ReportOptions,
    SoftOffline, ZoneFigures, ZoneKind,
};

use super::reference::{Block, Reference, Truth};
use super::world::{World, is_pinned};

/// What to do. Numbers are taken modulo what there is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    Alloc {
        order: u8,
        mobility: u8,
        zone: u8,
        depth: u8,
    },
    Free(u16),
    FreePart {
        number: u16,
        from: u16,
        len: u16,
    },
    BadFree {
        place: u16,
        order: u8,
    },
    Isolate {
        at: u16,
        len: u16,
    },
    Undo(u16),
    Test(u16),
    TakeContig {
        at: u16,
        len: u16,
    },
    FreeContig {
        which: u16,
        from: u16,
        len: u16,
    },
    TakeCma {
        len: u16,
        align: u8,
    },
    ReleaseCma {
        which: u16,
        from: u16,
        len: u16,
    },
    Drain,
    Reserve {
        at: u16,
        len: u16,
    },
    Add {
        at: u16,
        len: u16,
    },
    Offline(u16),
    Online(u16),
    /// Removes an offline range from the machine and adds it again, movable-only or not.
    Replug(u16, bool),
    SoftOffline(u16),
    /// Reports a batch to the host, and hands some of its blocks over.
    Report {
        blocks: u8,
        hand_over: u8,
        acknowledged: bool,
    },
}

const MOBILITIES: [Mobility; 3] = [Mobility::Unmovable, Mobility::Movable, Mobility::Reclaimable];
const DEPTHS: [Depth; 3] = [Depth::Normal, Depth::Atomic, Depth::Emergency];

/// One of `all`, if there is any.
fn pick<T>(all: &mut Vec<T>, number: u16) -> Option<T> {
    (!all.is_empty()).then(|| all.swap_remove(usize::from(number) % all.len()))
}

/// A part of a range, and what is left of it.
fn cut(range: PfnRange, from: u16, len: u16) -> (PfnRange, impl Iterator<Item = PfnRange>) {
    let from = usize::from(from) % range.len();
    let start = Pfn::new(range.start().number() + from);
    let part = PfnRange::with_len(start, 1 + usize::from(len) % (range.len() - from));
    let rest = [PfnRange::new(range.start(), part.start()), PfnRange::new(part.end(), range.end())];
    (part, rest.into_iter().filter(|rest| !rest.is_empty()))
}

impl<G: Geometry> World<'_, G> {
    /// Some range, mostly a short one, and now and then one that reaches over an end.
    fn range(&self, at: u16, len: u16) -> PfnRange {
        let span = self.machine.span();
        let start = span.start().number() + usize::from(at) % (span.len() + 2);
        let longest = if len.is_multiple_of(4) { span.len() } else { G::PAGEBLOCK_ORDER.pages() + 3 };
        PfnRange::with_len(Pfn::new(start), usize::from(len / 4) % longest)
    }

    pub(crate) fn apply(&mut self, step: Step) {
        let machine = self.machine;
        match step {
            Step::Alloc { order, mobility, zone, depth } => {
                // Often small, now and then above the largest.
                let order = Order::new(order % (G::MAX_ORDER.get() + 2));
                let mobility = MOBILITIES[usize::from(mobility)];
                self.alloc(order, mobility, ZoneKind::ALL[usize::from(zone)], DEPTHS[usize::from(depth)]);
            }
            Step::Free(number) => self.free(number),
            Step::FreePart { number, from, len } => self.free_part(number, from, len),
            Step::BadFree { place, order } => self.bad_free(place, Order::new(order)),
            Step::Isolate { at, len } => self.isolate(self.range(at, len)),
            Step::Undo(number) => {
                if let Some(held) = pick(&mut self.isolated, number) {
                    self.model.borrow_mut().isolated.retain(|range| *range != held.range());
                }
            }
            Step::Test(number) => self.test(number),
            Step::TakeContig { at, len } => self.take_contig(self.range(at, len)),
            Step::FreeContig { which, from, len } => {
                if let Some(range) = pick(&mut self.contig, which) {
                    let (part, rest) = cut(range, from, len);
                    self.contig.extend(rest);
                    let freed = if which.is_multiple_of(2) {
                        machine.free_contig(part)
                    } else {
                        machine.free_range(part)
                    };
                    freed.unwrap();
                    self.model.borrow_mut().change(part, Truth::Contig, Truth::Pool);
                }
            }
            Step::TakeCma { len, align } => {
                self.take_cma(1 + usize::from(len) % self.area.range().len(), Order::new(align));
            }
            Step::ReleaseCma { which, from, len } => {
                if let Some(range) = pick(&mut self.lent, which) {
                    let (part, rest) = cut(range, from, len);
                    self.lent.extend(rest);
                    self.area.free(machine, part).unwrap();
                    self.model.borrow_mut().change(part, Truth::Contig, Truth::Pool);
                }
            }
            Step::Drain => machine.drain_all(),
            Step::Reserve { at, len } => self.reserve(self.range(at, len)),
            Step::Add { at, len } => self.add(self.range(at, len), MemoryUse::Ordinary),
            Step::Offline(number) => self.take_offline(number),
            Step::Online(number) => {
                if let Some(offline) = pick(&mut self.offline, number) {
                    let range = offline.range();
                    machine.online(offline, &NoNotifier).unwrap();
                    self.model.borrow_mut().change(range, Truth::Offline, Truth::Pool);
                }
            }
            Step::Replug(which, movable_only) => {
                if let Some(offline) = pick(&mut self.offline, which) {
                    machine.remove_memory(offline.range()).unwrap();
                    self.model.borrow_mut().remove(offline.range());
                    let memory_use = if movable_only { MemoryUse::MovableOnly } else { MemoryUse::Ordinary };
                    self.add(offline.range(), memory_use);
                }
            }
            Step::Report { blocks, hand_over, acknowledged } => {
                self.report(usize::from(blocks), usize::from(hand_over), acknowledged);
            }
            Step::SoftOffline(place) => {
                let span = machine.span();
                let pfn = span.start().number() + usize::from(place) % (span.len() + 2);
                self.soft_offline(Pfn::new(pfn));
            }
        }
    }

    /// No frame changes owners, whatever the host answers.
    fn report(&self, blocks: usize, hand_over: usize, acknowledged: bool) {
        let before = self.machine.meminfo();
        let Ok(Some(mut batch)) = self.machine.report_free_pages(ReportOptions::default().blocks(blocks))
        else {
            return;
        };
        let out = batch.pages();
        assert_eq!(self.machine.free_count() + out, before.free);
        let told: Vec<_> = (0..hand_over).map_while(|_| batch.hand_over()).collect();
        let census = self.machine.verify().unwrap().total();
        assert_eq!((census.reporting, census.allocated), (out, before.allocated));
        let model = self.model.borrow();
        for pfn in told.iter().flat_map(|range| range.iter()) {
            assert!(model.at(pfn) == Truth::Pool && !model.is_isolated::<G>(pfn), "{pfn} is not free");
        }
        let pages = told.iter().map(|range| range.len()).sum::<usize>();
        assert_eq!(if acknowledged { batch.acknowledged() } else { batch.refused() }, pages);
        let after = self.machine.meminfo();
        assert_eq!((after.free, after.reporting), (before.free, 0));
        let reported = if acknowledged { pages } else { 0 };
        // A block that merges with one that is not marked loses the mark.
        assert!(after.reported <= before.reported + reported, "{} pages", after.reported);
    }

    fn alloc(&mut self, order: Order, mobility: Mobility, highest: ZoneKind, depth: Depth) {
        self.words += 1;
        let word = self.words;
        let before = self.machine.zoneinfo();
        let request = AllocRequest::new(order, mobility).highest_zone(highest).depth(depth).owner(word);
        let result = self.machine.alloc_pages(request);
        let mut model = self.model.borrow_mut();
        let Ok(pfn) = result else {
            let no_reserves = |zone: &ZoneFigures| {
                zone.watermarks.get(Mark::Min) == 0 && zone.lowmem_reserve_movable == [0; ZoneKind::COUNT]
            };
            // What is on other lists is drained and merged for all but atomic requests; guards
            // stay.
            let complete =
                order <= G::PAGEBLOCK_ORDER.min(G::MAX_ORDER) && depth != Depth::Atomic && !self.guards;
            if complete && before.zones.iter().all(no_reserves) {
                assert!(!model.has_room::<G>(order, mobility, highest), "there was room for {request:?}");
            }
            return;
        };
        let block = order.block(pfn);
        assert!(order.is_aligned(pfn) && Reference::zone::<G>(pfn) <= highest, "{pfn} for {request:?}");
        assert!(block.iter().all(|pfn| !model.is_isolated::<G>(pfn)), "{pfn} is isolated");
        let for_movable = block.iter().any(|pfn| model.is_for_movable::<G>(pfn));
        assert!(mobility == Mobility::Movable || !for_movable, "{pfn} is for movable pages only");
        model.change(block, Truth::Pool, Truth::Owned(word));
        model.blocks.insert(word, Block { pfn, order, mobility });
        let zone = Reference::zone::<G>(pfn) as usize;
        let (was, is) = (before.zones[zone], self.machine.zoneinfo().zones[zone]);
        let reserve =
            if mobility == Mobility::Movable { was.lowmem_reserve_movable } else { was.lowmem_reserve };
        let floor = was.watermarks.get(Mark::Min) + reserve[highest as usize];
        let may_dig = depth != Depth::Normal;
        let [had, has] = [was, is].map(|zone| zone.free - zone.free_movable_only);
        assert!(may_dig || has >= had || has >= floor, "{request:?} went below {floor}");
    }

    fn free(&mut self, number: u16) {
        let mut model = self.model.borrow_mut();
        let words: Vec<u64> = model.blocks.keys().copied().collect();
        if words.is_empty() {
            return;
        }
        let word = words[usize::from(number) % words.len()];
        let Block { pfn, order, .. } = model.blocks.remove(&word).unwrap();
        assert_eq!(self.machine.owner(pfn, order), Ok(word));
        self.machine.free_pages(pfn, order).unwrap();
        model.change(order.block(pfn), Truth::Owned(word), Truth::Pool);
    }

    /// Frees a part of a block. What is left of it is new blocks, each with an owner of its own.
    fn free_part(&mut self, number: u16, from: u16, len: u16) {
        let mut model = self.model.borrow_mut();
        let words: Vec<u64> = model.blocks.keys().copied().collect();
        if words.is_empty() {
            return;
        }
        let word = words[usize::from(number) % words.len()];
        let Block { pfn, order, mobility } = model.blocks.remove(&word).unwrap();
        let (part, rest) = cut(order.block(pfn), from, len);
        self.machine.free_range(part).unwrap();
        model.change(part, Truth::Owned(word), Truth::Pool);
        for mut rest in rest {
            while !rest.is_empty() {
                let largest = (0..=G::MAX_ORDER.get()).rev().map(Order::new);
                let mut fits =
                    largest.filter(|order| order.is_aligned(rest.start()) && order.pages() <= rest.len());
                let (pfn, order) = (rest.start(), fits.next().unwrap());
                self.words += 1;
                self.machine.set_owner(pfn, order, self.words).unwrap();
                model.change(order.block(pfn), Truth::Owned(word), Truth::Owned(self.words));
                model.blocks.insert(self.words, Block { pfn, order, mobility });
                rest = PfnRange::new(order.block(pfn).end(), rest.end());
            }
        }
    }

    fn bad_free(&mut self, place: u16, order: Order) {
        let model = self.model.borrow();
        let span = self.machine.span();
        let pfn = Pfn::new(span.start().number() + usize::from(place) % (span.len() + 2));
        if model.blocks.values().any(|block| block.pfn == pfn && block.order == order) {
            return;
        }
        let error = self.machine.free_pages(pfn, order).unwrap_err();
        if !span.contains(pfn) {
            assert_eq!(error, FreeError::Foreign { pfn });
        } else if order > G::MAX_ORDER {
            assert_eq!(error, FreeError::OrderTooLarge { order, max: G::MAX_ORDER });
        } else if !order.is_aligned(pfn) {
            assert_eq!(error, FreeError::Unaligned { pfn, order });
        } else {
            match (model.at(pfn), error) {
                (Truth::Pool, FreeError::DoubleFree { .. })
                | (Truth::Out, FreeError::Hole { .. } | FreeError::NotManaged { .. })
                | (Truth::Contig, FreeError::Contig { .. } | FreeError::NotHead { .. })
                | (Truth::Bad, FreeError::NotManaged { kind: FrameKind::HwPoison, .. })
                | (Truth::Offline, FreeError::NotManaged { .. } | FreeError::NotHead { .. }) => {}
                (Truth::Owned(word), FreeError::WrongOrder { allocated, .. }) => {
                    assert_eq!(allocated, model.blocks[&word].order);
                }
                (Truth::Owned(word), FreeError::NotHead { head, .. }) => {
                    assert_eq!(head, model.blocks[&word].pfn)
                }
                (truth, error) => panic!("{pfn} is {truth:?}: {error}"),
            }
        }
    }

    fn isolate(&mut self, range: PfnRange) {
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

    fn test(&mut self, number: u16) {
        if self.isolated.is_empty() {
            return;
        }
        let index = usize::from(number) % self.isolated.len();
        let range = self.isolated[index].range();
        let model = self.model.borrow();
        let busy = range.iter().find(|pfn| model.at(*pfn) != Truth::Pool);
        match self.isolated[index].test() {
            Ok(free) => assert_eq!((free.range(), busy), (range, None)),
            Err(not_free) if self.guards => {
                assert!(busy.is_none_or(|busy| not_free.pfn <= busy), "{not_free}")
            }
            Err(not_free) => assert_eq!(Some(not_free.pfn), busy, "{not_free}"),
        }
    }

    /// Whether a range that could be isolated may still not be had for this reason.
    fn may_fail(&self, range: PfnRange, error: &ContigError) -> bool {
        let model = self.model.borrow();
        let pinned = range.iter().find(|pfn| matches!(model.at(*pfn), Truth::Owned(word) if is_pinned(word)));
        match error {
            ContigError::Busy { pfn, .. } => pinned == Some(*pfn) || self.guards,
            ContigError::NoMemory { pfn, .. } => {
                range.contains(*pfn) && matches!(model.at(*pfn), Truth::Owned(_))
            }
            ContigError::BelowMark { left, floor, .. } => {
                *left < *floor && *left <= self.machine.free_count()
            }
            _ => false,
        }
    }

    fn take_contig(&mut self, range: PfnRange) {
        let refusal = self.model.borrow().refusal::<G>(range, false);
        let options = ContigOptions::default().attempts(2);
        match (self.machine.alloc_contig(range, &self.owners(), options), refusal) {
            (Ok(taken), None) => {
                assert!(!range.iter().any(|pfn| self.model.borrow().is_movable_only::<G>(pfn)), "{range}");
                self.contig.push(taken.into_raw());
                self.model.borrow_mut().change(range, Truth::Pool, Truth::Contig);
            }
            (Err(ContigError::Isolate(error)), Some(refusal)) => {
                assert!(refusal.is(error), "{error}, not {refusal:?}")
            }
            (Err(ContigError::MovableOnly { pfn }), None) => {
                let model = self.model.borrow();
                assert_eq!(range.iter().find(|pfn| model.is_movable_only::<G>(*pfn)), Some(pfn));
            }
            (Err(error), None) => assert!(self.may_fail(range, &error), "{range}: {error}"),
            (Ok(_), Some(refusal)) => panic!("{range} was allocated in spite of {refusal:?}"),
            (Err(error), Some(refusal)) => panic!("{range}: {error}, not {refusal:?}"),
        }
    }

    fn take_cma(&mut self, pages: usize, align: Order) {
        let (mut longest, mut run) = (0, 0);
        for pfn in self.area.range().iter() {
            run = if self.lent.iter().any(|lent| lent.contains(pfn)) { 0 } else { run + 1 };
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
        let lent: usize = self.lent.iter().map(|lent| lent.len()).sum();
        assert_eq!(self.area.stats(self.machine).used, lent);
    }

    fn reserve(&mut self, range: PfnRange) {
        let mut model = self.model.borrow_mut();
        let can = model.is_memory(range)
            && range.iter().all(|pfn| model.at(pfn) == Truth::Pool && !model.is_isolated::<G>(pfn));
        match self.machine.reserve(range) {
            Ok(()) => {
                assert!(can, "{range} was reserved");
                model.change(range, Truth::Pool, Truth::Out);
            }
            Err(error) => assert!(!can || self.guards, "{range}: {error}"),
        }
    }

    fn add(&mut self, range: PfnRange, memory_use: MemoryUse) {
        let mut model = self.model.borrow_mut();
        let model = &mut *model;
        let pageblocks: BTreeSet<Pfn> =
            range.iter().map(|pfn| Reference::pageblock::<G>(pfn).start()).collect();
        let may_be = |pageblock: &Pfn| match memory_use {
            MemoryUse::MovableOnly => !model.cma.contains(*pageblock),
            MemoryUse::Ordinary => {
                !model.movable_only.contains(pageblock)
                    || model.all(Reference::pageblock::<G>(*pageblock), Truth::Out)
            }
        };
        let can = !range.is_empty()
            && model.span.covers(range)
            && model.all(range, Truth::Out)
            && pageblocks.iter().all(may_be);
        match self.machine.add_memory(range, memory_use) {
            Ok(()) => {
                assert!(can, "{range} was added");
                model.change(range, Truth::Out, Truth::Pool);
                for pageblock in pageblocks {
                    match memory_use {
                        MemoryUse::MovableOnly => model.movable_only.insert(pageblock),
                        MemoryUse::Ordinary => model.movable_only.remove(&pageblock),
                    };
                }
            }
            Err(error) => assert!(!can, "{range}: {error}"),
        }
    }

    fn soft_offline(&mut self, pfn: Pfn) {
        let frame = PfnRange::with_len(pfn, 1);
        let before = self.model.borrow().at(pfn);
        // It must be marked when its block migrates.
        let in_use = matches!(before, Truth::Owned(_) | Truth::Contig);
        let newly_marked = in_use && self.model.borrow_mut().marked.insert(pfn);
        let options = ContigOptions::default().attempts(2);
        let result = self.machine.soft_offline_page(pfn, &self.owners(), options);
        let mut model = self.model.borrow_mut();
        match result {
            Ok(SoftOffline::Retired) => {
                if matches!(before, Truth::Pool | Truth::Offline) {
                    model.retire(pfn);
                }
                assert_eq!(model.at(pfn), Truth::Bad, "{pfn} was {before:?}");
            }
            Ok(SoftOffline::WhenFreed(not_free)) => {
                match before {
                    Truth::Owned(word) => {
                        let block = model.blocks[&word];
                        assert_eq!(block.pfn, not_free.pfn);
                        let fixed = block.mobility != Mobility::Movable || is_pinned(word);
                        assert!(fixed || not_free.reason == Obstacle::NoTarget, "{not_free}");
                    }
                    Truth::Contig => assert_eq!(not_free.reason, Obstacle::Contig),
                    other => panic!("{pfn} was {other:?}: {not_free}"),
                }
                assert_eq!(model.at(pfn), before);
            }
            Err(error) => {
                assert!(model.refusal::<G>(frame, true).is_some_and(|refusal| refusal.is(error)), "{error}");
                assert!(!in_use || matches!(error, IsolateError::Overlap { .. }), "{error}");
                if newly_marked {
                    model.marked.remove(&pfn);
                }
            }
        }
    }

    fn take_offline(&mut self, number: u16) {
        let span = self.machine.span();
        let pageblocks = span.len() / G::PAGEBLOCK_ORDER.pages();
        let at = usize::from(number) % pageblocks * G::PAGEBLOCK_ORDER.pages();
        let range = G::PAGEBLOCK_ORDER.block(Pfn::new(span.start().number() + at));
        let refusal = self.model.borrow().refusal::<G>(range, true);
        let options = ContigOptions::default().attempts(2);
        match (self.machine.offline(range, &self.owners(), &NoNotifier, options), refusal) {
            (Ok((offline, _)), None) => {
                let mut model = self.model.borrow_mut();
                // Retired frames are there before and after, so that they can go offline again.
                if !model.all(range, Truth::Bad) {
                    self.offline.push(offline);
                }
                model.change(range, Truth::Pool, Truth::Offline);
            }
            (Err(HotplugError::Contig(ContigError::Isolate(error))), Some(refusal)) => {
                assert!(refusal.is(error), "{error}, not {refusal:?}");
            }
            (Err(HotplugError::Contig(error)), None) => {
                assert!(self.may_fail(range, &error), "{range}: {error}")
            }
            (result, refusal) => panic!("{range}: {result:?}, not {refusal:?}"),
        }
    }
}
