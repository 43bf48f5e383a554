//! One test for each numbered invariant of `PageAllocator::verify`, on every geometry.
//!
//! Each runs what has broken the invariant somewhere in history and looks from outside as well,
//! where one can. That `verify` and `audit` do see each mistake is shown by the instrumented tests,
//! which put the mistakes back.

use std::collections::HashMap;

use pageblock::{
    AllocRequest, ContigOptions, FreeError, FreeKind, Geometry, MemoryUse, MigrateType, Mobility,
    NoMigration, NoNotifier, Order, Pfn, PfnRange, SoftOffline,
};

use crate::support::{
    Machine, Owners, cached, cma_area, fill, normal, on_every_geometry, orders, part, snapshot, unit,
};

const KINDS: [FreeKind; 7] = [
    FreeKind::Listed(MigrateType::Unmovable),
    FreeKind::Listed(MigrateType::Movable),
    FreeKind::Listed(MigrateType::Reclaimable),
    FreeKind::Listed(MigrateType::HighAtomic),
    FreeKind::Listed(MigrateType::Cma),
    FreeKind::Listed(MigrateType::MovableOnly),
    FreeKind::Isolated,
];

/// Pages on the lists of one kind.
fn pages_on<G: Geometry>(machine: &Machine<G>, kind: FreeKind) -> usize {
    let zone = machine.buddyinfo().zones[2];
    orders::<G>().map(|order| zone.count(kind, order) * order.pages()).sum()
}

fn take<G: Geometry>(machine: &Machine<G>, range: PfnRange) -> PfnRange {
    machine.alloc_contig(range, &NoMigration, ContigOptions::default()).unwrap().into_raw()
}

fn i1_every_frame_is_in_one_place<G: Geometry>() {
    let machine = normal::<G>(8).build_as::<G>();
    let mut owner_of: HashMap<Pfn, (Pfn, Order)> = HashMap::new();
    let range = take(&machine, part::<G>(unit::<G>() + 1, 2 * unit::<G>() + 1));
    for (n, order) in orders::<G>().chain(orders::<G>().rev()).enumerate() {
        let mobility = [Mobility::Unmovable, Mobility::Movable, Mobility::Reclaimable][n % 3];
        let head = machine.alloc_pages(AllocRequest::new(order, mobility)).unwrap();
        for pfn in order.block(head).iter() {
            assert!(
                !range.contains(pfn) && owner_of.insert(pfn, (head, order)).is_none(),
                "{pfn} is in two places"
            );
        }
        machine.verify().unwrap();
    }
    // What the allocator says of each frame when somebody frees it: the head that it was handed out
    // with.
    for (&pfn, &(head, order)) in owner_of.iter().filter(|(pfn, (head, _))| *pfn != head) {
        assert_eq!(
            machine.free_pages(pfn, Order::ZERO),
            Err(FreeError::NotHead { pfn, head }),
            "in a block of {order}"
        );
    }
    // A part of a range is cut out of the blocks that it lies in.
    machine.free_contig(PfnRange::with_len(Pfn::new(range.start().number() + 2), unit::<G>())).unwrap();
    machine.verify().unwrap();
}

fn i2_every_free_block_is_on_the_list_that_its_pageblocks_name<G: Geometry>() {
    // Blocks over several pageblocks, of which one after the other changes: isolated, CMA, claimed
    // (2018, 2022, 2025).
    let machine = normal::<G>(8).build_as::<G>();
    let pageblock = G::PAGEBLOCK_ORDER.pages();
    cma_area(&machine, part::<G>(2 * unit::<G>() + unit::<G>() - pageblock, pageblock));
    let check = |what: &str| {
        machine.verify().unwrap();
        let audit = machine.audit();
        assert!(audit.zones.iter().all(|zone| zone.misplaced == 0), "{what}: {audit}");
        assert_eq!(pages_on(&machine, FreeKind::Isolated), machine.isolated_count(), "{what}");
        assert_eq!(
            pages_on(&machine, FreeKind::Listed(MigrateType::Cma)),
            machine.free_cma_count(),
            "{what}"
        );
    };
    check("at first");
    let blocks = fill(&machine, AllocRequest::movable().order(G::MAX_ORDER));
    let held: Vec<_> =
        (0..4).map(|n| machine.isolate(part::<G>(n * unit::<G>() + unit::<G>() / 2, 1)).unwrap()).collect();
    for pfn in blocks {
        machine.free_pages(pfn, G::MAX_ORDER).unwrap();
        check("after a free into pageblocks of which some are isolated");
    }
    for isolated in held {
        drop(isolated);
        check("after an undo");
    }
    for mobility in [Mobility::Unmovable, Mobility::Reclaimable] {
        for order in orders::<G>() {
            let pfn = machine.alloc_pages(AllocRequest::new(order, mobility)).unwrap();
            check("after a claim");
            machine.free_pages(pfn, order).unwrap();
            check("after its free");
        }
    }
}

