//! A machine and the model of it, side by side.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hasher};

use pageblock::{
    AllocRequest, CmaArea, ContigOptions, Depth, FreeError, Geometry, GuardPages, IsolatedRange, Migrate,
    MigrateError, Move, NoMigration, NoNotifier, OfflineRange, Order, Pfn, PfnRange, ReportBatch, ZoneKind,
};

use super::reference::{Reference, Truth};
use super::steps::Step;
use crate::support::{MachineIn, Threads, unit};

/// Every fifth owner never moves.
pub(crate) fn is_pinned(word: u64) -> bool {
    word.is_multiple_of(5)
}

/// The owner of every movable block: the model itself. Some do not only move when they are asked
/// to.
pub(crate) struct Owners<'a, 'm, G: Geometry> {
    model: &'a RefCell<Reference>,
    machine: &'a MachineIn<'m, G>,
    refused: &'a Cell<usize>,
}

impl<G: Geometry> Migrate for Owners<'_, '_, G> {
    fn migrate(&self, page: Move) -> Result<(), MigrateError> {
        let Self { model, machine, refused } = self;
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
            4 => {
                // It frees or splits a part of the block, which it cannot do just now, and asks for
                // a range itself, with the block in it.
                if page.order > Order::ZERO {
                    let migrating = Err(FreeError::Migrating { pfn: page.from });
                    let part = PfnRange::with_len(page.from, 1);
                    assert_eq!(machine.free_range(part), migrating);
                    assert_eq!(machine.split_pages(page.from, page.order, Order::ZERO), migrating);
                    refused.set(refused.get() + 1);
                }
                let options = ContigOptions::default().attempts(1);
                let range = page.order.block(page.from);
                assert!(machine.alloc_contig(range, &NoMigration, options).is_err());
            }
            _ => {}
        }
        model.change(page.order.block(page.from), Truth::Owned(word), Truth::Pool);
        model.change(page.order.block(page.to), Truth::Pool, Truth::Owned(word));
        model.blocks.get_mut(&word).unwrap().pfn = page.to;
        Ok(())
    }
}

thread_local! {
    /// The guards of the machine of this thread, as it has told of them.
    static GUARDED: RefCell<BTreeSet<Pfn>> = const { RefCell::new(BTreeSet::new()) };
}

/// Keeps account of guards, as a kernel that unmaps them.
struct Guards;

impl GuardPages for Guards {
    fn keep(&self, frames: PfnRange) {
        for pfn in frames.iter() {
            assert!(GUARDED.with_borrow_mut(|guarded| guarded.insert(pfn)), "{pfn} is a guard already");
        }
    }

    fn release(&self, frames: PfnRange) {
        for pfn in frames.iter() {
            assert!(GUARDED.with_borrow_mut(|guarded| guarded.remove(&pfn)), "{pfn} is no guard");
        }
    }
}

/// A machine, what is held of it, and the model of both.
pub(crate) struct World<'a, 'm, G: Geometry> {
    pub(crate) machine: &'a MachineIn<'m, G>,
    pub(super) cpus: usize,
    guards: bool,
    pub(super) model: RefCell<Reference>,
    pub(super) isolated: Vec<IsolatedRange<'a, 'm, Threads, G>>,
    pub(super) contig: Vec<PfnRange>,
    /// Exact allocations, parts of which may have been freed since.
    pub(super) exact: Vec<PfnRange>,
    pub(super) area: CmaArea<'m>,
    pub(super) lent: Vec<PfnRange>,
    pub(super) offline: Vec<OfflineRange>,
    /// The frames that have got records since boot, the last of them last.
    pub(super) added: Vec<PfnRange>,
    /// A batch that the host has not answered yet, and the pages of it that the host knows of.
    pub(super) batch: Option<(ReportBatch<'a, 'm, Threads, G>, usize)>,
    pub(super) words: u64,
    /// The frees that were refused.
    pub(super) refused: Cell<usize>,
}

