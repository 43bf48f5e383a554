//! The steps on memory that goes offline and comes back.

use std::collections::BTreeSet;

use pageblock::{
    AllocRequest, ContigError, ContigOptions, Geometry, HotplugError, HotplugNotifier, MemoryUse, Mobility,
    Order, PageAllocator, Pfn, PfnRange, Platform, Veto,
};

use super::reference::{Reference, Truth};
use super::steps::pick;
use super::world::World;

/// What a kernel does when it is told that memory goes or comes.
struct Listener<'a, 'm, P: Platform, G: Geometry> {
    machine: &'a PageAllocator<'m, P, G>,
    /// It refuses.
    vetoes: bool,
    /// It calls the allocator.
    calls: bool,
}

impl<'a, 'm, P: Platform, G: Geometry> Listener<'a, 'm, P, G> {
    fn new(machine: &'a PageAllocator<'m, P, G>, number: u8) -> Self {
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

impl<P: Platform, G: Geometry> HotplugNotifier for Listener<'_, '_, P, G> {
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

impl<P: Platform, G: Geometry> World<'_, '_, P, G> {
    pub(super) fn take_offline(&mut self, number: u16, listener: u8) {
        let span = self.machine.span();
        let pageblocks = span.len() / G::PAGEBLOCK_ORDER.pages();
        let at = usize::from(number) % pageblocks * G::PAGEBLOCK_ORDER.pages();
        self.take_range_offline(G::PAGEBLOCK_ORDER.block(Pfn::new(span.start().number() + at)), listener);
    }

    pub(super) fn take_range_offline(&mut self, range: PfnRange, listener: u8) {
        let order = G::PAGEBLOCK_ORDER;
        let whole = order.is_aligned(range.start()) && order.is_aligned(range.end());
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
            (Err(HotplugError::Unaligned { .. }), _) => assert!(!whole),
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
        let can = self.is_offline(range);
        match self.machine.online(offline, &listener) {
            Ok(()) => {
                assert!(can && !listener.vetoes);
                let mut model = self.model.borrow_mut();
                model.change(range, Truth::Offline, Truth::Pool);
                // Retired frames do not tell.
                let tells = !model.all(range, Truth::Bad);
                assert_eq!(self.machine.online_raw(range).is_err(), tells, "{range} is online");
            }
            Err((offline, HotplugError::NotOffline { pfn, .. })) => {
                assert!(!can && offline.range().contains(pfn));
            }
            Err((offline, error)) => {
                assert!(listener.vetoes && error == HotplugError::Vetoed { range }, "{error}");
                self.offline.push(offline);
            }
        }
    }

    /// Whether all frames of a range are offline or retired.
    fn is_offline(&self, range: PfnRange) -> bool {
        let model = self.model.borrow();
        range.iter().all(|pfn| matches!(model.at(pfn), Truth::Offline | Truth::Bad))
    }

    /// Brings a range online by frame number, or removes it.
    pub(super) fn online_or_remove(&mut self, range: PfnRange, remove: bool) {
        let order = G::PAGEBLOCK_ORDER;
        let whole = order.is_aligned(range.start()) && order.is_aligned(range.end());
        let last = Pfn::new(range.end().number().saturating_sub(1));
        let can = whole
            && !range.is_empty()
            && self.is_offline(range)
            && Reference::zone::<G>(range.start()) == Reference::zone::<G>(last);
        let before = self.state();
        let result = if remove { self.machine.remove_memory(range) } else { self.machine.online_raw(range) };
        assert_eq!(result.is_ok(), can, "{range}: {result:?}");
        if can {
            let mut model = self.model.borrow_mut();
            if remove {
                model.remove(range);
                self.write(range);
            } else {
                model.change(range, Truth::Offline, Truth::Pool);
            }
        } else {
            assert_eq!(self.state(), before, "{result:?}");
        }
    }

    /// What keeps a range from going offline is known, and that nothing changes.
    pub(super) fn dry_run(&self, range: PfnRange) {
        let before = self.state();
        let mut told = BTreeSet::new();
        let result = self.machine.offline_dry_run(range, |not_free| {
            assert!(told.insert(not_free.pfn), "{not_free} twice");
        });
        assert_eq!(self.state(), before);
        let order = G::PAGEBLOCK_ORDER;
        let whole = order.is_aligned(range.start()) && order.is_aligned(range.end());
        let model = self.model.borrow();
        let Ok(to_migrate) = result else {
            assert!(!whole || !model.is_sound::<G>(range), "{range}: {result:?}");
            return;
        };
        assert!(whole && model.is_sound::<G>(range), "{range}");
        let (mut words, mut fixed) = (BTreeSet::new(), BTreeSet::new());
        for pfn in range.iter() {
            match model.at(pfn) {
                Truth::Owned(word) if model.blocks[&word].mobility == Mobility::Movable => {
                    words.insert(word);
                }
                Truth::Owned(word) => {
                    fixed.insert(model.blocks[&word].pfn);
                }
                Truth::Contig | Truth::Offline => {
                    // The first frame of its block is not known here.
                    let heads = told.range(..=pfn).next_back();
                    let head = heads.filter(|head| model.at(**head) == model.at(pfn));
                    fixed.insert(*head.unwrap_or_else(|| panic!("{pfn} is not named")));
                }
                Truth::Pool | Truth::Bad | Truth::Out => {}
            }
        }
        let pages: usize = words.iter().map(|word| model.blocks[word].order.pages()).sum();
        assert_eq!((to_migrate, told), (pages, fixed), "{range}");
    }

    pub(super) fn replug(&mut self, which: u16, movable_only: bool) {
        if let Some(offline) = pick(&mut self.offline, which) {
            let can = self.is_offline(offline.range());
            assert_eq!(self.machine.remove_memory(offline.range()).is_ok(), can, "{offline:?}");
            if !can {
                return;
            }
            self.model.borrow_mut().remove(offline.range());
            self.write(offline.range());
            let memory_use = if movable_only { MemoryUse::MovableOnly } else { MemoryUse::Ordinary };
            // One in three stays a hole.
            if !which.is_multiple_of(3) {
                self.add(offline.range(), memory_use);
            }
        }
    }
}
