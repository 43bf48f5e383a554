//! A machine and the model of it, side by side.

use std::cell::RefCell;

use pageblock::{
    AllocRequest, CmaArea, Depth, FreeError, Geometry, IsolatedRange, Migrate, MigrateError, Move,
    NoNotifier, OfflineRange, Order, PfnRange, ZoneKind,
};

use super::reference::{Reference, Truth};
use super::steps::Step;
use crate::support::{Machine, Threads, bitmap, unit};

/// Every fifth owner never moves.
pub(crate) fn is_pinned(word: u64) -> bool {
    word.is_multiple_of(5)
}

/// The owner of every movable block: the model itself. Some do not only move when they are asked
/// to.
pub(crate) struct Owners<'a, G: Geometry> {
    pub(crate) model: &'a RefCell<Reference>,
    pub(crate) machine: &'a Machine<G>,
}

impl<G: Geometry> Migrate for Owners<'_, G> {
    fn migrate(&self, page: Move) -> Result<(), MigrateError> {
        let Self { model, machine } = self;
        let mut model = model.borrow_mut();
        let word = page.owner;
        assert!(model.blocks[&word].pfn == page.from && model.blocks[&word].order == page.order);
        if is_pinned(word) {
            return Err(MigrateError::Pinned);
        }
        match word % 7 {
            1 => {
                // It frees the block, and may say anything of it but that it moved.
                machine.free_pages(page.from, page.order).unwrap();
                model.change(page.order.block(page.from), Truth::Owned(word), Truth::Pool);
                model.blocks.remove(&word);
                return Err(if word.is_multiple_of(2) { MigrateError::Gone } else { MigrateError::Busy });
            }
            2 => {
                // It moves, and frees the block at once.
                machine.free_pages(page.to, page.order).unwrap();
                model.change(page.order.block(page.from), Truth::Owned(word), Truth::Pool);
                model.blocks.remove(&word);
                return Ok(());
            }
            3 => {
                // It allocates and frees, drains, and isolates a frame meanwhile, of which it may
                // be that it is isolated already.
                let pages = machine.alloc_pages(AllocRequest::unmovable().depth(Depth::Atomic));
                machine.drain_all();
                drop(machine.isolate(PfnRange::with_len(page.from, 1)));
                pages.into_iter().for_each(|pfn| machine.free_pages(pfn, Order::ZERO).unwrap());
            }
            _ => {}
        }
        model.change(page.order.block(page.from), Truth::Owned(word), Truth::Pool);
        model.change(page.order.block(page.to), Truth::Pool, Truth::Owned(word));
        model.blocks.get_mut(&word).unwrap().pfn = page.to;
        Ok(())
    }
}

/// A machine, what is held of it, and the model of both.
pub(crate) struct World<'a, G: Geometry> {
    pub(crate) machine: &'a Machine<G>,
    pub(crate) guards: bool,
    pub(crate) model: RefCell<Reference>,
    pub(crate) isolated: Vec<IsolatedRange<'a, 'static, Threads, G>>,
    pub(crate) contig: Vec<PfnRange>,
    pub(crate) area: CmaArea<'static>,
    pub(crate) lent: Vec<PfnRange>,
    pub(crate) offline: Vec<OfflineRange>,
    pub(crate) words: u64,
}

impl<'a, G: Geometry> World<'a, G> {
    /// A machine that nobody has used yet.
    ///
    /// Nothing if it has no place for a CMA area.
    pub(crate) fn new(machine: &'a Machine<G>, guards: bool) -> Option<Self> {
        let pages = (2 * G::PAGEBLOCK_ORDER.pages()).min(unit::<G>());
        let reserve = |pages| CmaArea::reserve(machine, pages, ZoneKind::Normal, bitmap(pages)).ok();
        let area = reserve(pages).or_else(|| reserve(G::PAGEBLOCK_ORDER.pages()))?;
        let mut model = Reference::new(machine.span());
        model.cma = area.range();
        for pfn in machine.span().iter() {
            // A hole says that it is one when somebody frees it.
            let free = machine.free_pages(pfn, Order::ZERO);
            if free == Err(FreeError::DoubleFree { pfn }) {
                model.change(PfnRange::with_len(pfn, 1), Truth::Out, Truth::Pool);
            }
        }
        Some(Self {
            machine,
            guards,
            model: RefCell::new(model),
            isolated: Vec::new(),
            contig: Vec::new(),
            area,
            lent: Vec::new(),
            offline: Vec::new(),
            words: 0,
        })
    }

