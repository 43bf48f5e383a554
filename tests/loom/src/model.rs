//! The machine of the models, and how a model is checked.
//!
//! Largest block 4 pages, pageblock 2 pages, one zone from frame 0 up, two CPUs. From eight pages
//! on, each pcplist holds one page before it spills; on smaller machines none. [`Model::holds`]
//! explores every schedule of what the CPUs do, or every one with a bounded number of preemptions,
//! and every value that a read of an atomic may give.
//!
//! What is modelled: every lock, the states of frames, the states of pageblocks. What is not (plain
//! atomics in `src/sync.rs`): links and owner words, which the holder of a lock or of the block
//! uses alone, and the published counters.

#![expect(unsafe_code, reason = "gives metadata memory back, thousands of times in a test")]

use std::cell::Cell;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use loom::thread::JoinHandle;
use pageblock::{
    AllocRequest, CpuId, Faults, Geometry, IsolatedRange, MemoryMap, Metadata, Obstacle, Order,
    PageAllocator, Pfn, PfnRange, Platform, Tuning, set_interrupt,
};

/// In words. Debug builds of the audit need more than loom's default.
const STACK: usize = 1 << 15;

/// Blocks of 1, 2 and 4 pages, pageblocks of 2, zone Normal only.
pub(crate) enum Toy {}
impl Geometry for Toy {
    const MAX_ORDER: Order = Order::new(2);
    const PAGEBLOCK_ORDER: Order = Order::new(1);
    const DMA_END: Pfn = Pfn::new(0);
    const DMA32_END: Pfn = Pfn::new(0);
}

loom::thread_local! {
    static CPU: Cell<usize> = Cell::new(0);
}

/// The number of the CPU that this thread is.
pub(crate) fn this_cpu() -> usize {
    CPU.with(Cell::get)
}

/// Runs `f` as another CPU. Not while a model is explored.
pub(crate) fn as_cpu<R>(number: usize, f: impl FnOnce() -> R) -> R {
    let us = CPU.with(|cpu| cpu.replace(number));
    let result = f();
    CPU.with(|cpu| cpu.set(us));
    result
}

/// A platform of the models.
pub(crate) trait Cpus: Platform + Default + Send + Sync + 'static {
    const COUNT: usize;

    /// What a CPU does where an interrupt may come.
    fn interrupt() {}
}

std::thread_local! {
    /// What the CPUs of this thread's model do where an interrupt may come.
    ///
    /// All CPUs of a model run on one thread, but several models run at once, each on its own.
    static INTERRUPT: Cell<fn()> = const { Cell::new(|| {}) };
}

/// A loom thread is a CPU, of which there are two. Pcplists are reached by way of their lock.
///
/// With a lock two threads may be the same CPU.
#[derive(Debug, Default)]
pub(crate) struct Locked;
impl Platform for Locked {
    fn current_cpu(&self) -> CpuId {
        CpuId::new(this_cpu())
    }
}
impl Cpus for Locked {
    const COUNT: usize = 2;
}

type Allocator<P, G> = PageAllocator<'static, P, G>;
pub(crate) type Isolated<'a, P = Locked> = IsolatedRange<'a, 'static, P, Toy>;

/// An allocator of the frames from 0 up, with the memory that its metadata is in.
pub(crate) struct Machine<P: Cpus = Locked, G: Geometry + 'static = Toy> {
    allocator: ManuallyDrop<Allocator<P, G>>,
    memory: *mut [MaybeUninit<u8>],
}

// SAFETY: `memory` is ours alone until the drop; the allocator is `Send` and `Sync`.
unsafe impl<P: Cpus, G: Geometry> Send for Machine<P, G> {}
// SAFETY: as above; nothing reads `memory` through a shared reference.
unsafe impl<P: Cpus, G: Geometry> Sync for Machine<P, G> {}

impl<P: Cpus, G: Geometry> Machine<P, G> {
    /// The first `pages` frames, all free.
    fn new(pages: usize) -> Self {
        let mut map = MemoryMap::<1>::with_capacity();
        map.add_usable(Pfn::new(0).start_address()..Pfn::new(pages).start_address()).unwrap();
        let layout = Metadata::<G>::layout_with_geometry(&map, P::COUNT).unwrap();
        let memory = Box::into_raw(Box::<[u8]>::new_uninit_slice(layout.size() + layout.align()));
        // SAFETY: fresh from a box, and given back only after the allocator is dropped.
        let metadata = Metadata::with_geometry(unsafe { &mut *memory }, &map, P::COUNT).unwrap();
        let allocator =
            PageAllocator::new(P::default(), &map, metadata, Tuning::default().min_free_pages(0)).unwrap();
        Self { allocator: ManuallyDrop::new(allocator), memory }
    }

    /// The first `pages` frames, each owned as a movable block of this order but those in `free`.
    pub(crate) fn owned(pages: usize, order: Order, free: &[usize]) -> Arc<Self> {
        let machine = Self::new(pages);
        let request = AllocRequest::movable().order(order);
        let owned = std::iter::from_fn(|| machine.alloc_pages(request).ok()).count();
        assert_eq!(owned * order.pages(), pages);
        for &start in free {
            machine.free_pages(Pfn::new(start), order).unwrap();
        }
        machine.drain_all();
        Arc::new(machine)
    }

