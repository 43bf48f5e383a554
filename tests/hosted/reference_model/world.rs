//! A machine and the model of it, side by side.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hasher};

use pageblock::{
    AllocatedState, CmaArea, FreeError, Geometry, GuardPages, IsolatedRange, OfflineRange, Order,
    PageAllocator, Pfn, PfnRange, Platform, ReportBatch, ZoneKind,
};

use super::decode::Setup;
use super::promises::Mapped;
use super::reference::{Reference, Truth};
use super::steps::Step;
use crate::support::{Threads, unit};

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
pub(crate) struct World<'a, 'm, P: Platform, G: Geometry> {
    pub(crate) machine: &'a PageAllocator<'m, P, G>,
    pub(super) setup: Setup,
    /// The memory, if it exists.
    pub(super) mapped: Option<&'a Mapped>,
    pub(super) model: RefCell<Reference>,
    pub(super) isolated: Vec<IsolatedRange<'a, 'm, P, G>>,
    pub(super) contig: Vec<PfnRange>,
    /// Exact allocations, parts of which may have been freed since.
    pub(super) exact: Vec<PfnRange>,
    /// CMA areas, the first of which there is from the start.
    pub(super) areas: Vec<CmaArea<'m>>,
    pub(super) lent: Vec<PfnRange>,
    pub(super) offline: Vec<OfflineRange>,
    /// The frames that have got records since boot, the last of them last.
    pub(super) added: Vec<PfnRange>,
    /// Batches that the host has not answered yet, and the pages of each that the host knows of.
    pub(super) batches: Vec<(ReportBatch<'a, 'm, P, G>, usize)>,
    pub(super) words: u64,
    /// The frees that were refused.
    pub(super) refused: Cell<usize>,
    /// Bad frames of blocks of other CPUs, which they have not freed yet.
    pub(super) bad_of_others: Vec<Pfn>,
}

impl<'a, 'm, P: Platform, G: Geometry> World<'a, 'm, P, G> {
    /// A machine that nobody has used yet, with a CMA area whose bits are in `bitmap`, which has
    /// room for two of them.
    ///
    /// Nothing if it has no place for a CMA area.
    pub(crate) fn new(
        machine: &'a PageAllocator<'m, P, G>,
        setup: Setup,
        mapped: Option<&'a Mapped>,
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
        model.cma.push(area.range());
        for pfn in machine.span().iter() {
            // A hole says that it is one when somebody frees it.
            let free = machine.free_pages(pfn, Order::ZERO);
            if free == Err(FreeError::DoubleFree { pfn }) {
                model.change(PfnRange::with_len(pfn, 1), Truth::Out, Truth::Pool);
            }
        }
        Some(Self {
            machine,
            setup,
            mapped,
            model: RefCell::new(model),
            isolated: Vec::new(),
            contig: Vec::new(),
            exact: Vec::new(),
            areas: vec![area],
            lent: Vec::new(),
            offline: Vec::new(),
            added: Vec::new(),
            batches: Vec::new(),
            words: 0,
            refused: Cell::new(machine.refused_frees()),
            bad_of_others: Vec::new(),
        })
    }

    /// The pages of the CMA area, if there is room for so many.
    pub(crate) fn area_pages() -> usize {
        (2 * G::PAGEBLOCK_ORDER.pages()).min(unit::<G>()).max(G::PAGEBLOCK_ORDER.pages())
    }

    /// Whether frames that nobody has may not be had: guards, what the host may be told of, and
    /// what other CPUs have.
    pub(super) fn keeps_frames_back(&self) -> bool {
        self.setup.guards > 0 || !self.batches.is_empty() || self.setup.others
    }

    pub(super) fn is_lent(&self, pfn: Pfn) -> bool {
        self.lent.iter().any(|lent| lent.contains(pfn))
    }

