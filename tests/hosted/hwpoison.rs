//! Bad frames: they are retired at once, after a migration, or when they are freed.

use std::sync::atomic::{AtomicUsize, Ordering};

use pageblock::{
    AllocRequest, CmaError, ContigError, ContigOptions, ContigPlace, FrameKind, FreeError, Geometry,
    HandOverError, IsolateError, MemoryUse, MigrateError, Mobility, NoMigration, NoNotifier, NotFree,
    Obstacle, Order, Pfn, PfnRange, RangeError, SoftOffline, X86_64,
};

use crate::support::{
    Answer, Machine, Owners, SetOnDrop, Threads, base, cached, cma_area, fill, normal, on_every_geometry,
    orders, part, scope, unchanged, unit,
};

fn options() -> ContigOptions {
    ContigOptions::default()
}

/// Says that a frame is bad, and refuses every migration.
fn fail<G: Geometry>(machine: &Machine<G>, pfn: Pfn) -> SoftOffline {
    let result = machine.soft_offline_page(pfn, &NoMigration, options()).unwrap();
    machine.verify().unwrap();
    result
}

/// Checks that these frames of `total`, and no others, are retired, and that all others can be had.
fn assert_only_lost<G: Geometry>(machine: &Machine<G>, total: usize, bad: &[Pfn]) {
    machine.drain_all();
    let (census, left) = (machine.verify().unwrap().total(), total - bad.len());
    assert_eq!((census.hwpoisoned, census.free), (bad.len(), left));
    assert_eq!((machine.managed_count(), machine.free_count()), (left, left));
    assert_eq!((machine.meminfo().hwpoisoned, machine.meminfo().total), (bad.len(), left));
    assert!(machine.audit().zones.iter().all(|zone| zone.allocated == 0));
    let pages = fill(machine, AllocRequest::movable());
    assert_eq!(pages.len(), left);
    for pfn in bad {
        assert!(!pages.contains(pfn), "{pfn} was allocated");
        let error = FreeError::NotManaged { pfn: *pfn, kind: FrameKind::HwPoison };
        assert_eq!(machine.free_pages(*pfn, Order::ZERO), Err(error));
        assert_eq!(fail(machine, *pfn), SoftOffline::Retired, "again");
    }
    pages.into_iter().for_each(|pfn| machine.free_pages(pfn, Order::ZERO).unwrap());
    machine.drain_all();
    machine.verify().unwrap();
}

fn a_free_frame_leaves_at_once_and_its_block_is_split<G: Geometry>() {
    let total = 4 * unit::<G>();
    for offset in [0, 1, unit::<G>() / 2, unit::<G>() - 1, unit::<G>(), 2 * unit::<G>() + 1] {
        let machine = normal::<G>(4).build_as::<G>();
        let pfn = part::<G>(offset, 1).start();
        assert_eq!(fail(&machine, pfn), SoftOffline::Retired);
        assert_only_lost(&machine, total, &[pfn]);
    }
    let machine = normal::<G>(4).build_as::<G>();
    let bad: Vec<Pfn> = part::<G>(0, total).iter().step_by(total / 5).collect();
    bad.iter().for_each(|pfn| assert_eq!(fail(&machine, *pfn), SoftOffline::Retired));
    assert_only_lost(&machine, total, &bad);
}

fn a_cached_frame_is_drained<G: Geometry>() {
    let machine = normal::<G>(4).build_as::<G>();
    for mobility in [Mobility::Unmovable, Mobility::Movable, Mobility::Reclaimable] {
        let pfn = machine.alloc_pages(AllocRequest::new(Order::ZERO, mobility)).unwrap();
        machine.free_pages(pfn, Order::ZERO).unwrap();
        assert!(cached(&machine) > 0);
        let before = machine.meminfo().hwpoisoned;
        assert_eq!(fail(&machine, pfn), SoftOffline::Retired);
        assert_eq!(machine.meminfo().hwpoisoned, before + 1);
    }
}

fn a_movable_block_is_migrated_away<G: Geometry>() {
    for order in orders::<G>() {
        for frame in [0, order.pages() / 2, order.pages() - 1] {
            let machine = normal::<G>(4).build_as::<G>();
            let owners = Owners::new();
            let head = owners.own(&machine, 7, order).unwrap();
            let pfn = Pfn::new(head.number() + frame);
            assert_eq!(machine.soft_offline_page(pfn, &owners, options()), Ok(SoftOffline::Retired));
            machine.verify().unwrap();
            let place = owners.place(7).unwrap();
            assert!(!order.block(place).contains(pfn) && owners.moves().len() == 1);
            assert_eq!(machine.owner(place, order), Ok(7));
            owners.free_all(&machine);
            assert_only_lost(&machine, 4 * unit::<G>(), &[pfn]);
        }
    }
}

