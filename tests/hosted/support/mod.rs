//! What the hosted tests share: machines made of numbers, and threads that play CPUs.
//!
//! The allocator never touches the pages it hands out, so a "machine" here is metadata only: a
//! gibibyte costs four mebibytes. Metadata is leaked; test processes are short. Files: this one
//! (machines), [`geometries`], [`owners`] of movable pages, [`snapshot`]s, [`threads`] that wait
//! for each other.

mod geometries;
mod owners;
mod snapshot;
mod threads;

use std::cell::Cell;
use std::mem::MaybeUninit;

use pageblock::{
    AllocRequest, CmaArea, CpuId, Geometry, MemoryMap, Metadata, Migrate, MigrateError, Move, PageAllocator,
    Pfn, PfnRange, Platform, Tuning, X86_64,
};

pub(crate) use geometries::{
    Even, Spanning, Tall, Toy, Wide, Zoned, base, normal, on_every_geometry, orders, unit,
};
pub(crate) use owners::{Answer, Owners};
pub(crate) use snapshot::{snapshot, unchanged};
pub(crate) use threads::{Meeting, SetOnDrop, scope, wait_for};

thread_local! {
    static CPU: Cell<usize> = const { Cell::new(0) };
    static WATCHER: Cell<Option<&'static dyn Watcher>> = const { Cell::new(None) };
}

/// Threads are CPUs: each says which one it is with [`Threads::become_cpu`].
#[derive(Debug, Default)]
pub(crate) struct Threads;

impl Threads {
    /// From now on this thread is that CPU.
    pub(crate) fn become_cpu(number: usize) {
        CPU.with(|cpu| cpu.set(number));
    }

    /// The CPU that this thread is.
    pub(crate) fn cpu() -> usize {
        CPU.with(Cell::get)
    }
}

impl Platform for Threads {
    fn current_cpu(&self) -> CpuId {
        CpuId::new(CPU.with(Cell::get))
    }

    fn mask_interrupts(&self) -> usize {
        hold_begins();
        0
    }

    fn restore_interrupts(&self, _: usize) {
        hold_ended();
    }
}

fn hold_begins() {
    if let Some(watcher) = WATCHER.get() {
        watcher.begins();
    }
}

fn hold_ended() {
    if let Some(watcher) = WATCHER.get() {
        watcher.ended();
    }
}

/// Sees the lock holds of a thread, of which there is one wherever interrupts are masked.
///
/// A platform of its own would do as well, but every platform costs a copy of the allocator for
/// each geometry.
pub(crate) trait Watcher {
    /// A lock hold begins, perhaps within another one.
    fn begins(&self);
    /// It has ended.
    fn ended(&self);
}

/// From now on the lock holds of this thread are seen by that watcher.
pub(crate) fn watch_holds(watcher: &'static dyn Watcher) {
    WATCHER.set(Some(watcher));
}

/// An allocator over a machine of numbers.
pub(crate) type Machine<G = X86_64> = PageAllocator<'static, Threads, G>;

/// Builds machines.
#[derive(Clone, Debug)]
pub(crate) struct Builder {
    map: MemoryMap,
    cpus: usize,
    tuning: Tuning,
}

/// A machine with memory at these frames (half-open).
pub(crate) fn frames(ranges: &[(usize, usize)]) -> Builder {
    let mut map = MemoryMap::new();
    for &(start, end) in ranges {
        map.add_usable(Pfn::new(start).start_address()..Pfn::new(end).start_address()).unwrap();
    }
    Builder { map, cpus: 1, tuning: Tuning::default() }
}

/// A machine with this many MiB from 0 up.
pub(crate) fn mebibytes(size: usize) -> Builder {
    frames(&[(0, size << 8)])
}

impl Builder {
    pub(crate) fn cpus(mut self, cpus: usize) -> Self {
        self.cpus = cpus;
        self
    }

    /// Changes the tuning that there is.
    pub(crate) fn tune(mut self, change: impl FnOnce(Tuning) -> Tuning) -> Self {
        self.tuning = change(self.tuning);
        self
    }

