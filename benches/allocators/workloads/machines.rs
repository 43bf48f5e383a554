//! M1 to M4, C1 to C5: calls of pageblock on machines that are not the 4 GiB of the other
//! workloads.
//!
//! No other allocator has most of these calls, so a figure is compared with its target only. Only
//! instructions are reported.

use std::mem::MaybeUninit;

use pageblock::{
    AllocRequest, CmaArea, MemoryMap, Metadata, Migrate, MigrateError, Move, NoMigration, Order, PAGE_SIZE,
    PageAllocator, Pfn, PfnRange, Tuning,
};

use crate::counted::counted_alloc_call;
use crate::measure::Rounds;
use crate::peers::ours::Mode;
use crate::workloads::list::Workload;
use crate::workloads::states;
use rand::seq::SliceRandom as _;

type Allocator<M> = PageAllocator<'static, M>;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
/// Frames below this address are in the zones DMA and DMA32.
const NORMAL: u64 = 4 * GIB;

/// An allocator with memory at these addresses, of so many bytes each.
fn machine<M: Mode>(ranges: &[(u64, u64)], cpus: usize, tuning: Tuning) -> Allocator<M> {
    let mut map: MemoryMap = MemoryMap::new();
    for (start, bytes) in ranges {
        map.add_usable(*start..start + bytes).expect("room for two ranges");
    }
    let layout = Metadata::layout(&map, cpus).expect("a good map");
    // Leaked: the process ends with the measurement.
    let memory = vec![MaybeUninit::uninit(); layout.size() + layout.align()].leak();
    let metadata = Metadata::new(memory, &map, cpus).expect("enough memory");
    PageAllocator::new(M::PLATFORM, &map, metadata, tuning).expect("a good map")
}

fn plain() -> Tuning {
    Tuning::default().min_free_pages(0)
}

/// Allocates single frames until none is left, or until one satisfies `last`, which is freed.
fn take<M: Mode>(allocator: &Allocator<M>, last: impl Fn(Pfn) -> bool) -> Vec<Pfn> {
    let mut taken = Vec::new();
    while let Ok(pfn) = allocator.alloc_pages(AllocRequest::movable()) {
        if last(pfn) {
            allocator.free_pages(pfn, Order::ZERO).expect("just allocated");
            break;
        }
        taken.push(pfn);
    }
    taken
}

/// A call that is counted.
fn counted<R>(f: impl FnOnce() -> R) -> R {
    let (mut f, mut result) = (Some(f), None);
    counted_alloc_call(&mut || result = f.take().map(|f| f()));
    result.expect("the call was made")
}

/// Carries out one of these workloads.
pub(crate) fn run<M: Mode>(workload: Workload) -> Rounds {
    let pairs = match workload {
        Workload::SmallMachine => small_machine::<M>(),
        Workload::LowMark => low_mark::<M>(),
        Workload::Refusal => refusal::<M>(),
        Workload::Isolate => isolate::<M>(),
        Workload::CmaNew | Workload::CmaStats | Workload::CmaFull | Workload::CmaAlloc => cma::<M>(workload),
        Workload::CmaPinned => cma_pinned::<M>(),
        _ => unreachable!("{} is not a workload of a machine", workload.key()),
    };
    Rounds { pairs, failures: 0, ns_per_pair: None }
}

/// M1: the machine of the README, 1 GiB and four CPUs.
fn small_machine<M: Mode>() -> u64 {
    const PAGES: usize = 1024;
    const ROUNDS: u64 = 4;
    let allocator = machine::<M>(&[(NORMAL, GIB)], 4, Tuning::default());
    let mut random = states::random(9);
    let alloc = || allocator.alloc_pages(AllocRequest::movable()).expect("nearly all is free");
    let free = |pfn| allocator.free_pages(pfn, Order::ZERO).expect("allocated");
    // The lists are filled first.
    Vec::from_iter((0..PAGES).map(|_| alloc())).into_iter().for_each(free);
    for _ in 0..ROUNDS {
        let mut pages = Vec::from_iter((0..PAGES).map(|_| counted(alloc)));
        pages.shuffle(&mut random);
        pages.into_iter().for_each(|pfn| counted(|| free(pfn)));
    }
    ROUNDS * PAGES as u64
}