fn what_cannot_be_migrated_is_kept_back_when_it_is_freed<G: Geometry>() {
    for order in orders::<G>() {
        for mobility in [Mobility::Unmovable, Mobility::Movable, Mobility::Reclaimable] {
            let machine = normal::<G>(4).build_as::<G>();
            let head = machine.alloc_pages(AllocRequest::new(order, mobility).owner(9)).unwrap();
            let mut offsets = vec![0, 1, order.pages() / 2, order.pages() - 1];
            offsets.retain(|offset| *offset < order.pages());
            offsets.dedup();
            let bad: Vec<Pfn> = offsets.iter().map(|offset| Pfn::new(head.number() + offset)).collect();
            let reason = match mobility {
                Mobility::Movable => Obstacle::NotMigrated(MigrateError::Pinned),
                other => Obstacle::Allocated(other),
            };
            for pfn in &bad {
                let expected = SoftOffline::WhenFreed(NotFree { pfn: head, reason });
                assert_eq!((fail(&machine, *pfn), fail(&machine, *pfn)), (expected, expected));
            }
            assert_eq!(machine.managed_count(), 4 * unit::<G>(), "it is managed until it is freed");
            assert_eq!(machine.owner(head, order), Ok(9));
            machine.set_owner(head, order, 10).unwrap();
            assert_eq!(machine.owner(head, order), Ok(10));
            assert!(machine.free_pages(head, Order::new(order.get() + 1)).is_err());
            machine.free_pages(head, order).unwrap();
            assert_only_lost(&machine, 4 * unit::<G>(), &bad);
        }
    }
}

fn pages_in_bulk_and_handles_keep_it_back<G: Geometry>() {
    let total = 4 * unit::<G>();
    let machine = normal::<G>(4).build_as::<G>();
    let mut pages = [Pfn::new(0); 9];
    assert_eq!(machine.alloc_bulk(AllocRequest::unmovable(), &mut pages), 9);
    let bad = [pages[0], pages[4]];
    bad.iter().for_each(|pfn| assert_ne!(fail(&machine, *pfn), SoftOffline::Retired));
    pages.iter().for_each(|pfn| machine.free_pages(*pfn, Order::ZERO).unwrap());
    assert_only_lost(&machine, total, &bad);

    let machine = normal::<G>(4).build_as::<G>();
    let block = machine.alloc(AllocRequest::unmovable().order(G::MAX_ORDER)).unwrap();
    let bad = [block.range().start(), Pfn::new(block.range().end().number() - 1)];
    bad.iter().for_each(|pfn| assert_ne!(fail(&machine, *pfn), SoftOffline::Retired));
    let (low, high) = block.split().unwrap();
    machine.verify().unwrap();
    drop(low);
    assert_eq!(machine.verify().unwrap().total().hwpoisoned, 1);
    drop(high);
    assert_only_lost(&machine, total, &bad);
}

fn exact_allocations_keep_it_back<G: Geometry>() {
    for pages in [1, 3, G::MAX_ORDER.pages() - 1, G::MAX_ORDER.pages()] {
        let machine = normal::<G>(4).build_as::<G>();
        let exact = machine.alloc_exact(pages, AllocRequest::unmovable()).unwrap();
        let bad = Pfn::new(exact.range().end().number() - 1);
        assert_ne!(fail(&machine, bad), SoftOffline::Retired);
        drop(exact);
        assert_only_lost(&machine, 4 * unit::<G>(), &[bad]);
    }
}