    /// The first `pages` frames, all free.
    pub(crate) fn free(pages: usize) -> Arc<Self> {
        Arc::new(Self::new(pages))
    }

    /// Asserts that every page is on a buddy list or retired, and that all invariants hold.
    ///
    /// This is the end of every model, when nobody owns a page.
    pub(crate) fn assert_whole(&self) {
        self.drain_all();
        assert!(self.audit().is_exact(), "{}", self.audit());
        let census = self.verify().unwrap_or_else(|violation| panic!("{violation}")).total();
        let usable = census.present - census.hwpoisoned;
        assert_eq!(census.free, usable, "pages that nobody owns are not free");
    }
}

impl<P: Cpus, G: Geometry> Deref for Machine<P, G> {
    type Target = Allocator<P, G>;
    fn deref(&self) -> &Allocator<P, G> {
        &self.allocator
    }
}

impl<P: Cpus, G: Geometry> Drop for Machine<P, G> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        // SAFETY: dropped once, here.
        unsafe { ManuallyDrop::drop(&mut self.allocator) };
        // SAFETY: from a box; the allocator, which borrowed it, is gone.
        drop(unsafe { Box::from_raw(self.memory) });
    }
}

/// A CPU in a thread of its own.
pub(crate) fn cpu<R: Send + 'static>(
    number: usize,
    work: impl FnOnce() -> R + Send + 'static,
) -> JoinHandle<R> {
    let work = move || {
        CPU.with(|cpu| cpu.set(number));
        work()
    };
    loom::thread::Builder::new().stack_size(STACK).spawn(work).unwrap()
}

/// The frames from `start` up to `end`.
pub(crate) fn frames(start: usize, end: usize) -> PfnRange {
    PfnRange::new(Pfn::new(start), Pfn::new(end))
}

/// Asserts what holds from the moment that `isolate` returns (W2).
///
/// A page of the range is free and isolated, or still owned; it is on no pcplist.
#[track_caller]
pub(crate) fn assert_not_hidden<P: Cpus>(isolated: &mut Isolated<'_, P>) {
    if let Err(blocked) = isolated.test() {
        assert_ne!(blocked.reason, Obstacle::Cached, "{} hides on a pcplist", blocked.pfn);
        assert_ne!(blocked.reason, Obstacle::NotIsolated, "{} is on an ordinary list", blocked.pfn);
    }
}

/// What several CPUs do at once, on a machine in a known state.
pub(crate) struct Model<P: Cpus = Locked, G: Geometry + 'static = Toy> {
    /// Makes the machine. This is not explored.
    pub(crate) machine: fn() -> Arc<Machine<P, G>>,
    /// Starts the other CPUs, plays the first, and waits for them. This is explored.
    pub(crate) concurrently: fn(&Arc<Machine<P, G>>),
    /// How often a CPU that could go on is interrupted by another, at most.
    ///
    /// `None` explores every schedule. For a longer search set `LOOM_MAX_PREEMPTIONS`, which
    /// overrides this.
    pub(crate) preemptions: Option<usize>,
}

impl<P: Cpus, G: Geometry> Model<P, G> {
    /// Runs every schedule. Says how many there are.
    fn explore(&self, faults: Faults) -> usize {
        INTERRUPT.set(P::interrupt);
        set_interrupt(|| INTERRUPT.get()());
        let schedules = Arc::new(AtomicUsize::new(0));
        let (counter, machine, concurrently) = (schedules.clone(), self.machine, self.concurrently);
        let mut model = loom::model::Builder::new();
        model.preemption_bound = model.preemption_bound.or(self.preemptions);
        model.max_branches = 100_000;
        model.expect_explicit_explore = true;
        model.check(move || {
            counter.fetch_add(1, Ordering::Relaxed);
            let run = move || {
                let machine = machine();
                machine.set_faults(faults);
                loom::explore();
                concurrently(&machine);
                loom::stop_exploring();
                machine.assert_whole();
            };
            cpu(0, run).join().unwrap();
        });
        schedules.load(Ordering::Relaxed)
    }

    /// Asserts that no schedule fails.
    pub(crate) fn holds(&self) {
        let schedules = self.explore(Faults::empty());
        println!("{schedules} schedules");
        // An exhaustive search of a small model may be short.
        let least = if self.preemptions.is_none() { 50 } else { 100 };
        assert!(schedules > least, "{schedules} schedules are no search");
    }

    /// Asserts that with the fault on some schedule fails, in these words.
    #[track_caller]
    pub(crate) fn fails_with(&self, fault: Faults, words: &str) {
        let result = catch_unwind(AssertUnwindSafe(|| self.explore(fault)));
        let payload = result.expect_err("no schedule shows the fault");
        let message = payload.downcast_ref::<String>().map_or("no message", String::as_str);
        assert!(message.contains(words), "it failed otherwise: {message}");
    }
}