    /// Without watermarks, so that every page can be had.
    pub(crate) fn no_reserve(self) -> Self {
        self.min_free(0)
    }

    /// The machine keeps this many pages back at the min watermark.
    pub(crate) fn min_free(self, pages: usize) -> Self {
        self.tune(|tuning| tuning.min_free_pages(pages))
    }

    /// The frames of memory that the machine will have.
    pub(crate) fn usable_frames(&self) -> usize {
        self.map.usable_frames()
    }

    pub(crate) fn add(mut self, start: usize, end: usize) -> Self {
        self.map.add_usable(Pfn::new(start).start_address()..Pfn::new(end).start_address()).unwrap();
        self
    }

    pub(crate) fn reserve(mut self, start: usize, end: usize) -> Self {
        self.map.reserve(Pfn::new(start).start_address()..Pfn::new(end).start_address()).unwrap();
        self
    }

    pub(crate) fn build(self) -> Machine {
        self.build_as::<X86_64>()
    }

    pub(crate) fn build_as<G: Geometry>(self) -> Machine<G> {
        self.build_on(Threads)
    }

    pub(crate) fn build_on<P: Platform, G: Geometry>(self, platform: P) -> PageAllocator<'static, P, G> {
        let layout = Metadata::<G>::layout_with_geometry(&self.map, self.cpus).unwrap();
        // Any contents: no record may be read before it is written.
        let memory = vec![0xa5; layout.size() + layout.align()].leak();
        let metadata = Metadata::from_bytes_with_geometry(memory, &self.map, self.cpus).unwrap();
        PageAllocator::new(platform, &self.map, metadata, self.tuning).unwrap()
    }

    /// An allocator whose records are in `memory`, which gets the size that they need.
    pub(crate) fn build_in<P: Platform, G: Geometry>(
        self,
        platform: P,
        memory: &mut Vec<MaybeUninit<u8>>,
    ) -> PageAllocator<'_, P, G> {
        let layout = Metadata::<G>::layout_with_geometry(&self.map, self.cpus).unwrap();
        memory.resize(layout.size() + layout.align(), MaybeUninit::uninit());
        let metadata = Metadata::with_geometry(memory, &self.map, self.cpus).unwrap();
        PageAllocator::new(platform, &self.map, metadata, self.tuning).unwrap()
    }
}

/// Bitmap memory for a CMA area of this many pages.
pub(crate) fn bitmap(pages: usize) -> &'static mut [u64] {
    vec![0; CmaArea::bitmap_words(pages)].leak()
}

/// A CMA area over the frames of `range`.
pub(crate) fn cma_area<P: Platform, G: Geometry>(
    machine: &PageAllocator<'_, P, G>,
    range: PfnRange,
) -> CmaArea<'static> {
    CmaArea::new(machine, range, bitmap(range.len())).unwrap()
}

/// The frames from `start` up to `end`.
pub(crate) fn range(start: usize, end: usize) -> PfnRange {
    PfnRange::new(Pfn::new(start), Pfn::new(end))
}

/// `len` frames, `offset` frames above [`base`].
pub(crate) fn part<G: Geometry>(offset: usize, len: usize) -> PfnRange {
    PfnRange::with_len(Pfn::new(base::<G>() + offset), len)
}

/// Allocates such blocks until there is none left.
pub(crate) fn fill<P: Platform, G: Geometry>(
    machine: &PageAllocator<'_, P, G>,
    request: AllocRequest,
) -> Vec<Pfn> {
    std::iter::from_fn(|| machine.alloc_pages(request).ok()).collect()
}

/// Pages on the pcplists of all CPUs.
pub(crate) fn cached<P: Platform, G: Geometry>(machine: &PageAllocator<'_, P, G>) -> usize {
    machine.meminfo().cached
}

/// An owner that lets every page be moved and keeps no track of it.
#[derive(Debug, Default)]
pub(crate) struct Easygoing;

impl Migrate for Easygoing {
    fn migrate(&self, _: Move) -> Result<(), MigrateError> {
        Ok(())
    }
}