/// M2: an order-0 pair while the highest zone is at its low mark, so that the next one serves it.
fn low_mark<M: Mode>() -> u64 {
    const PAIRS: u64 = 2048;
    let ranges = [(GIB, GIB), (NORMAL, GIB)];
    let allocator = machine::<M>(&ranges, 2, Tuning::default());
    let _taken = take(&allocator, |pfn| pfn < Pfn::containing(NORMAL));
    for _ in 0..PAIRS {
        let page =
            counted(|| allocator.alloc_pages(AllocRequest::movable()).expect("a lower zone has pages"));
        assert!(page < Pfn::containing(NORMAL), "{page} is of the zone that is at its mark");
        counted(|| allocator.free_pages(page, Order::ZERO).expect("allocated"));
    }
    PAIRS
}

/// M3: a request that is refused, on a machine with 64 CPUs.
fn refusal<M: Mode>() -> u64 {
    const TIMES: u64 = 16;
    let allocator = machine::<M>(&[(NORMAL, GIB)], 64, plain());
    let _taken = take(&allocator, |_| false);
    for _ in 0..TIMES {
        let refused = counted(|| allocator.alloc_pages(AllocRequest::movable()));
        assert!(refused.is_err(), "a page was left");
    }
    TIMES
}

/// M4: isolates pageblocks that were never used, on a machine with 64 CPUs. The undo is not
/// counted.
fn isolate<M: Mode>() -> u64 {
    const TIMES: u64 = 16;
    let allocator = machine::<M>(&[(NORMAL, GIB)], 64, plain());
    for number in 0..TIMES {
        let range = PfnRange::with_len(Pfn::containing(NORMAL + number * 16 * MIB), 512);
        drop(counted(|| allocator.isolate(range)).expect("all is free"));
    }
    TIMES
}

/// C1 to C4: a CMA area of 16 GiB.
fn cma<M: Mode>(workload: Workload) -> u64 {
    let allocator = machine::<M>(&[(NORMAL, 17 * GIB)], 2, plain());
    let range = PfnRange::with_len(Pfn::containing(NORMAL), (16 * GIB / PAGE_SIZE) as usize);
    let bitmap: &'static mut [u64] = vec![0; CmaArea::bitmap_words(range.len())].leak();
    let area = match workload {
        Workload::CmaNew => counted(|| CmaArea::new(&allocator, range, bitmap)),
        _ => CmaArea::new(&allocator, range, bitmap),
    };
    let area = area.expect("all is free");
    let alloc = |pages| area.alloc(&allocator, pages, Order::ZERO, &NoMigration);
    match workload {
        Workload::CmaStats => {
            alloc(2048).expect("all is free");
            assert_eq!(counted(|| area.stats(&allocator)).used, 2048);
            1
        }
        Workload::CmaFull => {
            while alloc(1 << 18).is_ok() {}
            assert!(counted(|| alloc(2048)).is_err(), "the area has room");
            1
        }
        Workload::CmaAlloc => {
            const TIMES: u64 = 16;
            for _ in 0..TIMES {
                let range = counted(|| alloc(2048)).expect("all is free");
                counted(|| area.free(&allocator, range)).expect("allocated");
            }
            TIMES
        }
        _ => 1,
    }
}

/// Lets every page be moved but this.
struct Except(Pfn);

impl Migrate for Except {
    fn migrate(&self, page: Move) -> Result<(), MigrateError> {
        if page.from == self.0 { Err(MigrateError::Pinned) } else { Ok(()) }
    }
}

/// C5: the first place of a CMA area in use has a page that cannot be migrated, near its end.
fn cma_pinned<M: Mode>() -> u64 {
    const PAGES: usize = 2048;
    let allocator = machine::<M>(&[(NORMAL, 256 * MIB)], 2, plain());
    let range = PfnRange::with_len(Pfn::containing(NORMAL), (64 * MIB / PAGE_SIZE) as usize);
    let bitmap: &'static mut [u64] = vec![0; CmaArea::bitmap_words(range.len())].leak();
    let area = CmaArea::new(&allocator, range, bitmap).expect("all is free");
    for page in take(&allocator, |_| false).into_iter().filter(|page| !range.contains(*page)) {
        allocator.free_pages(page, Order::ZERO).expect("allocated");
    }
    assert_eq!(allocator.free_cma_count(), 0, "a page of the area is free");
    let pinned = Except(range.iter().nth(PAGES - 48).expect("the area is larger"));
    counted(|| area.alloc(&allocator, PAGES, Order::ZERO, &pinned)).expect("the next place");
    assert_eq!(area.stats(&allocator).busy, 1, "one place failed");
    1
}