    /// The area that a range begins in, or the first.
    pub(super) fn area_of(&self, range: PfnRange) -> &CmaArea<'m> {
        let area = self.areas.iter().find(|area| area.range().contains(range.start()));
        area.unwrap_or(&self.areas[0])
    }

    /// The user of memory writes it.
    pub(super) fn write(&self, range: PfnRange) {
        if let Some(mapped) = self.mapped {
            mapped.write(range);
        }
    }

    /// Other CPUs have freed all that they had.
    pub(super) fn others_have_freed(&mut self) {
        for pfn in self.bad_of_others.drain(..) {
            self.model.borrow_mut().retire(pfn);
        }
    }

    /// All that later calls depend on.
    pub(super) fn state(&self) -> u64 {
        if self.setup.others {
            // They change it, too.
            return 0;
        }
        let mut hasher = DefaultHasher::new();
        self.machine.hash_state(&mut hasher);
        hasher.finish()
    }

    /// Makes a call that frees something. If it is refused, that is counted, and nothing else has
    /// changed.
    pub(super) fn free_is_refused_without_a_change(
        &self,
        free: impl FnOnce(&PageAllocator<'m, P, G>) -> Result<(), FreeError>,
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
        assert!(census.reporting == 0 || !self.batches.is_empty(), "a batch after {step:?}");
        assert_eq!((census.offline, census.hwpoisoned), (offline, bad), "after {step:?}");
        assert_eq!(machine.managed_count(), model.span.len() - out - offline - bad);
        assert_eq!((machine.free_count(), machine.isolated_count()), (census.free, census.isolated));
        // What is neither free nor isolated, and belongs to nobody.
        let (kept, listed) =
            (census.guard + census.reporting, census.guard + census.reporting + census.cached);
        let isolated = model.count(|pfn, truth| truth == Truth::Pool && model.is_isolated::<G>(pfn));
        assert!(census.isolated <= isolated && isolated <= census.isolated + kept, "isolated after {step:?}");
        let cma = model
            .count(|pfn, truth| truth == Truth::Pool && model.is_cma(pfn) && !model.is_isolated::<G>(pfn));
        let free_cma = machine.free_cma_count();
        assert!(free_cma <= cma && cma <= free_cma + listed, "free CMA after {step:?}");
        let movable_only = model.count(|pfn, truth| {
            truth == Truth::Pool && model.is_movable_only::<G>(pfn) && !model.is_isolated::<G>(pfn)
        });
        let free = machine.meminfo().free_movable_only;
        assert!(free <= movable_only && movable_only <= free + listed, "free movable-only after {step:?}");
        assert_eq!(machine.write_after_free(), None, "after {step:?}");
        let mut allocated = 0;
        for block in machine.allocated_blocks() {
            allocated += block.pages();
            match block.state {
                AllocatedState::InUse => {
                    let known = model.blocks.get(&block.owner).map(|known| (known.pfn, known.order));
                    assert_eq!(known, Some((block.pfn, block.order)), "after {step:?}");
                }
                AllocatedState::Contig | AllocatedState::Cma => {
                    let lent = block.state == AllocatedState::Cma;
                    let known = |pfn| model.at(pfn) == Truth::Contig && self.is_lent(pfn) == lent;
                    assert!(block.range().iter().all(known), "{block} after {step:?}");
                }
                _ => panic!("{block} after {step:?}"),
            }
        }
        assert_eq!(allocated, owned, "blocks after {step:?}");
        for pageblock in machine.pageblocks() {
            let isolated = model.is_isolated::<G>(pageblock.range.start());
            assert_eq!(pageblock.isolated, isolated, "{} after {step:?}", pageblock.range);
        }
        for (&word, block) in &model.blocks {
            assert_eq!(machine.owner(block.pfn, block.order), Ok(word), "after {step:?}");
        }
    }

    /// Gives everything back, after which the machine must be as it was at first.
    ///
    /// It has less memory by what was reserved since, and more by what was added.
    pub(crate) fn clean_up(mut self) {
        for (batch, _) in std::mem::take(&mut self.batches) {
            let zone = batch.zone();
            batch.acknowledged();
            self.model.borrow_mut().retire_marked_pool::<G>(zone);
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
            self.area_of(range).free(self.machine, range).unwrap();
            self.model.borrow_mut().change(range, Truth::Contig, Truth::Pool);
        }
        let span = self.machine.span();
        for start in span.iter().step_by(G::PAGEBLOCK_ORDER.pages()) {
            let pageblock = G::PAGEBLOCK_ORDER.block(start);
            let mut model = self.model.borrow_mut();
            if pageblock.iter().any(|pfn| model.at(pfn) == Truth::Offline) {
                self.machine.online_raw(pageblock).unwrap();
                model.change(pageblock, Truth::Offline, Truth::Pool);
            }
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