fn contiguous_ranges_keep_it_back<G: Geometry>() {
    let wanted = part::<G>(1, 2 * unit::<G>() + 1);
    let bad: Vec<Pfn> = wanted.iter().step_by(unit::<G>() - 1).collect();
    // Freed whole, and in single pages, the odd ones first, so that every block is cut.
    for in_parts in [false, true] {
        let machine = normal::<G>(4).build_as::<G>();
        let taken = machine.alloc_contig(wanted, &NoMigration, options()).unwrap().into_raw();
        for pfn in &bad {
            let result = fail(&machine, *pfn);
            let SoftOffline::WhenFreed(not_free) = result else { panic!("{result:?}") };
            assert!(not_free.reason == Obstacle::Contig && not_free.pfn <= *pfn);
        }
        let mut frames: Vec<Pfn> = taken.iter().collect();
        frames.sort_by_key(|pfn| (pfn.number() % 2 == 0, pfn.number() % 7, pfn.number()));
        let parts = frames.into_iter().map(|pfn| PfnRange::with_len(pfn, 1));
        for (number, part) in parts.enumerate().take(if in_parts { usize::MAX } else { 0 }) {
            machine.free_contig(part).unwrap();
            if number % 97 == 0 {
                machine.verify().unwrap();
            }
        }
        if !in_parts {
            machine.free_contig(taken).unwrap();
        }
        assert_only_lost(&machine, 4 * unit::<G>(), &bad);
    }
}

fn a_cma_area_goes_on_beside_it<G: Geometry>() {
    let machine = normal::<G>(4).build_as::<G>();
    let area = cma_area(&machine, part::<G>(unit::<G>(), unit::<G>()));
    let (first, last) = (area.range().start(), Pfn::new(area.range().end().number() - 1));
    let range = area.alloc(&machine, unit::<G>(), Order::ZERO, &NoMigration).unwrap();
    assert_ne!(fail(&machine, first), SoftOffline::Retired);
    area.free(&machine, range).unwrap();
    assert_eq!(fail(&machine, last), SoftOffline::Retired);
    assert_eq!(machine.free_cma_count(), unit::<G>() - 2);
    let error = area.alloc(&machine, unit::<G>(), Order::ZERO, &NoMigration).unwrap_err();
    let unmovable = IsolateError::Unmovable { pfn: last, reason: Obstacle::HwPoison };
    assert_eq!(error, CmaError::Busy(ContigError::Isolate(unmovable)));
    if unit::<G>() > 2 {
        let range = area.alloc(&machine, unit::<G>() - 2, Order::ZERO, &NoMigration).unwrap();
        assert!(!range.contains(first) && !range.contains(last));
        area.free(&machine, range).unwrap();
    }
    assert_only_lost(&machine, 4 * unit::<G>(), &[first, last]);
}

fn ranges_with_it_can_be_isolated_and_are_not_allocated<G: Geometry>() {
    let machine = normal::<G>(4).build_as::<G>();
    let wanted = part::<G>(unit::<G>(), unit::<G>());
    let pfn = Pfn::new(wanted.start().number() + unit::<G>() / 2);
    assert_eq!(fail(&machine, pfn), SoftOffline::Retired);
    for range in [wanted, PfnRange::with_len(pfn, 1), PfnRange::new(wanted.start(), pfn)] {
        let mut isolated = machine.isolate(range).unwrap();
        machine.verify().unwrap();
        match isolated.test() {
            Ok(free) => assert!(!free.range().contains(pfn)),
            Err(not_free) => assert_eq!(not_free, NotFree { pfn, reason: Obstacle::HwPoison }),
        }
    }
    let error = unchanged(&machine, || machine.alloc_contig(wanted, &NoMigration, options()).unwrap_err());
    let unmovable = IsolateError::Unmovable { pfn, reason: Obstacle::HwPoison };
    assert_eq!(error, ContigError::Isolate(unmovable));
    let place = ContigPlace::default();
    let found = machine.alloc_contig_pages(2 * unit::<G>(), place, &NoMigration, options()).unwrap();
    assert!(!found.range().contains(pfn));
    drop(found);
    let error = unchanged(&machine, || machine.reserve(wanted).unwrap_err());
    assert_eq!(error, HandOverError::NotFree(NotFree { pfn, reason: Obstacle::HwPoison }));
    let frame = PfnRange::with_len(pfn, 1);
    let error = unchanged(&machine, || machine.add_memory(frame, MemoryUse::Ordinary));
    assert_eq!(error, Err(HandOverError::Managed { pfn, kind: FrameKind::HwPoison }));
    assert_only_lost(&machine, 4 * unit::<G>(), &[pfn]);
}

