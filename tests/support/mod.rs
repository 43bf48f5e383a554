//! What the hosted tests share: machines made of numbers, and threads that play CPUs.
//!
//! The allocator never touches the pages it hands out, so a "machine" here is metadata only: a gibibyte costs four
//! mebibytes. Metadata is leaked; test processes are short.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::cell::Cell;
use std::mem::MaybeUninit;

use pageblock::{
    CpuId, Geometry, MemoryMap, Metadata, Migrate, MigrateError, Move, Order, PageAllocator, Pfn, PfnRange,
    Platform, Tuning, X86_64,
};

thread_local! {
    static CPU: Cell<usize> = const { Cell::new(0) };
}

/// Threads are CPUs: each says which one it is with [`Threads::become_cpu`].
#[derive(Debug, Default)]
pub struct Threads;

impl Threads {
    /// From now on this thread is that CPU.
    pub fn become_cpu(number: usize) {
        CPU.with(|cpu| cpu.set(number));
    }
}

impl Platform for Threads {
    fn current_cpu(&self) -> CpuId {
        CpuId::new(CPU.with(Cell::get))
    }
}

/// An allocator over a machine of numbers.
pub type Machine<G = X86_64> = PageAllocator<'static, Threads, G>;

/// Builds machines.
#[derive(Debug)]
pub struct Builder {
    map: MemoryMap,
    cpus: usize,
    tuning: Tuning,
}

/// A machine with memory at these frames (half-open).
pub fn frames(ranges: &[(usize, usize)]) -> Builder {
    let mut map = MemoryMap::new();
    for &(start, end) in ranges {
        map.add_usable(Pfn::new(start).start_address()..Pfn::new(end).start_address()).unwrap();
    }
    Builder { map, cpus: 1, tuning: Tuning::default() }
}

/// A machine with this many MiB from 0 up.
pub fn mebibytes(size: usize) -> Builder {
    frames(&[(0, size << 8)])
}

impl Builder {
    pub fn cpus(mut self, cpus: usize) -> Self {
        self.cpus = cpus;
        self
    }

    pub fn tuning(mut self, tuning: Tuning) -> Self {
        self.tuning = tuning;
        self
    }

    /// Without watermarks, so that every page can be had.
    pub fn no_reserve(mut self) -> Self {
        self.tuning = self.tuning.min_free_pages(0);
        self
    }

    pub fn reserve(mut self, start: usize, end: usize) -> Self {
        self.map.reserve(Pfn::new(start).start_address()..Pfn::new(end).start_address()).unwrap();
        self
    }

    pub fn build(self) -> Machine {
        self.build_as::<X86_64>()
    }

    pub fn build_as<G: Geometry>(self) -> Machine<G> {
        let layout = Metadata::<G>::layout(&self.map, self.cpus).unwrap();
        let memory = vec![MaybeUninit::uninit(); layout.size() + layout.align()].leak();
        let metadata = Metadata::new(memory, &self.map, self.cpus).unwrap();
        PageAllocator::new(Threads, &self.map, metadata, self.tuning).unwrap()
    }
}

/// Bitmap memory for a CMA area of this many pages.
pub fn bitmap(pages: usize) -> &'static mut [u64] {
    vec![0; pageblock::CmaArea::bitmap_words(pages)].leak()
}

/// The frames from `start` up to `end`.
pub fn range(start: usize, end: usize) -> PfnRange {
    PfnRange::new(Pfn::new(start), Pfn::new(end))
}

/// An owner that lets every page be moved and keeps no track of it.
#[derive(Debug, Default)]
pub struct Easygoing;

impl Migrate for Easygoing {
    fn migrate(&self, _: Move) -> Result<(), MigrateError> {
        Ok(())
    }
}

/// Pageblock order = largest order.
pub enum Even {}
impl Geometry for Even {
    const MAX_ORDER: Order = Order::new(10);
    const PAGEBLOCK_ORDER: Order = Order::new(10);
}

/// Pageblock order = largest order − 2: a buddy spans up to four pageblocks.
pub enum Wide {}
impl Geometry for Wide {
    const MAX_ORDER: Order = Order::new(10);
    const PAGEBLOCK_ORDER: Order = Order::new(8);
}

/// A toy: blocks of at most 4 pages, pageblocks of 2, zones of 16 and 32 pages.
pub enum Toy {}
impl Geometry for Toy {
    const MAX_ORDER: Order = Order::new(2);
    const PAGEBLOCK_ORDER: Order = Order::new(1);
    const DMA_END: Pfn = Pfn::new(16);
    const DMA32_END: Pfn = Pfn::new(48);
}

/// A toy whose pageblock (8 pages) is larger than its largest buddy (4 pages).
pub enum Tall {}
impl Geometry for Tall {
    const MAX_ORDER: Order = Order::new(2);
    const PAGEBLOCK_ORDER: Order = Order::new(3);
    const DMA_END: Pfn = Pfn::new(16);
    const DMA32_END: Pfn = Pfn::new(48);
}