impl<'a, 'm, G: Geometry> World<'a, 'm, G> {
    /// A machine that nobody has used yet, with a CMA area whose bits are in `bitmap`, which has
    /// room for two of them.
    ///
    /// Nothing if it has no place for a CMA area.
    pub(crate) fn new(
        machine: &'a MachineIn<'m, G>,
        cpus: usize,
        guards: bool,
        bitmap: &'m mut [u64],
    ) -> Option<Self> {
        Threads::become_cpu(0);
        GUARDED.take();
        machine.set_guard_pages(&Guards);
        let pages = Self::area_pages();
        let (first, second) = bitmap.split_at_mut(CmaArea::bitmap_words(pages));
        let reserve = |pages, bitmap| CmaArea::reserve(machine, pages, ZoneKind::Normal, bitmap).ok();
        let area = reserve(pages, first).or_else(|| reserve(G::PAGEBLOCK_ORDER.pages(), second))?;
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
            cpus,
            guards,
            model: RefCell::new(model),
            isolated: Vec::new(),
            contig: Vec::new(),
            exact: Vec::new(),
            area,
            lent: Vec::new(),
            offline: Vec::new(),
            added: Vec::new(),
            batch: None,
            words: 0,
            refused: Cell::new(machine.refused_frees()),
        })
    }

    /// The pages of the CMA area, if there is room for so many.
    pub(crate) fn area_pages() -> usize {
        (2 * G::PAGEBLOCK_ORDER.pages()).min(unit::<G>()).max(G::PAGEBLOCK_ORDER.pages())
    }

    /// What the owners of movable blocks do.
    pub(super) fn owners(&self) -> Owners<'_, 'm, G> {
        Owners { model: &self.model, machine: self.machine, refused: &self.refused }
    }

    /// Whether frames that nobody has may not be had: guards, and what the host may be told of.
    pub(super) fn keeps_frames_back(&self) -> bool {
        self.guards || self.batch.is_some()
    }

    pub(super) fn is_lent(&self, pfn: Pfn) -> bool {
        self.lent.iter().any(|lent| lent.contains(pfn))
    }

    /// All that later calls depend on.
    pub(super) fn state(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.machine.hash_state(&mut hasher);
        hasher.finish()
    }

    /// Makes a call that frees something. If it is refused, that is counted, and nothing else has
    /// changed.
    pub(super) fn free_is_refused_without_a_change(
        &self,
        free: impl FnOnce(&MachineIn<'m, G>) -> Result<(), FreeError>,
    ) -> Result<(), FreeError> {
        let before = self.state();
        let result = free(self.machine);
        if let Err(error) = result {
            self.refused.set(self.refused.get() + 1);
            assert_eq!(self.state(), before, "{error}");
        }
        result
    }

    /// Every invariant, and every count that the model knows.
    #[track_caller]
    pub(crate) fn check(&self, step: Step) {
        let model = self.model.borrow();
        let report = self.machine.verify().unwrap_or_else(|violation| panic!("after {step:?}: {violation}"));
        let audit = self.machine.audit();
        assert!(audit.is_exact(), "after {step:?}: {audit}");
        assert_eq!(self.machine.refused_frees(), self.refused.get(), "refused frees after {step:?}");
        let (census, machine) = (report.total(), self.machine);
        let pool = model.count(|_, truth| truth == Truth::Pool);
        let owned = model.count(|_, truth| matches!(truth, Truth::Owned(_) | Truth::Contig));
        let out = model.count(|_, truth| truth == Truth::Out);
        let offline = model.count(|_, truth| truth == Truth::Offline);
        let bad = model.count(|_, truth| truth == Truth::Bad);
        assert_eq!(census.allocated, owned, "allocated after {step:?}");
        assert_eq!(machine.allocated_count(), owned, "pages in use after {step:?}");
        let in_pool = census.free + census.cached + census.isolated + census.guard + census.reporting;
        assert_eq!(in_pool, pool, "pool after {step:?}");
        GUARDED.with_borrow(|guarded| {
            assert_eq!(census.guard, guarded.len(), "guards after {step:?}");
            let kept = |pfn: &Pfn| model.at(*pfn) == Truth::Pool;
            assert!(guarded.iter().all(kept), "guards of others than the allocator after {step:?}");
        });
        assert!(census.reporting == 0 || self.batch.is_some(), "a batch after {step:?}");
        assert_eq!((census.offline, census.hwpoisoned), (offline, bad), "after {step:?}");
        assert_eq!(machine.managed_count(), model.span.len() - out - offline - bad);
        assert_eq!((machine.free_count(), machine.isolated_count()), (census.free, census.isolated));
        // What is neither free nor isolated, and belongs to nobody.
        let (kept, listed) =
            (census.guard + census.reporting, census.guard + census.reporting + census.cached);
        let isolated = model.count(|pfn, truth| truth == Truth::Pool && model.is_isolated::<G>(pfn));
        assert!(census.isolated <= isolated && isolated <= census.isolated + kept, "isolated after {step:?}");
        let cma = model.count(|pfn, truth| {
            truth == Truth::Pool && model.cma.contains(pfn) && !model.is_isolated::<G>(pfn)
        });
        let free_cma = machine.free_cma_count();
        assert!(free_cma <= cma && cma <= free_cma + listed, "free CMA after {step:?}");
        let movable_only = model.count(|pfn, truth| {
            truth == Truth::Pool && model.is_movable_only::<G>(pfn) && !model.is_isolated::<G>(pfn)
        });
        let free = machine.meminfo().free_movable_only;
        assert!(free <= movable_only && movable_only <= free + listed, "free movable-only after {step:?}");
        for (&word, block) in &model.blocks {
            assert_eq!(machine.owner(block.pfn, block.order), Ok(word), "after {step:?}");
        }
    }

    /// Gives everything back, after which the machine must be as it was at first.
    ///
    /// It has less memory by what was reserved since, and more by what was added.
    pub(crate) fn clean_up(mut self) {
        if let Some((batch, _)) = self.batch.take() {
            batch.acknowledged();
            self.model.borrow_mut().retire_marked_pool();
        }
        self.isolated.clear();
        self.model.borrow_mut().isolated.clear();
        while !self.model.borrow().blocks.is_empty() {
            self.apply(Step::Free(0));
        }
        let pinned = std::mem::take(&mut self.model.borrow_mut().pinned);
        for range in self.contig.iter().chain(&self.lent) {
            if range.iter().any(|pfn| pinned.contains(&pfn)) {
                self.unpin_all(*range);
            }
        }
        for range in std::mem::take(&mut self.contig) {
            self.machine.free_contig(range).unwrap();
            self.model.borrow_mut().change(range, Truth::Contig, Truth::Pool);
        }
        for range in std::mem::take(&mut self.lent) {
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

    /// Unpins the blocks of a contiguous allocation that are pinned.
    fn unpin_all(&self, range: PfnRange) {
        let mut start = range.start();
        while start < range.end() {
            // The end of a block is not known here.
            let ends = start.number() + 1..=range.end().number();
            let parts = ends.map(|end| PfnRange::new(start, Pfn::new(end)));
            let unpinned = parts.clone().find(|part| self.machine.unpin_range(*part).is_ok());
            start = unpinned.map_or(Pfn::new(start.number() + 1), PfnRange::end);
        }
    }
}
