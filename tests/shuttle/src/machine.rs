//! The machine: 64 frames, four CPUs, a CMA area of 16 frames, guards in some schedules.
//!
//! Largest block 16 pages, pageblock 4 pages, all memory in one zone; a pcplist holds four pages
//! before it spills.

use std::cell::Cell;
use std::mem::MaybeUninit;

use pageblock::{
    CmaArea, CpuId, Faults, Geometry, MemoryMap, Metadata, Order, PageAllocator, Pfn, PfnRange, Platform,
    Tuning, YieldPoint,
};
use shuttle::rand::{Rng, thread_rng};
use shuttle::thread;

use crate::workload::{Workload, job, taker};

pub(crate) const PAGES: usize = 64;
const CMA: PfnRange = PfnRange::new(Pfn::new(32), Pfn::new(48));
const CPUS: usize = 4;

/// Blocks of up to 16 pages, pageblocks of 4.
#[derive(Debug)]
pub(crate) enum Small {}
impl Geometry for Small {
    const MAX_ORDER: Order = Order::new(4);
    const PAGEBLOCK_ORDER: Order = Order::new(2);
    const DMA_END: Pfn = Pfn::new(0);
    const DMA32_END: Pfn = Pfn::new(0);
}

shuttle::thread_local! {
    static CPU: Cell<usize> = Cell::new(0);
}

/// A shuttle thread is a CPU.
#[derive(Debug)]
pub(crate) struct Cpus;
impl Platform for Cpus {
    fn current_cpu(&self) -> CpuId {
        CpuId::new(CPU.with(Cell::get))
    }
}

pub(crate) type Machine<'m> = PageAllocator<'m, Cpus, Small>;

/// At every eighth yield point or so the other CPUs get a good stretch of time.
fn stretch(_: YieldPoint) {
    if thread_rng().gen_ratio(1, 8) {
        for _ in 0..thread_rng().gen_range(0..1000) {
            thread::yield_now();
        }
    }
}

/// One schedule, from a fresh machine to one that nobody owns a page of.
pub(crate) fn run(faults: Faults) {
    let mut map = MemoryMap::<1>::with_capacity();
    map.add_usable(Pfn::new(0).start_address()..Pfn::new(PAGES).start_address()).unwrap();
    let layout = Metadata::<Small>::layout_with_geometry(&map, CPUS).unwrap();
    let mut memory = vec![MaybeUninit::uninit(); layout.size() + layout.align()];
    let mut bitmap = [0; CmaArea::bitmap_words(CMA.len())];
    let guards = Order::new(thread_rng().gen_range(0..3));
    let tuning = Tuning::default().min_free_pages(2).guard_below(guards);
    let metadata = Metadata::with_geometry(&mut memory, &map, CPUS).unwrap();
    let machine = Machine::new(Cpus, &map, metadata, tuning).unwrap();
    let area = CmaArea::new(&machine, CMA, &mut bitmap).unwrap();
    let workload = Workload::new(&machine);
    machine.set_faults(faults);
    machine.set_yield_hook(Some(&stretch));
    thread::scope(|scope| {
        for cpu in 0..CPUS {
            let (workload, area) = (&workload, &area);
            scope.spawn(move || {
                CPU.with(|this| this.set(cpu));
                match cpu {
                    0 | 1 => job(workload, cpu as u64),
                    _ => taker(workload, area),
                }
            });
        }
    });
    workload.free_all();
    if let Some(finding) = workload.finding() {
        panic!("{finding}");
    }
    machine.drain_all();
    assert!(machine.audit().is_exact(), "at the end: {}", machine.audit());
    let census = machine.verify().unwrap_or_else(|violation| panic!("{violation}")).total();
    assert_eq!(census.free, PAGES, "pages that nobody owns are not free");
    assert_eq!((machine.free_count(), machine.free_cma_count()), (PAGES, CMA.len()));
}