    /// What the owners of movable blocks do.
    pub(crate) fn owners(&self) -> Owners<'_, G> {
        Owners { model: &self.model, machine: self.machine }
    }

    /// Every invariant, and every count that the model knows.
    #[track_caller]
    pub(crate) fn check(&self, step: Step) {
        let model = self.model.borrow();
        let report = self.machine.verify().unwrap_or_else(|violation| panic!("after {step:?}: {violation}"));
        let (census, machine) = (report.total(), self.machine);
        let pool = model.count(|_, truth| truth == Truth::Pool);
        let owned = model.count(|_, truth| matches!(truth, Truth::Owned(_) | Truth::Contig));
        let out = model.count(|_, truth| truth == Truth::Out);
        let offline = model.count(|_, truth| truth == Truth::Offline);
        let bad = model.count(|_, truth| truth == Truth::Bad);
        assert_eq!(census.allocated, owned, "allocated after {step:?}");
        assert_eq!(machine.allocated_count(), owned, "pages in use after {step:?}");
        assert_eq!(census.free + census.cached + census.isolated + census.guard, pool, "pool after {step:?}");
        assert_eq!((census.offline, census.hwpoisoned), (offline, bad), "after {step:?}");
        assert_eq!(machine.managed_count(), model.span.len() - out - offline - bad);
        assert_eq!((machine.free_count(), machine.isolated_count()), (census.free, census.isolated));
        let isolated = model.count(|pfn, truth| truth == Truth::Pool && model.is_isolated::<G>(pfn));
        assert!(
            census.isolated <= isolated && isolated <= census.isolated + census.guard,
            "isolated after {step:?}"
        );
        let cma = model.count(|pfn, truth| {
            truth == Truth::Pool && model.cma.contains(pfn) && !model.is_isolated::<G>(pfn)
        });
        let free_cma = machine.free_cma_count();
        assert!(free_cma <= cma && cma <= free_cma + census.cached + census.guard, "free CMA after {step:?}");
        let movable_only = model.count(|pfn, truth| {
            truth == Truth::Pool && model.is_movable_only::<G>(pfn) && !model.is_isolated::<G>(pfn)
        });
        let free = machine.meminfo().free_movable_only;
        assert!(
            free <= movable_only && movable_only <= free + census.cached + census.guard,
            "free movable-only after {step:?}"
        );
        for (&word, block) in &model.blocks {
            assert_eq!(machine.owner(block.pfn, block.order), Ok(word), "after {step:?}");
        }
    }

    /// Gives everything back, after which the machine must be as it was at first.
    ///
    /// It has less memory by what was reserved since, and more by what was added.
    pub(crate) fn clean_up(mut self) {
        self.isolated.clear();
        self.model.borrow_mut().isolated.clear();
        while !self.model.borrow().blocks.is_empty() {
            self.apply(Step::Free(0));
        }
        for range in self.contig.drain(..) {
            self.machine.free_contig(range).unwrap();
            self.model.borrow_mut().change(range, Truth::Contig, Truth::Pool);
        }
        for range in self.lent.drain(..) {
            self.area.free(self.machine, range).unwrap();
            self.model.borrow_mut().change(range, Truth::Contig, Truth::Pool);
        }
        for offline in self.offline.drain(..) {
            let range = offline.range();
            self.machine.online(offline, &NoNotifier).unwrap();
            self.model.borrow_mut().change(range, Truth::Offline, Truth::Pool);
        }
        self.machine.drain_all();
        self.check(Step::Drain);
        let census = self.machine.verify().unwrap().total();
        assert_eq!((census.allocated, census.isolated, census.cached), (0, 0, 0));
        let usable = census.present - census.hwpoisoned;
        assert_eq!(census.free, usable, "guards have merged with what was freed beside them");
    }
}
