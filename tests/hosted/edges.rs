//! Numbers without limits, small stacks, and promises that safe code must not be able to use.

#![expect(unsafe_code, reason = "makes an owner-only platform, and an allocator over its own memory")]

use std::cell::Cell;
use std::mem::MaybeUninit;
use std::thread;

use crate::support::{self, cma_area, frames, mebibytes, range};
use pageblock::{
    AllocError, AllocRequest, CmaError, ContigError, ContigOptions, ContigPlace, CpuId, Depth, FreeError,
    InitError, MemoryMap, Metadata, Migrate, MigrateError, Move, NoMigration, Order, PageAllocator, Pages,
    PcpAccess, Pfn, PfnRange, Platform, SingleThreaded, Tuning,
};

struct Plain;
impl Platform for Plain {}

/// A platform that says how many CPUs it has.
struct Owners(usize);

impl Platform for Owners {
    // SAFETY: one thread calls the allocator, always as CPU 0, and nothing interrupts it.
    const PCP_ACCESS: PcpAccess<Self> = unsafe { PcpAccess::owner_only(|owners| owners.0) };

    fn current_cpu(&self) -> CpuId {
        CpuId::BOOT
    }
}

fn map() -> MemoryMap {
    let mut map = MemoryMap::new();
    map.add_usable(0..16 << 20).unwrap();
    map
}

fn make<P: Platform>(
    platform: P,
    cpus: usize,
    tuning: Tuning,
) -> Result<PageAllocator<'static, P>, InitError> {
    let layout = Metadata::layout(&map(), cpus)?;
    let memory = vec![MaybeUninit::uninit(); layout.size() + layout.align()].leak();
    PageAllocator::new(platform, &map(), Metadata::new(memory, &map(), cpus)?, tuning)
}

#[test]
fn a_cpu_count_beyond_the_limit_is_refused_by_name() {
    for given in [(1 << 16) + 1, 1 << 62, (1 << 62) + 1, 1 << 63, usize::MAX] {
        let refused = InitError::TooManyCpus { given, limit: 1 << 16 };
        assert_eq!(Metadata::layout(&map(), given), Err(refused));
    }
    assert!(Metadata::layout(&map(), 1 << 16).is_ok());
    assert_eq!(Metadata::layout(&map(), 0), Err(InitError::NoCpus));
}

#[test]
fn owner_only_access_needs_lists_for_every_cpu() {
    let error = make(Owners(3), 2, Tuning::default()).err();
    assert_eq!(error, Some(InitError::TooFewCpus { given: 2, needed: 3 }));
    let machine = make(Owners(3), 3, Tuning::default()).unwrap();
    let page = machine.alloc_pages(AllocRequest::unmovable()).unwrap();
    machine.free_pages(page, Order::ZERO).unwrap();
}

#[test]
fn a_single_threaded_allocator_serves_every_kind_of_call_without_a_lock() {
    let machine = make(SingleThreaded::new(), 1, Tuning::default().min_free_pages(0)).unwrap();
    let request = AllocRequest::movable();
    for _ in 0..3 {
        let pages: Vec<_> = std::iter::from_fn(|| machine.alloc_pages(request).ok()).collect();
        assert_eq!(pages.len(), machine.managed_count());
        for pfn in &pages {
            machine.free_pages(*pfn, Order::ZERO).unwrap();
        }
        let twice = machine.free_pages(pages[0], Order::ZERO);
        assert_eq!(twice, Err(FreeError::DoubleFree { pfn: pages[0] }));
        assert!(machine.meminfo().cached > 0, "the pcplists are not used");
        let isolated = machine.isolate(PfnRange::with_len(Pfn::new(1024), 512)).unwrap();
        assert_eq!(machine.isolated_count(), 512);
        drop(isolated);
        assert!(machine.audit().is_exact(), "{}", machine.audit());
        machine.verify().unwrap();
        machine.drain_all();
        assert_eq!(machine.free_count(), machine.managed_count());
    }
}

/// A platform that masks interrupts, which knows the mask that is in force.
#[derive(Default)]
struct Masking {
    masked: Cell<bool>,
    changes: Cell<usize>,
}

impl Platform for Masking {
    fn mask_interrupts(&self) -> usize {
        self.changes.set(self.changes.get() + 1);
        usize::from(self.masked.replace(true))
    }