fn its_pageblock_goes_offline_and_comes_back_without_it<G: Geometry>() {
    let machine = normal::<G>(4).build_as::<G>();
    let total = 4 * unit::<G>();
    let wanted = part::<G>(unit::<G>(), unit::<G>());
    let pfn = Pfn::new(wanted.start().number() + unit::<G>() / 2);
    let offline = || machine.offline(wanted, &NoMigration, &NoNotifier, options()).unwrap().0;
    assert_eq!(fail(&machine, pfn), SoftOffline::Retired);
    for _ in 0..3 {
        assert_eq!(machine.offline_dry_run(wanted, |obstacle| panic!("{obstacle}")), Ok(0));
        let offline = offline();
        let census = machine.verify().unwrap().total();
        assert_eq!((census.offline, census.hwpoisoned), (unit::<G>() - 1, 1));
        assert_eq!(machine.managed_count(), total - unit::<G>());
        machine.online(offline, &NoNotifier).unwrap();
        assert_only_lost(&machine, total, &[pfn]);
    }
    // A frame that turns bad while it is offline does not come back either.
    let range = offline();
    let second = wanted.start();
    assert_eq!(fail(&machine, second), SoftOffline::Retired);
    machine.online(range, &NoNotifier).unwrap();
    assert_only_lost(&machine, total, &[second, pfn]);
    // Other memory in its place is good.
    machine.remove_memory(offline().range()).unwrap();
    machine.verify().unwrap();
    machine.add_memory(wanted, MemoryUse::MovableOnly).unwrap();
    assert_only_lost(&machine, total, &[]);
    // Movable-only memory counts its managed frames.
    assert_eq!(fail(&machine, pfn), SoftOffline::Retired);
    let movable = machine.alloc_pages(AllocRequest::movable()).unwrap();
    assert!(wanted.contains(movable) && fail(&machine, movable) != SoftOffline::Retired);
    machine.free_pages(movable, Order::ZERO).unwrap();
    assert_eq!(machine.zoneinfo().zones[2].movable_only, unit::<G>() - 2);
    assert_only_lost(&machine, total, &[movable, pfn]);
}

fn guards_beside_it_end<G: Geometry>() {
    let total = 4 * unit::<G>();
    for order in orders::<G>().skip(1) {
        // The page that is guarded, and its guard or a page beside that.
        for distance in [0, 1, 2, 3] {
            let machine = normal::<G>(4).tune(|tuning| tuning.guard_below(order)).build_as::<G>();
            let held = machine.alloc_pages(AllocRequest::unmovable()).unwrap();
            machine.drain_all();
            let pfn = Pfn::new(held.number() ^ distance);
            let at_once = fail(&machine, pfn) == SoftOffline::Retired;
            assert_eq!(at_once, distance != 0);
            machine.free_pages(held, Order::ZERO).unwrap();
            machine.drain_all();
            let census = machine.verify().unwrap().total();
            assert_eq!((census.guard, census.free, census.hwpoisoned), (0, total - 1, 1), "{order}");
        }
    }
}

fn what_is_no_memory_is_refused<G: Geometry>() {
    let machine = normal::<G>(4).build_as::<G>();
    let reserved = part::<G>(2, 1);
    machine.reserve(reserved).unwrap();
    let pfn = reserved.start();
    let error = unchanged(&machine, || machine.soft_offline_page(pfn, &NoMigration, options()));
    let not_managed = RangeError::NotManaged { pfn, kind: FrameKind::Reserved };
    assert_eq!(error, Err(IsolateError::Range(not_managed)));
    let pfn = machine.span().end();
    let error = machine.soft_offline_page(pfn, &NoMigration, options());
    assert_eq!(error, Err(IsolateError::Range(RangeError::Foreign { pfn })));
    let pfn = Pfn::new(base::<G>());
    let isolated = machine.isolate(PfnRange::with_len(pfn, 1)).unwrap();
    let error = machine.soft_offline_page(pfn, &NoMigration, options()).unwrap_err();
    assert!(matches!(error, IsolateError::Overlap { .. }), "{error}");
    drop(isolated);
    assert_eq!(fail(&machine, pfn), SoftOffline::Retired);
}

fn a_block_may_be_freed_while_it_migrates<G: Geometry>() {
    for order in orders::<G>() {
        let machine = normal::<G>(6).build_as::<G>();
        let head = machine.alloc_pages(AllocRequest::movable().order(order).owner(1)).unwrap();
        let frees = Answer::new(|_| {
            machine.free_pages(head, order).unwrap();
            Err(MigrateError::Gone)
        });
        assert_eq!(machine.soft_offline_page(head, &frees, options()), Ok(SoftOffline::Retired));
        assert_only_lost(&machine, 6 * unit::<G>(), &[head]);
    }
}

