//! One call to free: whole allocations, parts of them, and several at a time, on every geometry.

use std::sync::atomic::{AtomicBool, Ordering};

use pageblock::{
    AllocRequest, ContigOptions, FrameKind, FreeError, Geometry, Migrate, MigrateError, Mobility, Move,
    NoMigration, Order, Pages, Pfn, PfnRange,
};

use crate::support::{
    Answer, Machine, cma_area, frames, mebibytes, normal, on_every_geometry, orders, part, range, unchanged,
    unit,
};

fn every_part_of_a_block_can_be_freed_by_itself<G: Geometry>() {
    let machine = normal::<G>(4).build_as::<G>();
    let order = orders::<G>().last().unwrap().min(Order::new(4));
    for from in 0..order.pages() {
        for to in from + 1..=order.pages() {
            let pfn = machine.alloc_pages(AllocRequest::movable().order(order).owner(7)).unwrap();
            let at = |offset| Pfn::new(pfn.number() + offset);
            machine.free_range(PfnRange::new(at(from), at(to))).unwrap();
            let left = order.pages() - (to - from);
            assert_eq!(machine.allocated_count(), left);
            assert_eq!(machine.verify().unwrap().total().allocated, left);
            // What is left is the caller's, with the owner word in the first frame.
            if from > 0 {
                let first = (0..=order.get()).find_map(|order| machine.owner(pfn, Order::new(order)).ok());
                assert_eq!(first, Some(7));
                machine.free_range(PfnRange::new(at(0), at(from))).unwrap();
            }
            if to < order.pages() {
                let rest = PfnRange::new(at(to), at(order.pages()));
                // The fewest aligned blocks, as those of an exact allocation.
                machine.free_exact(rest).unwrap();
            }
            assert_eq!(machine.allocated_count(), 0);
        }
    }
    machine.drain_all();
    assert_eq!(machine.free_count(), machine.managed_count());
}

fn parts_of_exact_and_contiguous_ranges_are_freed_by_the_same_call<G: Geometry>() {
    let machine = normal::<G>(8).build_as::<G>();
    let pages = G::MAX_ORDER.pages() - 1;
    let exact = machine.alloc_exact(pages, AllocRequest::unmovable()).unwrap().into_raw();
    let contig = part::<G>(5 * unit::<G>() - 1, unit::<G>() + 2);
    let contig = machine.alloc_contig(contig, &NoMigration, ContigOptions::default()).unwrap().into_raw();
    for whole in [exact, contig] {
        let before = machine.allocated_count();
        let (start, end) = (whole.start().number(), whole.end().number());
        let middle = PfnRange::new(Pfn::new(start + 1), Pfn::new(end - 1));
        machine.free_range(middle).unwrap();
        assert_eq!(before - machine.allocated_count(), middle.len());
        let twice = unchanged(&machine, || machine.free_range(middle));
        assert_eq!(twice, Err(FreeError::DoubleFree { pfn: middle.start() }));
        machine.free_range(PfnRange::with_len(whole.start(), 1)).unwrap();
        machine.free_range(PfnRange::with_len(middle.end(), 1)).unwrap();
    }
    machine.drain_all();
    assert_eq!(machine.free_count(), machine.managed_count());
}

fn a_block_splits_to_any_lower_order<G: Geometry>() {
    let machine = normal::<G>(4).build_as::<G>();
    for order in orders::<G>() {
        for into in orders::<G>().take_while(|into| *into <= order) {
            let pfn = machine.alloc_pages(AllocRequest::reclaimable().order(order).owner(5)).unwrap();
            machine.split_pages(pfn, order, into).unwrap();
            machine.verify().unwrap();
            let pieces = order.block(pfn).iter().step_by(into.pages());
            for piece in pieces {
                let word = if piece == pfn { 5 } else { 0 };
                assert_eq!(machine.owner(piece, into), Ok(word));
                machine.free_pages(piece, into).unwrap();
            }
        }
    }
    machine.drain_all();
    assert_eq!(machine.free_count(), machine.managed_count());
}