    fn restore_interrupts(&self, previous: usize) {
        assert!(self.masked.replace(previous != 0), "restored what was not masked");
    }
}

type Call<'a> = &'a dyn Fn(&PageAllocator<'_, Masking>);

#[test]
fn every_call_restores_the_interrupt_mask_that_it_found() {
    for masked in [false, true] {
        let machine = make(Masking::default(), 1, Tuning::default()).unwrap();
        machine.platform().masked.set(masked);
        let calls: [Call<'_>; 6] = [
            &|machine| {
                machine
                    .free_pages(machine.alloc_pages(AllocRequest::movable()).unwrap(), Order::ZERO)
                    .unwrap()
            },
            &|machine| drop(machine.alloc(AllocRequest::movable().order(Order::new(10))).unwrap()),
            &|machine| assert!(machine.free_pages(Pfn::new(1), Order::new(3)).is_err()),
            &|machine| machine.drain_all(),
            &|machine| drop(machine.isolate(PfnRange::with_len(Pfn::new(1024), 512)).unwrap()),
            &|machine| assert!(machine.audit().is_exact()),
        ];
        for (number, call) in calls.into_iter().enumerate() {
            let before = machine.platform().changes.get();
            call(&machine);
            assert_eq!(machine.platform().masked.get(), masked, "call {number}");
            assert!(machine.platform().changes.get() > before, "call {number} took a lock unmasked");
        }
    }
}

#[test]
fn guards_that_would_take_every_block_are_refused_by_name() {
    for order in [11, 12, 13, 64, 255].map(Order::new) {
        let error = make(Plain, 1, Tuning::default().guard_below(order)).err();
        assert_eq!(error, Some(InitError::GuardOrderTooLarge { order, max: Order::new(10) }));
    }
    let machine = make(Plain, 1, Tuning::default().guard_below(Order::new(10))).unwrap();
    assert!(machine.alloc_pages(AllocRequest::unmovable()).is_ok());
}

#[test]
fn any_number_of_reserved_pages_keeps_the_marks_in_order() {
    for pages in [usize::MAX, usize::MAX / 2, usize::MAX / 4 * 3 + 1000, 4097] {
        let machine = make(Plain, 1, Tuning::default().min_free_pages(pages)).unwrap();
        let dma = machine.zoneinfo().zones[0];
        let marks = dma.watermarks;
        assert!(marks.min < marks.low && marks.low < marks.high, "{marks:?}");
        assert_eq!(marks.min, dma.managed, "{pages}");
        assert!(machine.alloc_pages(AllocRequest::unmovable()).is_err(), "all pages are kept back");
        assert!(machine.alloc_pages(AllocRequest::unmovable().depth(Depth::Emergency)).is_ok());
    }
}

/// Frees a block while it is being migrated, and looks at what its owner can still do with it.
struct FreesDuring<'a>(&'a support::Machine);

impl Migrate for FreesDuring<'_> {
    fn migrate(&self, page: Move) -> Result<(), MigrateError> {
        let Self(machine) = self;
        machine.free_pages(page.from, page.order).unwrap();
        let freed = Err(FreeError::DoubleFree { pfn: page.from });
        assert_eq!(machine.owner(page.from, page.order).map(drop), freed);
        assert_eq!(machine.set_owner(page.from, page.order, 7), freed);
        assert_eq!(Pages::from_raw(machine, page.from, page.order).map(drop), freed);
        // Two single pages in a row of which the second is not the caller's any more: none is
        // freed.
        let first = Pfn::new(page.from.number() - 1);
        let both = PfnRange::new(first, Pfn::new(page.from.number() + 1));
        assert_eq!(machine.owner(first, Order::ZERO), Ok(0), "the first is allocated");
        assert_eq!(machine.free_exact(both), freed);
        assert_eq!(machine.owner(first, Order::ZERO), Ok(0), "and stays so");
        Err(MigrateError::Gone)
    }
}