fn i3_every_counter_equals_its_lists<G: Geometry>() {
    let machine = normal::<G>(8).build_as::<G>();
    cma_area(&machine, part::<G>(unit::<G>(), unit::<G>()));
    let check = |what: &str| {
        let audit = machine.audit();
        assert!(audit.is_exact(), "{what}: {audit}");
        let free: usize = KINDS
            .into_iter()
            .filter(|kind| *kind != FreeKind::Isolated)
            .map(|kind| pages_on(&machine, kind))
            .sum();
        assert_eq!(
            (free, pages_on(&machine, FreeKind::Isolated)),
            (machine.free_count(), machine.isolated_count()),
            "{what}"
        );
        assert_eq!(
            pages_on(&machine, FreeKind::Listed(MigrateType::Cma)),
            machine.free_cma_count(),
            "{what}"
        );
    };
    let pages = fill(&machine, AllocRequest::movable());
    for &pfn in pages.iter().step_by(2) {
        machine.free_pages(pfn, Order::ZERO).unwrap();
    }
    check("half of memory freed, some of it cached");
    for n in 0..6 {
        // Patch 3: cached under a type, spilled when its pageblock is isolated. Patch 9: moved
        // means moved.
        let range = part::<G>(n * unit::<G>() + n, unit::<G>());
        let first = machine.isolate(range).unwrap();
        check("isolated with cached pages");
        let second = machine.isolate(PfnRange::with_len(range.end(), 1)).unwrap();
        check("isolated again in part");
        drop(first);
        check("one of two undone");
        drop(second);
        check("both undone");
    }
    for &pfn in pages.iter().skip(1).step_by(2) {
        machine.free_pages(pfn, Order::ZERO).unwrap();
    }
    machine.drain_all();
    check("all freed");
    assert_eq!((machine.free_count(), machine.free_cma_count()), (8 * unit::<G>(), unit::<G>()));
}

fn i4_every_list_holds_what_it_says<G: Geometry>() {
    // Blocks leave lists from the front, from the back and from the middle.
    let machine = normal::<G>(8).build_as::<G>();
    let check = || {
        let audit = machine.audit();
        assert!(audit.zones.iter().all(|zone| zone.damaged_lists == 0), "{audit}");
        machine.verify().unwrap();
    };
    for order in orders::<G>() {
        let mut blocks = fill(&machine, AllocRequest::movable().order(order));
        // Every second one first: as many blocks on the list as there can be.
        let rest = blocks.split_off(blocks.len() / 2);
        for &pfn in blocks.iter().step_by(2) {
            machine.free_pages(pfn, order).unwrap();
        }
        machine.drain_all();
        check();
        for &pfn in blocks.iter().skip(1).step_by(4) {
            machine.free_pages(pfn, order).unwrap();
            drop(machine.isolate(PfnRange::with_len(pfn, 1)).unwrap());
        }
        check();
        for &pfn in blocks.iter().skip(3).step_by(4).chain(&rest) {
            machine.free_pages(pfn, order).unwrap();
        }
        machine.drain_all();
        check();
        assert_eq!(machine.free_count(), 8 * unit::<G>());
    }
}

fn i5_pages_are_conserved<G: Geometry>() {
    // Every state that a page can be in, all at once.
    let machine = normal::<G>(16).tune(|tuning| tuning.guard_below(Order::new(1))).build_as::<G>();
    let present = 16 * unit::<G>();
    let pageblock = G::PAGEBLOCK_ORDER.pages();
    cma_area(&machine, part::<G>(unit::<G>(), unit::<G>()));
    let (offline, _) = machine
        .offline(part::<G>(2 * unit::<G>(), pageblock), &NoMigration, &NoNotifier, ContigOptions::default())
        .unwrap();
    let contig = take(&machine, part::<G>(4 * unit::<G>() + 1, unit::<G>()));
    let owned: Vec<Pfn> = (0..5).map(|_| machine.alloc_pages(AllocRequest::unmovable()).unwrap()).collect();
    let spare = machine.alloc_pages(AllocRequest::unmovable()).unwrap();
    machine.free_pages(spare, Order::ZERO).unwrap();
    // A unit of which nothing has been taken.
    let holds = |n: usize, pfn: &Pfn| part::<G>(n * unit::<G>(), unit::<G>()).contains(*pfn);
    let whole = (6..16).find(|&n| !owned.iter().chain([&spare]).any(|pfn| holds(n, pfn))).unwrap();
    let isolated = machine.isolate(part::<G>(whole * unit::<G>(), 1)).unwrap();
    let census = machine.verify().unwrap().total();
    assert_eq!((census.present, census.offline), (present, pageblock));
    assert_eq!((census.isolated, census.allocated), (pageblock, contig.len() + owned.len()));
    assert!(census.guard > 0 && cached(&machine) == census.cached);
    let sum =
        census.free + census.isolated + census.cached + census.guard + census.allocated + census.offline;
    assert_eq!(sum, present);
    assert_eq!(machine.managed_count(), present - pageblock);
    drop(isolated);
    machine.online(offline, &NoNotifier).unwrap();
    machine.free_contig(contig).unwrap();
    owned.into_iter().for_each(|pfn| machine.free_pages(pfn, Order::ZERO).unwrap());
    machine.drain_all();
    assert_eq!(machine.verify().unwrap().total().free, present, "guards are free pages again too");
}

