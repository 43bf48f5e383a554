//! What the tests of the faults share: another CPU that runs at a yield point, and the drift.
//!
//! Every test here runs on one thread. Where the library reaches a yield point it holds no lock,
//! and the hook is the other CPU: what it does there happens between two lock holds of the first,
//! at the same place each time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use pageblock::{
    AllocRequest, Faults, Geometry, IsolatedRange, Order, Pfn, PfnRange, X86_64, YieldHook, YieldPoint,
};

use crate::support::{Builder, Machine, Threads, cma_area, fill, frames};

/// A machine that lives as long as the test process, so that a hook can use it.
pub(crate) type Static<G = X86_64> = &'static Machine<G>;

/// Two CPUs, no watermarks, memory from frame 0 up to `end`.
pub(crate) fn two_cpus(end: usize) -> Builder {
    frames(&[(0, end)]).no_reserve().cpus(2)
}

pub(crate) fn leak<G: Geometry>(machine: Machine<G>) -> Static<G> {
    Box::leak(Box::new(machine))
}

/// A machine of four pageblocks, all of it owned in movable blocks of `order`.
///
/// The second pageblock is CMA if `area` says so.
pub(crate) fn owned_in_blocks(order: Order, area: Area) -> Static {
    let machine = leak(two_cpus(2048).build());
    if area == Area::Cma {
        let _area = cma_area(machine, BLOCK);
    }
    let owned = fill(machine, AllocRequest::movable().order(order));
    assert_eq!(owned.len() * order.pages(), 2048, "everything is owned");
    machine
}

/// The pageblock that everything happens in.
pub(crate) const BLOCK: PfnRange = PfnRange::new(Pfn::new(512), Pfn::new(1024));

/// The type of [`BLOCK`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Area {
    Ordinary,
    Cma,
}

/// Frees a block and takes it off the pcplist.
pub(crate) fn free_to_buddy<G: Geometry>(machine: Static<G>, pfn: Pfn, order: Order) {
    machine.free_pages(pfn, order).unwrap();
    machine.drain_all();
}

type Held<G> = Mutex<Option<IsolatedRange<'static, 'static, Threads, G>>>;

/// An isolation that one CPU begins and another ends, or nobody.
pub(crate) struct Isolator<G: Geometry = X86_64> {
    machine: Static<G>,
    held: &'static Held<G>,
}

impl<G: Geometry> Clone for Isolator<G> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<G: Geometry> Copy for Isolator<G> {}

impl<G: Geometry> Isolator<G> {
    pub(crate) fn new(machine: Static<G>) -> Self {
        Self { machine, held: Box::leak(Box::default()) }
    }

    pub(crate) fn isolate(&self, range: PfnRange) {
        *self.held.lock().unwrap() = Some(self.machine.isolate(range).unwrap());
    }

    pub(crate) fn undo(&self) {
        let isolated = self.held.lock().unwrap().take();
        assert!(isolated.is_some(), "nothing is isolated");
    }

    /// Why the range is not free and isolated, or nothing.
    pub(crate) fn blocked(&self) -> Option<pageblock::NotFree> {
        let mut held = self.held.lock().unwrap();
        held.as_mut().unwrap().test().err()
    }
}

/// What the other CPU did.
#[must_use = "assert that the other CPU had its turn"]
pub(crate) struct OtherCpu(Arc<AtomicBool>);

impl OtherCpu {
    /// Has CPU 1 do `work` when `point` is reached for the first time from now on.
    pub(crate) fn at<G: Geometry>(
        machine: Static<G>,
        point: YieldPoint,
        work: impl FnOnce() + Send + 'static,
    ) -> Self {
        let ran = Arc::new(AtomicBool::new(false));
        let done = ran.clone();
        let work = Mutex::new(Some(work));
        let hook: YieldHook = Box::leak(Box::new(move |reached| {
            if reached != point {
                return;
            }
            // Taken before it runs: the points that it reaches itself are not its cue.
            let work = work.lock().unwrap().take();
            if let Some(work) = work {
                Threads::become_cpu(1);
                work();
                Threads::become_cpu(0);
                done.store(true, Ordering::Relaxed);
            }
        }));
        machine.set_yield_hook(Some(hook));
        Self(ran)
    }

    #[track_caller]
    pub(crate) fn had_its_turn(self) {
        assert!(self.0.load(Ordering::Relaxed), "the yield point was not reached");
    }
}

/// Each counter minus the truth over the whole machine, in pages.
///
/// `misplaced` counts the pages on lists of another type than their pageblock's.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Drift {
    pub(crate) free: isize,
    pub(crate) free_cma: isize,
    pub(crate) isolated: isize,
    pub(crate) misplaced: usize,
}

impl Drift {
    pub(crate) const NONE: Self = Self { free: 0, free_cma: 0, isolated: 0, misplaced: 0 };

    /// So many free pages are counted as isolated instead, or the other way round if negative.
    pub(crate) const fn from_free_to_isolated(pages: isize, misplaced: usize) -> Self {
        Self { free: -pages, free_cma: 0, isolated: pages, misplaced }
    }

    /// The same on a CMA list.
    pub(crate) const fn in_area(self, area: Area) -> Self {
        match area {
            Area::Ordinary => self,
            Area::Cma => Self { free_cma: self.free, ..self },
        }
    }

    #[track_caller]
    pub(crate) fn of<G: Geometry>(machine: Static<G>) -> Self {
        machine.audit().zones.iter().fold(Self::NONE, |sum, zone| {
            assert_eq!((zone.damaged_lists, zone.cached.drift(), zone.free_atomic.drift()), (0, 0, 0));
            Self {
                free: sum.free + zone.free.drift(),
                free_cma: sum.free_cma + zone.free_cma.drift(),
                isolated: sum.isolated + zone.isolated.drift(),
                misplaced: sum.misplaced + zone.misplaced,
            }
        })
    }
}

/// Runs an interleaving with the fault, where it must drift as it did in history, and without.
///
/// Without the fault there must be no drift, and the invariants must hold.
#[track_caller]
pub(crate) fn assert_drift<G: Geometry>(
    fault: Faults,
    expected: Drift,
    interleaving: impl Fn(Faults) -> Static<G>,
) {
    assert_eq!(Drift::of(interleaving(fault)), expected, "with {fault:?}");
    let machine = interleaving(Faults::empty());
    assert_eq!(Drift::of(machine), Drift::NONE, "without the fault");
    machine.verify().unwrap();
}