#[test]
fn a_block_that_was_freed_during_its_migration_has_no_owner() {
    let machine = mebibytes(16).no_reserve().build();
    let pages: Vec<_> = (0..64).map(|_| machine.alloc_pages(AllocRequest::movable()).unwrap()).collect();
    let below = |pfn: &Pfn| pages.contains(&Pfn::new(pfn.number().wrapping_sub(1)));
    // Even, so that the pair is two blocks of order 0 in an exact range.
    let second = pages.iter().find(|pfn| pfn.number() % 2 == 0 && below(pfn)).unwrap().number();
    let taken = machine.alloc_contig(range(second, second + 1), &FreesDuring(&machine), Default::default());
    assert_eq!(taken.unwrap().range(), range(second, second + 1));
    assert!(machine.audit().is_exact() && machine.verify().is_ok());
}

#[test]
fn a_foreign_frame_is_the_same_error_for_every_call() {
    let machine = mebibytes(16).build();
    let pfn = Pfn::new(1 << 30);
    let foreign = Err(FreeError::Foreign { pfn });
    assert_eq!(machine.free_pages(pfn, Order::ZERO), foreign);
    assert_eq!(machine.owner(pfn, Order::ZERO).map(drop), foreign);
    assert_eq!(machine.set_owner(pfn, Order::ZERO, 1), foreign);
    assert_eq!(Pages::from_raw(&machine, pfn, Order::ZERO).map(drop), foreign);
}

/// What a boot stack must have room for: the map, the records and the allocator, built in place.
fn boot_on_a_stack_of(kibibytes: usize) {
    let memory = vec![0_u8; 17 << 20].leak();
    let start = (memory.as_mut_ptr().expose_provenance() as u64).next_multiple_of(4096);
    let boot = move || {
        let mut map = MemoryMap::new();
        map.add_usable(0x10_0000..0x10_0000 + (16 << 20)).unwrap();
        map.reserve(0x20_0000..0x21_0000).unwrap();
        let offset = start.wrapping_sub(0x10_0000);
        // SAFETY: the buffer is the memory of this machine: mapped at the offset, and never freed.
        let made = unsafe { PageAllocator::new_at_offset(Plain, &mut map, offset, 4, Tuning::default()) };
        let (pages, _) = made.unwrap();
        let frame = pages.alloc_pages(AllocRequest::unmovable()).unwrap();
        pages.free_pages(frame, Order::ZERO).unwrap();
        let refused = pages.alloc_pages(AllocRequest::unmovable().order(Order::new(11)));
        assert!(matches!(refused, Err(AllocError::OrderTooLarge { .. })));
    };
    thread::Builder::new().stack_size(kibibytes << 10).spawn(boot).unwrap().join().unwrap();
}

#[test]
fn a_boot_stack_of_32_kib_is_enough() {
    boot_on_a_stack_of(32);
}

#[test]
fn audits_of_a_thousand_cpus_need_a_stack_of_64_kib() {
    let machine = mebibytes(16).cpus(1000).build();
    let audit = || {
        assert!(machine.audit().is_exact());
        machine.verify().unwrap();
    };
    thread::scope(|scope| {
        let small = thread::Builder::new().stack_size(64 << 10);
        small.spawn_scoped(scope, audit).unwrap().join().unwrap();
    });
}

#[test]
fn alignments_of_contiguous_ranges_have_a_limit() {
    let machine = frames(&[(1, 4096)]).no_reserve().build();
    let area = cma_area(&machine, range(2048, 4096));
    for order in [41, 63, 64, 65, 128, 255].map(Order::new) {
        let (align, max) = (order, Order::new(40));
        let place = ContigPlace::default().aligned(order);
        let error = machine.alloc_contig_pages(1, place, &NoMigration, ContigOptions::default()).unwrap_err();
        assert_eq!(error, ContigError::AlignTooLarge { align, max });
        let error = area.alloc(&machine, 1, order, &NoMigration).unwrap_err();
        assert_eq!(error, CmaError::AlignTooLarge { align, max });
    }
    // One that no frame of memory has is a matter of the place.
    for order in [13, 30, 40].map(Order::new) {
        let place = ContigPlace::default().aligned(order);
        let error = machine.alloc_contig_pages(1, place, &NoMigration, ContigOptions::default()).unwrap_err();
        assert_eq!(error, ContigError::NoPlace { pages: 1 });
        let error = area.alloc(&machine, 1, order, &NoMigration).unwrap_err();
        assert!(matches!(error, CmaError::Full { pages: 1, .. }), "{error}");
    }
    machine.verify().unwrap();
}
