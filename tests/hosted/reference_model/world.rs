//! A machine and the model of it, side by side.

use std::cell::RefCell;

use pageblock::{
    CmaArea, FreeError, Geometry, IsolatedRange, Migrate, MigrateError, Move, NoNotifier, OfflineRange,
    Order, PfnRange, ZoneKind,
};

use super::reference::{Reference, Truth};
use super::steps::Step;
use crate::support::{Machine, Threads, bitmap, unit};

/// Every fifth owner never moves.
pub(crate) fn is_pinned(word: u64) -> bool {
    word.is_multiple_of(5)
}

/// The owner of every movable block: the model itself.
pub(crate) struct Owners<'a>(pub(crate) &'a RefCell<Reference>);

impl Migrate for Owners<'_> {
    fn migrate(&self, page: Move) -> Result<(), MigrateError> {
        let mut model = self.0.borrow_mut();
        let word = page.owner;
        assert!(model.blocks[&word].pfn == page.from && model.blocks[&word].order == page.order);
        if is_pinned(word) {
            return Err(MigrateError::Pinned);
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
    pub(crate) fn new(machine: &'a Machine<G>, guards: bool) -> Self {
        let pages = (2 * G::PAGEBLOCK_ORDER.pages()).min(unit::<G>());
        let area = CmaArea::reserve(machine, pages, ZoneKind::Normal, bitmap(pages)).unwrap();
        let mut model = Reference::new(machine.span());
        model.cma = area.range();
        for pfn in machine.span().iter() {
            // A hole says that it is one when somebody frees it.
            let free = machine.free_pages(pfn, Order::ZERO);
            if free == Err(FreeError::DoubleFree { pfn }) {
                model.change(PfnRange::with_len(pfn, 1), Truth::Out, Truth::Pool);
            }
        }
        Self {
            machine,
            guards,
            model: RefCell::new(model),
            isolated: Vec::new(),
            contig: Vec::new(),
            area,
            lent: Vec::new(),
            offline: Vec::new(),
            words: 0,
        }
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
        assert_eq!(census.allocated, owned, "allocated after {step:?}");
        assert_eq!(machine.allocated_count(), owned, "pages in use after {step:?}");
        assert_eq!(census.free + census.cached + census.isolated + census.guard, pool, "pool after {step:?}");
        assert_eq!((census.offline, machine.managed_count()), (offline, model.span.len() - out - offline));
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
        assert_eq!(census.free, census.present, "guards have merged with what was freed beside them");
    }
}
