//! How many pages are in use, how many frees were refused, and buffers for devices.

use pageblock::{
    AllocRequest, ContigError, ContigOptions, ContigPlace, FreeError, Geometry, HandOverError, IsolateError,
    MemoryUse, NoMigration, Order, Pfn, PfnRange, RangeError,
};

use crate::support::{
    self, Easygoing, Threads, frames, normal, on_every_geometry, orders, part, range, unchanged, unit,
};

fn pages_in_use_do_not_move_when_a_page_is_only_cached<G: Geometry>() {
    let machine = normal::<G>(8).cpus(2).build_as::<G>();
    let mut in_use = 0;
    let mut blocks = Vec::new();
    for round in 0..40 {
        for order in orders::<G>() {
            Threads::become_cpu(round % 2);
            let request = AllocRequest::movable().order(order);
            let Ok(pfn) = machine.alloc_pages(request) else { continue };
            in_use += order.pages();
            blocks.push((pfn, order));
            assert_eq!(machine.allocated_count(), in_use);
        }
        while blocks.len() > 3 {
            let (pfn, order) = blocks.swap_remove(round % blocks.len());
            machine.free_pages(pfn, order).unwrap();
            in_use -= order.pages();
            assert_eq!(machine.allocated_count(), in_use);
            assert_eq!(machine.meminfo().allocated, in_use);
        }
    }
    assert!(support::cached(&machine) > 0, "something is cached");
    machine.drain_all();
    assert_eq!(machine.allocated_count(), in_use);
    assert_eq!(machine.verify().unwrap().total().allocated, in_use);
    Threads::become_cpu(0);
}

fn isolated_guard_and_offline_pages_are_not_in_use<G: Geometry>() {
    let machine = normal::<G>(8).tune(|tuning| tuning.guard_below(Order::new(1))).build_as::<G>();
    let page = machine.alloc_pages(AllocRequest::unmovable()).unwrap();
    assert_eq!(machine.allocated_count(), 1);
    let isolated = machine.isolate(part::<G>(4 * unit::<G>(), unit::<G>())).unwrap();
    assert_eq!(machine.allocated_count(), 1);
    drop(isolated);
    let notifier = pageblock::NoNotifier;
    let top = part::<G>(6 * unit::<G>(), unit::<G>());
    let (offline, _) = machine.offline(top, &Easygoing, &notifier, ContigOptions::default()).unwrap();
    assert_eq!(machine.allocated_count(), 1);
    machine.online(offline, &notifier).unwrap();
    let contig = machine.alloc_contig(top, &Easygoing, ContigOptions::default()).unwrap();
    assert_eq!(machine.allocated_count(), 1 + unit::<G>());
    drop(contig);
    machine.free_pages(page, Order::ZERO).unwrap();
    assert_eq!(machine.allocated_count(), 0);
}

fn every_refused_free_is_counted_once<G: Geometry>() {
    let machine = normal::<G>(4).build_as::<G>();
    let pfn = machine.alloc_pages(AllocRequest::unmovable()).unwrap();
    machine.free_pages(pfn, Order::ZERO).unwrap();
    assert_eq!(machine.refused_frees(), 0);
    let page = PfnRange::with_len(pfn, 1);
    machine.free_pages(pfn, Order::ZERO).unwrap_err();
    machine.free_pages(Pfn::new(usize::MAX), Order::ZERO).unwrap_err();
    assert_eq!(machine.refused_frees(), 2);
    machine.free_exact(page).unwrap_err();
    machine.free_contig(page).unwrap_err();
    machine.free_range(page).unwrap_err();
    assert_eq!(machine.refused_frees(), 5);
    // Handles, which have nobody to tell.
    let stolen = machine.alloc(AllocRequest::unmovable()).unwrap();
    machine.free_pages(stolen.pfn(), Order::ZERO).unwrap();
    drop(stolen);
    let stolen = machine.alloc_exact(3, AllocRequest::unmovable()).unwrap();
    machine.free_range(stolen.range()).unwrap();
    drop(stolen);
    let stolen = machine.alloc_contig(part::<G>(2 * unit::<G>(), 1), &NoMigration, ContigOptions::default());
    let stolen = stolen.unwrap();
    machine.free_range(stolen.range()).unwrap();
    drop(stolen);
    assert_eq!(machine.refused_frees(), 8);
    // Reading an owner word frees nothing.
    assert_eq!(machine.owner(pfn, Order::ZERO), Err(FreeError::DoubleFree { pfn }));
    assert_eq!(machine.refused_frees(), 8);
}