fn i6_buddies_that_may_merge_have_merged<G: Geometry>() {
    let machine = normal::<G>(4).build_as::<G>();
    let before = snapshot(&machine);
    for range in [part::<G>(0, 1), part::<G>(unit::<G>() - 1, 2), part::<G>(1, 3 * unit::<G>())] {
        drop(machine.isolate(range).unwrap());
        assert_eq!(snapshot(&machine), before, "after an undo");
        machine.free_contig(take(&machine, range)).unwrap();
        assert_eq!(snapshot(&machine), before, "after a range was freed");
    }
    // A migration fills one place and empties another.
    let owners = Owners::new();
    let pfn = owners.own(&machine, 1, Order::ZERO).unwrap();
    drop(machine.alloc_contig(PfnRange::with_len(pfn, 1), &owners, ContigOptions::default()).unwrap());
    machine.drain_all();
    machine.verify().unwrap();
    owners.free_all(&machine);
    machine.drain_all();
    assert_eq!(snapshot(&machine), before, "after the moved page was freed");
    // Pageblocks of CMA and of others do not merge.
    cma_area(&machine, part::<G>(0, G::PAGEBLOCK_ORDER.pages()));
    machine.verify().unwrap();
    let largest = machine.buddyinfo().zones[2].all(G::MAX_ORDER);
    let expected = if G::PAGEBLOCK_ORDER < G::MAX_ORDER { 1 } else { 0 };
    assert_eq!(largest, 4 * unit::<G>() / G::MAX_ORDER.pages() - expected);
}

fn i7_what_is_published_is_what_is_counted<G: Geometry>() {
    let machine = normal::<G>(4).build_as::<G>();
    cma_area(&machine, part::<G>(0, unit::<G>()));
    let check = || {
        let (audit, info) = (machine.audit().zones[2], machine.meminfo());
        assert_eq!((machine.free_count(), info.free), (audit.free.truth, audit.free.truth));
        assert_eq!((machine.free_cma_count(), info.free_cma), (audit.free_cma.truth, audit.free_cma.truth));
        assert_eq!((machine.isolated_count(), info.isolated), (audit.isolated.truth, audit.isolated.truth));
        assert_eq!(machine.managed_count(), info.total);
        machine.verify().unwrap();
    };
    check();
    for order in orders::<G>() {
        let pfn = machine.alloc_pages(AllocRequest::movable().order(order)).unwrap();
        check();
        let isolated = machine.isolate(PfnRange::with_len(pfn, 1)).unwrap();
        check();
        machine.free_pages(pfn, order).unwrap();
        check();
        drop(isolated);
        check();
    }
    let range = take(&machine, part::<G>(1, unit::<G>()));
    check();
    machine.free_contig(range).unwrap();
    machine.reserve(part::<G>(3, 2)).unwrap();
    check();
    machine.add_memory(part::<G>(3, 2), MemoryUse::Ordinary).unwrap();
    check();
}

fn i8_a_bad_frame_is_retired_or_noted_in_its_block<G: Geometry>() {
    let machine = normal::<G>(4).build_as::<G>();
    let (mut blocks, mut bad) = (Vec::new(), Vec::new());
    let fail = |pfn| machine.soft_offline_page(pfn, &NoMigration, ContigOptions::default()).unwrap();
    let check = |retired: usize| {
        let census = machine.verify().unwrap().total();
        assert_eq!((census.hwpoisoned, machine.meminfo().hwpoisoned), (retired, retired));
        assert_eq!(machine.managed_count(), 4 * unit::<G>() - retired);
    };
    for order in orders::<G>().filter(|order| order.pages() <= unit::<G>() / 2) {
        let pfn = machine.alloc_pages(AllocRequest::unmovable().order(order)).unwrap();
        let last = Pfn::new(pfn.number() + order.pages() - 1);
        assert_ne!(fail(last), SoftOffline::Retired);
        blocks.push((pfn, order));
        bad.push(last);
        check(0);
    }
    let range = take(&machine, part::<G>(3 * unit::<G>(), unit::<G>()));
    assert_ne!(fail(range.start()), SoftOffline::Retired);
    check(0);
    machine.free_contig(range).unwrap();
    check(1);
    for (number, (pfn, order)) in blocks.into_iter().enumerate() {
        machine.free_pages(pfn, order).unwrap();
        check(number + 2);
    }
    bad.push(range.start());
    assert!(fill(&machine, AllocRequest::movable()).iter().all(|pfn| !bad.contains(pfn)));
}

on_every_geometry!(
    i1_every_frame_is_in_one_place,
    i2_every_free_block_is_on_the_list_that_its_pageblocks_name,
    i3_every_counter_equals_its_lists,
    i4_every_list_holds_what_it_says,
    i5_pages_are_conserved,
    i6_buddies_that_may_merge_have_merged,
    i7_what_is_published_is_what_is_counted,
    i8_a_bad_frame_is_retired_or_noted_in_its_block,
);
