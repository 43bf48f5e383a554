//! The steps on memory that comes and goes: reserved, added, offline, bad, reported to a host.

use std::collections::BTreeSet;

use pageblock::{
    AllocRequest, ContigError, ContigOptions, Geometry, HotplugError, HotplugNotifier, IsolateError,
    MemoryUse, Mobility, Obstacle, Order, Pfn, PfnRange, ReportOptions, SoftOffline, Veto,
};

use super::reference::{Reference, Truth};
use super::steps::pick;
use super::world::{World, is_pinned};
use crate::support::MachineIn;

/// What a kernel does when it is told that memory goes or comes.
struct Listener<'a, 'm, G: Geometry> {
    machine: &'a MachineIn<'m, G>,
    /// It refuses.
    vetoes: bool,
    /// It calls the allocator.
    calls: bool,
}

impl<'a, 'm, G: Geometry> Listener<'a, 'm, G> {
    fn new(machine: &'a MachineIn<'m, G>, number: u8) -> Self {
        Self { machine, vetoes: number % 4 == 3, calls: number % 8 > 3 }
    }

    fn act(&self) {
        if self.calls {
            let page = self.machine.alloc_pages(AllocRequest::reclaimable());
            self.machine.drain_all();
            page.into_iter().for_each(|pfn| self.machine.free_pages(pfn, Order::ZERO).unwrap());
            assert!(self.machine.audit().is_exact());
        }
    }

    fn answer(&self) -> Result<(), Veto> {
        self.act();
        if self.vetoes { Err(Veto) } else { Ok(()) }
    }
}

impl<G: Geometry> HotplugNotifier for Listener<'_, '_, G> {
    fn going_offline(&self, _: PfnRange) -> Result<(), Veto> {
        self.answer()
    }

    fn cancel_offline(&self, _: PfnRange) {
        self.act();
    }

    fn offline(&self, _: PfnRange) {
        self.act();
    }

    fn going_online(&self, _: PfnRange) -> Result<(), Veto> {
        self.answer()
    }

    fn online(&self, _: PfnRange) {
        self.act();
    }
}

impl<G: Geometry> World<'_, '_, G> {
    pub(super) fn reserve(&mut self, range: PfnRange) {
        let mut model = self.model.borrow_mut();
        let can = model.is_memory(range)
            && range.iter().all(|pfn| model.at(pfn) == Truth::Pool && !model.is_isolated::<G>(pfn));
        match self.machine.reserve(range) {
            Ok(()) => {
                assert!(can, "{range} was reserved");
                model.change(range, Truth::Pool, Truth::Out);
            }
            Err(error) => assert!(!can || self.keeps_frames_back(), "{range}: {error}"),
        }
    }