fn bytes_are_reserved_outward_and_added_inward<G: Geometry>() {
    let machine = normal::<G>(4).build_as::<G>();
    let frames = part::<G>(unit::<G>(), 3);
    let bytes = frames.start_address() + 0x10..frames.start_address() + 0x2010;
    let managed = machine.managed_count();
    assert_eq!(machine.reserve_bytes(bytes.clone()), Ok(frames));
    assert_eq!(managed - machine.managed_count(), 3);
    let inner = PfnRange::with_len(frames.start().checked_add(1).unwrap(), 1);
    assert_eq!(machine.add_memory_bytes(bytes, MemoryUse::Ordinary), Ok(inner));
    assert_eq!(managed - machine.managed_count(), 2);
    machine.verify().unwrap();
    let empty = frames.start_address()..frames.start_address();
    let nothing = PfnRange::with_len(frames.start(), 0);
    let error = HandOverError::Range(RangeError::Empty { range: nothing });
    assert_eq!(unchanged(&machine, || machine.reserve_bytes(empty.clone())), Err(error));
    assert_eq!(
        unchanged(&machine, || machine.add_memory_bytes(empty.clone(), MemoryUse::Ordinary)),
        Err(error)
    );
}

on_every_geometry!(
    pages_in_use_do_not_move_when_a_page_is_only_cached,
    isolated_guard_and_offline_pages_are_not_in_use,
    every_refused_free_is_counted_once,
    bytes_are_reserved_outward_and_added_inward,
);

#[test]
fn a_buffer_for_a_device_is_below_its_limit_and_aligned() {
    let machine = frames(&[(256, 0x2_0000)]).build();
    for (bytes, below, align) in [
        (1, 1 << 24, 1),
        (6 << 20, 16 << 20, 64 << 10),
        (4097, 1 << 28, 4096),
        (4 << 20, (5 << 20) + 123, 1 << 20),
        (40 << 20, 1 << 30, 32 << 20),
        (4096, u64::MAX, 4096),
    ] {
        let buffer = machine.alloc_dma(bytes, below, align, &NoMigration).unwrap();
        assert!(buffer.range().bytes().end <= below && buffer.start_address().is_multiple_of(align));
        assert_eq!(buffer.range().len(), bytes.div_ceil(4096));
        assert_eq!(machine.allocated_count(), buffer.range().len());
    }
}

#[test]
fn a_buffer_that_cannot_be_had_is_refused_by_name() {
    // Not from frame 0, which is a multiple of everything.
    let machine = frames(&[(256, 8192)]).build();
    let fails = |bytes, below, align| {
        unchanged(&machine, || machine.alloc_dma(bytes, below, align, &NoMigration).unwrap_err())
    };
    for align in [0, 3, 12_288, u64::MAX] {
        assert_eq!(fails(4096, 1 << 24, align), ContigError::BadAlignment { bytes: align });
    }
    assert_eq!(fails(17 << 20, 16 << 20, 4096), ContigError::NoPlace { pages: 17 << 8 });
    assert_eq!(fails(4096, 4095, 4096), ContigError::NoPlace { pages: 1 });
    let empty = RangeError::Empty { range: range(0, 0) };
    assert_eq!(fails(0, 1 << 24, 4096), ContigError::Isolate(IsolateError::Range(empty)));
    let too_large = ContigError::AlignTooLarge { align: Order::new(51), max: Order::new(40) };
    assert_eq!(fails(4096, 1 << 25, 1 << 63), too_large);
    assert!(matches!(fails(usize::MAX, u64::MAX, 1), ContigError::NoPlace { .. }));
    assert_eq!(ContigPlace::default(), ContigPlace::anywhere());
}