fn a_frame_may_turn_bad_while_its_block_migrates<G: Geometry>() {
    for order in orders::<G>().skip(1) {
        for succeeds in [false, true] {
            let machine = normal::<G>(6).build_as::<G>();
            let head = machine.alloc_pages(AllocRequest::movable().order(order).owner(1)).unwrap();
            let last = Pfn::new(head.number() + order.pages() - 1);
            machine.drain_all();
            let marks = Answer::new(|page| {
                assert_eq!(page.from, head);
                let once = options().attempts(1);
                let result = machine.soft_offline_page(last, &NoMigration, once).unwrap();
                assert_eq!(result, SoftOffline::WhenFreed(NotFree { pfn: head, reason: Obstacle::Moving }));
                machine.verify().unwrap();
                if succeeds { Ok(()) } else { Err(MigrateError::Pinned) }
            });
            let first = PfnRange::with_len(head, 1);
            let taken = machine.alloc_contig(first, &marks, options().attempts(1));
            assert_eq!(taken.is_ok(), succeeds);
            drop(taken);
            if !succeeds {
                assert_eq!(machine.verify().unwrap().total().hwpoisoned, 0);
                machine.free_pages(head, order).unwrap();
            }
            assert_eq!(machine.verify().unwrap().total().hwpoisoned, 1);
        }
    }
}

on_every_geometry!(
    a_free_frame_leaves_at_once_and_its_block_is_split,
    a_cached_frame_is_drained,
    a_movable_block_is_migrated_away,
    what_cannot_be_migrated_is_kept_back_when_it_is_freed,
    pages_in_bulk_and_handles_keep_it_back,
    exact_allocations_keep_it_back,
    contiguous_ranges_keep_it_back,
    a_cma_area_goes_on_beside_it,
    ranges_with_it_can_be_isolated_and_are_not_allocated,
    its_pageblock_goes_offline_and_comes_back_without_it,
    guards_beside_it_end,
    what_is_no_memory_is_refused,
    a_block_may_be_freed_while_it_migrates,
    a_frame_may_turn_bad_while_its_block_migrates,
);

#[test]
fn cpus_that_allocate_and_free_lose_only_the_bad_frames() {
    // Two CPUs allocate and free, and split exact allocations, while a third one says that pages
    // are bad that they hold at that moment.
    let machine = normal::<X86_64>(8).cpus(3).build();
    let held = [const { AtomicUsize::new(0) }; 2];
    let stop = std::sync::atomic::AtomicBool::new(false);
    scope(|threads| {
        for (cpu, held) in held.iter().enumerate() {
            let (machine, stop) = (&machine, &stop);
            threads.spawn(move || {
                let _stop = SetOnDrop(stop);
                Threads::become_cpu(cpu);
                let mut round = 0;
                while !stop.load(Ordering::SeqCst) {
                    round += 1;
                    let mobility = if round % 2 == 0 { Mobility::Movable } else { Mobility::Unmovable };
                    let order = Order::new((round % 5) as u8);
                    let pfn = machine.alloc_pages(AllocRequest::new(order, mobility).owner(1)).unwrap();
                    held.store(pfn.number(), Ordering::Relaxed);
                    drop(machine.alloc_exact(5, AllocRequest::unmovable()).unwrap());
                    machine.free_pages(pfn, order).unwrap();
                }
            });
        }
        let _stop = SetOnDrop(&stop);
        Threads::become_cpu(2);
        let mut tried = 0;
        while tried < 600 && !stop.load(Ordering::SeqCst) {
            let pfn = held[tried % 2].load(Ordering::Relaxed);
            if pfn != 0 {
                // The page itself, or one beside it, which may be in an exact allocation.
                let pfn = Pfn::new(pfn ^ (tried / 2 % 3));
                machine.soft_offline_page(pfn, &NoMigration, options().attempts(1)).unwrap();
                tried += 1;
            }
            // So that the two get to other pages meanwhile.
            std::thread::yield_now();
        }
        assert_eq!(tried, 600);
    });
    machine.drain_all();
    let census = machine.verify().unwrap().total();
    assert!(census.hwpoisoned > 0 && census.allocated == 0, "{census:?}");
    assert_eq!(census.free + census.hwpoisoned, 8 * unit::<X86_64>());
    let pages = fill(&machine, AllocRequest::movable());
    assert_eq!(pages.len(), census.free);
}
