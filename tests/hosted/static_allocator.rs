//! An allocator in a plain `static`, and what construction asks of the platform.

use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicUsize, Ordering};

use pageblock::{
    AllocError, AllocRequest, CmaArea, ContigOptions, CpuId, FreeError, InitError, MemoryMap, MemoryUse,
    Metadata, Mobility, NoMigration, Order, PageAllocator, Pfn, Platform, StaticPageAllocator, Tuning,
    ZoneKind,
};

use crate::support::{bitmap, range};

/// Counts how often it is asked for the CPU, since when a static allocator can have one.
#[derive(Debug)]
struct Asked(&'static AtomicUsize);

impl Platform for Asked {
    fn current_cpu(&self) -> CpuId {
        self.0.fetch_add(1, Ordering::Relaxed);
        CpuId::BOOT
    }
}

fn parts(cpus: usize) -> (MemoryMap, Metadata<'static>) {
    let map = MemoryMap::from_sorted(std::iter::once(0x10_0000..0x400_0000)).unwrap();
    let layout = Metadata::layout(&map, cpus).unwrap();
    let memory = vec![MaybeUninit::uninit(); layout.size() + layout.align()].leak();
    let metadata = Metadata::new(memory, &map, cpus).unwrap();
    (map, metadata)
}

#[test]
fn an_empty_allocator_has_no_memory() {
    static ASKED: AtomicUsize = AtomicUsize::new(0);
    static PAGES: StaticPageAllocator<Asked> = StaticPageAllocator::empty();
    let request = AllocRequest::movable().highest_zone(ZoneKind::Dma32);
    let none =
        |order| AllocError::NoMemory { order, mobility: Mobility::Movable, highest_zone: ZoneKind::Dma32 };
    assert_eq!(PAGES.alloc_pages(request), Err(none(Order::ZERO)));
    assert_eq!(PAGES.alloc(request).unwrap_err(), none(Order::ZERO));
    assert_eq!(PAGES.alloc_exact(7, request).unwrap_err(), none(Order::new(3)));
    let pfn = Pfn::new(300);
    assert_eq!(PAGES.free_pages(pfn, Order::ZERO), Err(FreeError::Foreign { pfn }));
    assert_eq!(PAGES.free_range(range(300, 301)), Err(FreeError::Foreign { pfn }));
    assert_eq!((PAGES.free_count(), PAGES.allocated_count()), (0, 0));
    assert!(PAGES.get().is_none());
    assert_eq!(format!("{PAGES:?}"), "StaticPageAllocator(empty)");

    // A refused initialisation leaves it empty.
    let (map, metadata) = parts(1);
    let guards = Tuning::default().guard_below(Order::new(11));
    let error = PAGES.init(Asked(&ASKED), &map, metadata, guards).unwrap_err();
    assert!(matches!(error, InitError::GuardOrderTooLarge { .. }));
    assert!(PAGES.get().is_none());

    let (map, metadata) = parts(1);
    let pages = PAGES.init(Asked(&ASKED), &map, metadata, Tuning::default()).unwrap();
    assert!(PAGES.free_count() > 0 && PAGES.free_count() == pages.free_count());
    let frame = PAGES.alloc_pages(request).unwrap();
    let exact = PAGES.alloc_exact(7, request).unwrap();
    let block = PAGES.alloc(request).unwrap();
    assert_eq!(PAGES.allocated_count(), 9);
    drop((exact, block));
    PAGES.free_pages(frame, Order::ZERO).unwrap();
    let frame = PAGES.alloc_pages(request).unwrap();
    PAGES.free_range(range(frame.number(), frame.number() + 1)).unwrap();
    assert_eq!(PAGES.allocated_count(), 0);

    // A second initialisation is refused, and changes nothing.
    let (map, metadata) = parts(1);
    let error = PAGES.init(Asked(&ASKED), &map, metadata, Tuning::default()).unwrap_err();
    assert_eq!(error, InitError::AlreadyInitialized);
    PAGES.get().unwrap().verify().unwrap();
}

/// The boot CPU makes the allocator before it has set up what `current_cpu` reads.
#[test]
fn only_allocations_and_frees_ask_for_the_cpu() {
    static ASKED: AtomicUsize = AtomicUsize::new(0);
    let asked = || ASKED.load(Ordering::Relaxed);
    let (map, metadata) = parts(4);
    let pages = PageAllocator::new(Asked(&ASKED), &map, metadata, Tuning::default()).unwrap();
    assert_eq!(asked(), 0, "construction");
    let _ = (pages.free_count(), pages.allocated_count(), pages.managed_count(), pages.refused_frees());
    let _ = (pages.buddyinfo(), pages.pagetypeinfo(), pages.zoneinfo(), pages.meminfo());
    let _ = (pages.audit(), pages.verify().unwrap());
    assert_eq!(asked(), 0, "counts and reports");
    pages.drain_all();
    let frames = pages.reserve_bytes(0x20_0000..0x20_2000).unwrap();
    pages.add_memory(frames, MemoryUse::Ordinary).unwrap();
    drop(pages.isolate(range(1024, 1030)).unwrap());
    CmaArea::new(&pages, range(4096, 6144), bitmap(2048)).unwrap();
    drop(pages.alloc_contig(range(2048, 2100), &NoMigration, ContigOptions::default()).unwrap());
    assert_eq!(asked(), 0, "what does not use the lists of this CPU");
    let frame = pages.alloc_pages(AllocRequest::unmovable()).unwrap();
    assert!(asked() > 0, "the first allocation");
    pages.free_pages(frame, Order::ZERO).unwrap();
}
