//! The steps on memory that is reserved, added, bad, or reported to a host.

use std::collections::BTreeSet;

use pageblock::{
    ContigOptions, Geometry, IsolateError, MemoryUse, Mobility, Obstacle, Order, Pfn, PfnRange, Platform,
    ReportError, ReportOptions, SoftOffline,
};

use super::owners::{is_pinned, is_reluctant};
use super::reference::{Reference, Truth};
use super::world::World;

impl<P: Platform, G: Geometry> World<'_, '_, P, G> {
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
            MemoryUse::MovableOnly => !model.is_cma(*pageblock),
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
                        let busy = self.setup.busy_owners && is_reluctant(word);
                        let fixed = block.mobility != Mobility::Movable || is_pinned(word) || busy;
                        assert!(fixed || not_free.reason == Obstacle::NoTarget, "{not_free}");
                    }
                    Truth::Contig => {
                        let pinned = model.pinned.contains(&pfn);
                        let expected = if pinned { Obstacle::Pinned } else { Obstacle::Contig };
                        assert_eq!(not_free.reason, expected);
                    }
                    // It is retired when the host has answered.
                    Truth::Pool
                        if !self.batches.is_empty()
                            && (!self.setup.others || not_free.reason == Obstacle::Reporting) =>
                    {
                        assert_eq!(not_free.reason, Obstacle::Reporting);
                        model.marked.insert(pfn);
                    }
                    Truth::Pool if self.setup.others => self.bad_of_others.push(pfn),
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

    /// No frame changes owners, whatever the host answers.
    pub(super) fn report(&mut self, blocks: usize, hand_over: usize, acknowledged: bool, wait: bool) {
        if !self.batches.is_empty() && (!blocks.is_multiple_of(3) || self.batches.len() == 3) {
            let (batch, pages) = self.batches.swap_remove(blocks % self.batches.len());
            let (before, zone) = (self.machine.meminfo().reporting, batch.zone());
            if pages == 0 && !acknowledged {
                drop(batch);
            } else {
                let ended = if acknowledged { batch.acknowledged() } else { batch.refused() };
                assert_eq!(ended, pages);
            }
            let after = self.machine.meminfo().reporting;
            assert!(after + pages <= before && (after == 0 || !self.batches.is_empty()) || self.setup.others);
            self.model.borrow_mut().retire_marked_pool::<G>(zone);
            return;
        }
        let before = self.machine.meminfo();
        let order = Order::new(G::PAGEBLOCK_ORDER.get() + u8::try_from(blocks / 16).unwrap());
        let options = ReportOptions::default().blocks(blocks).order(order);
        let mut batch = match self.machine.report_free_pages(options) {
            Ok(Some(batch)) => batch,
            Ok(None) => return,
            Err(error) => {
                let expected = match error {
                    ReportError::OrderTooLarge { max, .. } => order > max,
                    ReportError::Poisoned => self.setup.poison,
                    ReportError::BatchOut { zone } => self.batches.iter().any(|(out, _)| out.zone() == zone),
                    _ => false,
                };
                assert!(expected, "{error}");
                return;
            }
        };
        let out = batch.pages();
        assert!(self.machine.free_count() + out == before.free || self.setup.others);
        let told: Vec<_> = (0..hand_over).map_while(|_| batch.hand_over()).collect();
        let census = self.machine.verify().unwrap().total();
        let expected = (before.reporting + out, before.allocated);
        assert!((census.reporting, census.allocated) == expected || self.setup.others);
        {
            let model = self.model.borrow();
            for pfn in told.iter().flat_map(|range| range.iter()) {
                assert!(model.at(pfn) == Truth::Pool && !model.is_isolated::<G>(pfn), "{pfn} is not free");
            }
        }
        let pages = told.iter().map(|range| range.len()).sum::<usize>();
        if wait {
            self.batches.push((batch, pages));
            return;
        }
        assert_eq!(if acknowledged { batch.acknowledged() } else { batch.refused() }, pages);
        let after = self.machine.meminfo();
        let expected = (before.free, before.reporting);
        assert!((after.free, after.reporting) == expected || self.setup.others);
        if self.setup.others {
            return;
        }
        let reported = if acknowledged { pages } else { 0 };
        // A block that merges with one that is not marked loses the mark.
        assert!(after.reported <= before.reported + reported, "{} pages", after.reported);
    }
}