fn an_exact_range_is_aligned_as_asked<G: Geometry>() {
    let machine = normal::<G>(4).build_as::<G>();
    for pages in 0..=G::MAX_ORDER.pages().min(20) {
        for align in orders::<G>() {
            let exact = machine.alloc_exact_aligned(pages, align, AllocRequest::unmovable()).unwrap();
            let aligned = align.max(Order::covering(pages));
            assert!(pages == 0 || aligned.is_aligned(exact.range().start()));
            assert_eq!(exact.start_address(), exact.range().start().start_address());
            assert_eq!((exact.range().len(), machine.allocated_count()), (pages, pages));
            machine.verify().unwrap();
        }
    }
    let above = Order::new(G::MAX_ORDER.get() + 1);
    unchanged(&machine, || machine.alloc_exact_aligned(1, above, AllocRequest::unmovable()).unwrap_err());
    machine.drain_all();
    assert_eq!(machine.free_count(), machine.managed_count());
}

on_every_geometry!(
    every_part_of_a_block_can_be_freed_by_itself,
    parts_of_exact_and_contiguous_ranges_are_freed_by_the_same_call,
    a_block_splits_to_any_lower_order,
    an_exact_range_is_aligned_as_asked,
);

const TWO: Order = Order::new(1);

/// Zones DMA and DMA32 with a hole from 2048 to 2100 and reserved frames from 5000 to 5010.
fn machine() -> Machine {
    frames(&[(0, 2048), (2100, 8192)]).reserve(5000, 5010).no_reserve().build()
}

#[test]
fn several_allocations_are_freed_at_once() {
    let machine = machine();
    // Blocks next to each other, of two kinds, on both sides of the border of two zones.
    let taken = |start, end| {
        machine.alloc_contig(range(start, end), &NoMigration, ContigOptions::default()).unwrap().into_raw()
    };
    let (low, high) = (taken(4000, 4096), taken(4096, 4200));
    machine.free_range(PfnRange::new(low.start(), high.end())).unwrap();
    assert_eq!(machine.allocated_count(), 0);

    let blocks: Vec<Pfn> =
        (0..64).map(|_| machine.alloc_pages(AllocRequest::unmovable().order(TWO)).unwrap()).collect();
    let (first, last) = (*blocks.iter().min().unwrap(), *blocks.iter().max().unwrap());
    assert_eq!(last.number() - first.number(), 126, "they are next to each other");
    // Without the first and the last frame: two blocks are split.
    let inner = PfnRange::new(first.checked_add(1).unwrap(), last.checked_add(1).unwrap());
    machine.free_range(inner).unwrap();
    assert_eq!(machine.allocated_count(), 2);
    machine.free_pages(first, Order::ZERO).unwrap();
    machine.free_pages(last.checked_add(1).unwrap(), Order::ZERO).unwrap();
    machine.verify().unwrap();
}

#[test]
fn what_may_not_be_freed_is_named() {
    let machine = machine();
    let area = cma_area(&machine, range(6144, 7168));
    let lent = area.alloc(&machine, 10, Order::ZERO, &NoMigration).unwrap();
    let fails = |wanted: PfnRange, expected: FreeError| {
        let before = machine.refused_frees();
        assert_eq!(unchanged(&machine, || machine.free_range(wanted)), Err(expected), "{wanted}");
        assert_eq!(machine.refused_frees() - before, 1);
    };
    let pfn = Pfn::new;
    fails(range(7, 7), FreeError::BadRange { range: range(7, 7) });
    fails(range(8000, 8300), FreeError::DoubleFree { pfn: pfn(8000) });
    fails(range(8192, 8300), FreeError::Foreign { pfn: pfn(8192) });
    fails(range(2050, 2060), FreeError::Hole { pfn: pfn(2050) });
    fails(range(5003, 5004), FreeError::NotManaged { pfn: pfn(5003), kind: FrameKind::Reserved });
    fails(lent, FreeError::OfCmaArea { pfn: lent.start() });
    // An allocated range that goes one frame too far, either way.
    let taken = machine.alloc_contig(range(4990, 5000), &NoMigration, ContigOptions::default()).unwrap();
    fails(range(4990, 5001), FreeError::NotManaged { pfn: pfn(5000), kind: FrameKind::Reserved });
    fails(range(4989, 5000), FreeError::DoubleFree { pfn: pfn(4989) });
    // A cached page, which was freed already.
    drop(taken);
    let page = machine.alloc_pages(AllocRequest::unmovable()).unwrap();
    machine.free_range(PfnRange::with_len(page, 1)).unwrap();
    fails(PfnRange::with_len(page, 1), FreeError::DoubleFree { pfn: page });
}