    pub(super) fn add(&mut self, range: PfnRange, memory_use: MemoryUse) {
        let before = self.state();
        let mut model = self.model.borrow_mut();
        let model = &mut *model;
        let order = G::PAGEBLOCK_ORDER;
        let pageblocks: BTreeSet<Pfn> =
            range.iter().map(|pfn| Reference::pageblock::<G>(pfn).start()).collect();
        let may_be = |pageblock: &Pfn| match memory_use {
            MemoryUse::MovableOnly => !model.cma.contains(*pageblock),
            MemoryUse::Ordinary => {
                !model.movable_only.contains(pageblock)
                    || model.all(Reference::pageblock::<G>(*pageblock), Truth::Out)
            }
        };
        let whole = order.is_aligned(range.start()) && order.is_aligned(range.end());
        let can = !range.is_empty()
            && (memory_use == MemoryUse::Ordinary || whole)
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
            Err(error) => {
                assert!(!can, "{range}: {error}");
                assert_eq!(self.state(), before, "{error}");
            }
        }
    }

    pub(super) fn soft_offline(&mut self, pfn: Pfn) {
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
                    Truth::Contig => {
                        let pinned = model.pinned.contains(&pfn);
                        let expected = if pinned { Obstacle::Pinned } else { Obstacle::Contig };
                        assert_eq!(not_free.reason, expected);
                    }
                    // It is retired when the host has answered.
                    Truth::Pool if self.batch.is_some() => {
                        assert_eq!(not_free.reason, Obstacle::Reporting);
                        model.marked.insert(pfn);
                    }
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

    pub(super) fn take_offline(&mut self, number: u16, listener: u8) {
        let span = self.machine.span();
        let pageblocks = span.len() / G::PAGEBLOCK_ORDER.pages();
        let at = usize::from(number) % pageblocks * G::PAGEBLOCK_ORDER.pages();
        let range = G::PAGEBLOCK_ORDER.block(Pfn::new(span.start().number() + at));
        let refusal = self.model.borrow().refusal::<G>(range, true);
        let options = ContigOptions::default().attempts(2);
        let listener = Listener::new(self.machine, listener);
        match (self.machine.offline(range, &self.owners(), &listener, options), refusal) {
            (Ok((offline, _)), None) => {
                assert!(!listener.vetoes);
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
            (Err(HotplugError::Vetoed { .. }), None) => assert!(listener.vetoes),
            (Err(HotplugError::Contig(error)), None) => {
                assert!(self.may_fail(range, &error), "{range}: {error}")
            }
            (result, refusal) => panic!("{range}: {result:?}, not {refusal:?}"),
        }
    }

    pub(super) fn put_online(&mut self, which: u16, listener: u8) {
        let Some(offline) = pick(&mut self.offline, which) else {
            return;
        };
        let range = offline.range();
        let listener = Listener::new(self.machine, listener);
        match self.machine.online(offline, &listener) {
            Ok(()) => {
                assert!(!listener.vetoes);
                let mut model = self.model.borrow_mut();
                model.change(range, Truth::Offline, Truth::Pool);
                // Retired frames do not tell.
                let tells = !model.all(range, Truth::Bad);
                assert_eq!(self.machine.online_raw(range).is_err(), tells, "{range} is online");
            }
            Err((offline, error)) => {
                assert!(listener.vetoes && error == HotplugError::Vetoed { range }, "{error}");
                self.offline.push(offline);
            }
        }
    }

    pub(super) fn replug(&mut self, which: u16, movable_only: bool) {
        if let Some(offline) = pick(&mut self.offline, which) {
            self.machine.remove_memory(offline.range()).unwrap();
            self.model.borrow_mut().remove(offline.range());
            let memory_use = if movable_only { MemoryUse::MovableOnly } else { MemoryUse::Ordinary };
            // One in three stays a hole.
            if !which.is_multiple_of(3) {
                self.add(offline.range(), memory_use);
            }
        }
    }

    /// No frame changes owners, whatever the host answers.
    pub(super) fn report(&mut self, blocks: usize, hand_over: usize, acknowledged: bool, wait: bool) {
        if let Some((batch, pages)) = self.batch.take() {
            let refused = if acknowledged { batch.acknowledged() } else { batch.refused() };
            assert_eq!(refused, pages);
            assert_eq!(self.machine.meminfo().reporting, 0);
            self.model.borrow_mut().retire_marked_pool();
            return;
        }
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
        {
            let model = self.model.borrow();
            for pfn in told.iter().flat_map(|range| range.iter()) {
                assert!(model.at(pfn) == Truth::Pool && !model.is_isolated::<G>(pfn), "{pfn} is not free");
            }
        }
        let pages = told.iter().map(|range| range.len()).sum::<usize>();
        if wait {
            self.batch = Some((batch, pages));
            return;
        }
        assert_eq!(if acknowledged { batch.acknowledged() } else { batch.refused() }, pages);
        let after = self.machine.meminfo();
        assert_eq!((after.free, after.reporting), (before.free, 0));
        let reported = if acknowledged { pages } else { 0 };
        // A block that merges with one that is not marked loses the mark.
        assert!(after.reported <= before.reported + reported, "{} pages", after.reported);
    }
}