#[test]
fn a_split_is_refused_by_name() {
    let machine = machine();
    let pfn = machine.alloc_pages(AllocRequest::unmovable().order(TWO)).unwrap();
    let fails = |pfn, order, into, expected| {
        assert_eq!(unchanged(&machine, || machine.split_pages(pfn, order, into)), Err(expected));
    };
    fails(pfn, TWO, Order::new(2), FreeError::OrderTooLarge { order: Order::new(2), max: TWO });
    let wrong = FreeError::WrongOrder { pfn, given: Order::ZERO, allocated: TWO };
    fails(pfn, Order::ZERO, Order::ZERO, wrong);
    let second = pfn.checked_add(1).unwrap();
    fails(second, Order::ZERO, Order::ZERO, FreeError::NotHead { pfn: second, head: pfn });
    machine.split_pages(pfn, TWO, TWO).unwrap();
    assert_eq!(machine.owner(pfn, TWO), Ok(0));
    machine.free_pages(pfn, TWO).unwrap();
    fails(pfn, TWO, Order::ZERO, FreeError::DoubleFree { pfn });
}

#[test]
fn a_part_of_a_block_that_is_being_migrated_is_refused() {
    let machine = mebibytes(16).no_reserve().build();
    let pfn = machine.alloc_pages(AllocRequest::movable().order(TWO).owner(3)).unwrap();
    let both = TWO.block(pfn);
    let half = PfnRange::with_len(pfn, 1);
    let answer = Answer::new(|page: Move| {
        assert_eq!(machine.free_range(half), Err(FreeError::Migrating { pfn }));
        assert_eq!(machine.split_pages(pfn, TWO, Order::ZERO), Err(FreeError::Migrating { pfn }));
        assert_eq!(page.order, TWO);
        Err(MigrateError::Busy)
    });
    machine.alloc_contig(both, &answer, ContigOptions::default().attempts(1)).unwrap_err();
    assert_eq!(machine.owner(pfn, TWO), Ok(3));
    // All of it may be freed: the migration frees it when it ends.
    let answer = Answer::new(|_: Move| {
        machine.free_range(both).unwrap();
        assert_eq!(machine.free_range(both), Err(FreeError::DoubleFree { pfn }));
        Err(MigrateError::Gone)
    });
    let taken = machine.alloc_contig(both, &answer, ContigOptions::default()).unwrap();
    assert_eq!(machine.allocated_count(), taken.range().len());
}

/// Of two blocks that must be split, the second is pinned by a migration on another CPU right after
/// the first was pinned. Then neither is split.
#[test]
fn both_ends_are_split_or_none_is() {
    static START: AtomicBool = AtomicBool::new(false);
    static MOVES: AtomicBool = AtomicBool::new(false);
    static DONE: AtomicBool = AtomicBool::new(false);

    struct StartOther;
    impl crate::support::Watcher for StartOther {
        fn begins(&self) {
            // The first lock that the free takes is that of the split of the second block.
            if !START.swap(true, Ordering::SeqCst) {
                crate::support::wait_for(&MOVES);
            }
        }
        fn ended(&self) {}
    }

    struct HoldsItUp;
    impl Migrate for HoldsItUp {
        fn migrate(&self, _: Move) -> Result<(), MigrateError> {
            MOVES.store(true, Ordering::SeqCst);
            crate::support::wait_for(&DONE);
            Err(MigrateError::Busy)
        }
    }

    let machine: &'static Machine = Box::leak(Box::new(mebibytes(16).no_reserve().cpus(2).build()));
    let request = AllocRequest::new(TWO, Mobility::Movable);
    let mut blocks = [request; 8].map(|request| machine.alloc_pages(request).unwrap());
    blocks.sort();
    let pair = blocks.windows(2).find(|pair| pair[1].number() == pair[0].number() + 2).unwrap();
    let (first, second) = (pair[0], pair[1]);
    let inner = PfnRange::with_len(first.checked_add(1).unwrap(), 2);
    crate::support::scope(|scope| {
        scope.spawn(move || {
            crate::support::Threads::become_cpu(1);
            crate::support::wait_for(&START);
            let at = TWO.block(second);
            machine.alloc_contig(at, &HoldsItUp, ContigOptions::default().attempts(1)).unwrap_err();
        });
        scope.spawn(move || {
            crate::support::watch_holds(&StartOther);
            let result = machine.free_range(inner);
            DONE.store(true, Ordering::SeqCst);
            assert_eq!(result, Err(FreeError::Migrating { pfn: second }));
        });
    });
    for block in blocks {
        // Neither was split, and neither is pinned any more.
        drop(Pages::from_raw(machine, block, TWO).unwrap().split().unwrap());
    }
    assert_eq!(machine.allocated_count(), 0);
}
