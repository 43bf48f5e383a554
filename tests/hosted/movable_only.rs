//! Movable-only memory: memory that is plugged and can be unplugged again.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use pageblock::{
    AllocRequest, CmaArea, CmaError, ContigError, ContigOptions, ContigPlace, Depth, FreeKind, Geometry,
    HandOverError, HotplugError, IsolateError, Mark, MemoryUse, MigrateError, MigrateType, Mobility,
    NoMigration, NoNotifier, Obstacle, Order, Pfn, PfnRange, ZoneKind,
};

use crate::support::{
    Builder, Easygoing, Machine, Owners, SetOnDrop, Threads, base, bitmap, cached, cma_area, fill, frames,
    normal, on_every_geometry, orders, part, range, scope, unchanged, unit,
};

const NOT_MOVABLE: [Mobility; 2] = [Mobility::Unmovable, Mobility::Reclaimable];
const DEPTHS: [Depth; 3] = [Depth::Normal, Depth::Atomic, Depth::Emergency];

fn options() -> ContigOptions {
    ContigOptions::default()
}

/// A machine with `ordinary` units of memory, and a slot of `slot` units above it.
fn with_slot<G: Geometry>(ordinary: usize, slot: usize) -> (Machine<G>, PfnRange) {
    let start = base::<G>() + ordinary * unit::<G>();
    let slot = range(start, start + slot * unit::<G>());
    let machine = normal::<G>(ordinary + slot.len() / unit::<G>()).build_as::<G>();
    let (offline, _) = machine.offline(slot, &NoMigration, &NoNotifier, options()).unwrap();
    machine.remove_memory(offline.range()).unwrap();
    machine.verify().unwrap();
    (machine, slot)
}

/// The same, with movable-only memory in the slot.
fn plugged<G: Geometry>(ordinary: usize, slot: usize) -> (Machine<G>, PfnRange) {
    let (machine, slot) = with_slot::<G>(ordinary, slot);
    machine.add_memory(slot, MemoryUse::MovableOnly).unwrap();
    machine.verify().unwrap();
    (machine, slot)
}

fn offline<G: Geometry>(machine: &Machine<G>, slot: PfnRange, owners: &Owners) {
    let (offline, _) = machine.offline(slot, owners, &NoNotifier, options()).unwrap();
    assert_eq!(offline.range(), slot);
}

fn no_other_request_is_served_from_it<G: Geometry>() {
    let (machine, slot) = plugged::<G>(4, 4);
    let ordinary = 4 * unit::<G>();
    let mut taken = 0;
    // From the largest order down, so that a fallback would find the largest blocks first.
    for order in orders::<G>().rev() {
        for mobility in NOT_MOVABLE {
            for depth in DEPTHS {
                let request = AllocRequest::new(order, mobility).depth(depth);
                let mut blocks = [Pfn::new(0); 3];
                let bulk = machine.alloc_bulk(request, &mut blocks);
                for pfn in &blocks[..bulk] {
                    assert!(!order.block(*pfn).overlaps(slot), "{pfn} for {request:?}");
                    taken += order.pages();
                }
            }
        }
    }
    for mobility in NOT_MOVABLE {
        for depth in DEPTHS {
            let rest = fill(&machine, AllocRequest::new(Order::ZERO, mobility).depth(depth));
            assert!(!rest.iter().any(|pfn| slot.contains(*pfn)));
            taken += rest.len();
        }
    }
    assert_eq!(taken, ordinary, "all other memory is served");
    assert!(machine.alloc_exact(1, AllocRequest::movable()).is_err(), "which is an unmovable request");
    machine.verify().unwrap();
    assert_eq!((machine.free_count(), machine.meminfo().free_movable_only), (slot.len(), slot.len()));
    let movable = fill(&machine, AllocRequest::movable());
    assert!(movable.len() == slot.len() && movable.iter().all(|pfn| slot.contains(*pfn)));
}

fn what_leaves_pcplists_stays_movable<G: Geometry>() {
    // Movable pages of the slot are cached; then requests of other kinds drain them.
    let (machine, slot) = plugged::<G>(2, 2);
    let pages = fill(&machine, AllocRequest::movable());
    pages.into_iter().for_each(|pfn| machine.free_pages(pfn, Order::ZERO).unwrap());
    assert!(cached(&machine) > 0);
    for mobility in NOT_MOVABLE {
        for depth in DEPTHS {
            let pages = fill(&machine, AllocRequest::new(Order::ZERO, mobility).depth(depth));
            assert!(!pages.iter().any(|pfn| slot.contains(*pfn)));
            pages.into_iter().for_each(|pfn| machine.free_pages(pfn, Order::ZERO).unwrap());
        }
    }
    machine.verify().unwrap();
    assert_eq!(machine.pagetypeinfo().zones[2].pageblocks(FreeKind::Listed(MigrateType::MovableOnly)), {
        slot.len() / G::PAGEBLOCK_ORDER.pages()
    });
}

fn movable_requests_take_it_first<G: Geometry>() {
    let (machine, slot) = plugged::<G>(2, 2);
    for order in [Order::ZERO, G::MAX_ORDER] {
        let first = machine.alloc_pages(AllocRequest::movable().order(order)).unwrap();
        assert!(order.block(first).overlaps(slot));
        machine.free_pages(first, order).unwrap();
    }
    let pages: HashSet<Pfn> = fill(&machine, AllocRequest::movable()).into_iter().collect();
    assert_eq!(pages.len(), 4 * unit::<G>(), "and all other memory after it");
}

fn it_comes_before_cma_and_does_not_count_in_its_balance<G: Geometry>() {
    // Three quarters of the other memory is CMA: more than the half above which it comes first.
    let (machine, slot) = plugged::<G>(4, 4);
    let area = cma_area(&machine, part::<G>(unit::<G>(), 3 * unit::<G>()));
    let pages: Vec<Pfn> =
        (0..slot.len() + 1).map(|_| machine.alloc_pages(AllocRequest::movable()).unwrap()).collect();
    machine.drain_all();
    let inside = pages.iter().filter(|pfn| slot.contains(**pfn)).count();
    assert_eq!((inside, machine.meminfo().free_movable_only), (slot.len(), 0));
    assert!(area.range().contains(pages[slot.len()]), "then CMA");
}

fn ten_rounds_of_add_load_migrate_and_offline<G: Geometry>() {
    let (machine, slot) = with_slot::<G>(4, 2);
    for round in 0..10 {
        machine.add_memory(slot, MemoryUse::MovableOnly).unwrap();
        let owners = Owners::new();
        assert_eq!(owners.fill(&machine, 3 * unit::<G>()), 3 * unit::<G>());
        let inside = owners.all().iter().filter(|(_, pfn, _)| slot.contains(*pfn)).count();
        assert_eq!(inside, slot.len(), "round {round}");
        // Pages of the kernel are around all the time.
        let kernel = NOT_MOVABLE
            .map(|mobility| machine.alloc_pages(AllocRequest::new(Order::ZERO, mobility)).unwrap());
        assert_eq!(machine.offline_dry_run(slot, |obstacle| panic!("{obstacle}")), Ok(inside));
        offline(&machine, slot, &owners);
        assert!(owners.all().iter().all(|(_, pfn, _)| !slot.contains(*pfn)));
        if round % 2 == 0 {
            machine.online_raw(slot).unwrap();
            machine.verify().unwrap();
            assert_eq!(machine.meminfo().free_movable_only, slot.len(), "it comes back as it was");
            offline(&machine, slot, &owners);
        }
        machine.remove_memory(slot).unwrap();
        owners.free_all(&machine);
        kernel.iter().for_each(|pfn| machine.free_pages(*pfn, Order::ZERO).unwrap());
        machine.drain_all();
        machine.verify().unwrap();
    }
    assert_eq!((machine.managed_count(), machine.free_count()), (4 * unit::<G>(), 4 * unit::<G>()));
}

fn memory_can_come_back_for_another_use<G: Geometry>() {
    let (machine, slot) = plugged::<G>(2, 2);
    offline(&machine, slot, &Owners::new());
    machine.remove_memory(slot).unwrap();
    machine.add_memory(slot, MemoryUse::Ordinary).unwrap();
    machine.verify().unwrap();
    assert_eq!(machine.meminfo().free_movable_only, 0);
    assert_eq!(fill(&machine, AllocRequest::unmovable()).len(), 4 * unit::<G>());
}

fn contiguous_ranges_and_areas_are_elsewhere<G: Geometry>() {
    let (machine, slot) = plugged::<G>(2, 2);
    let pageblock = G::PAGEBLOCK_ORDER.pages();
    for wanted in [
        PfnRange::with_len(slot.start(), 1),
        PfnRange::new(Pfn::new(slot.start().number() + 1), slot.end()),
        PfnRange::with_len(Pfn::new(slot.start().number() - 1), 2),
    ] {
        let pfn = wanted.start().max(slot.start());
        let error = unchanged(&machine, || machine.alloc_contig(wanted, &Easygoing, options()).unwrap_err());
        assert_eq!(error, ContigError::MovableOnly { pfn });
    }
    let error = unchanged(&machine, || {
        let place = PfnRange::with_len(slot.start(), pageblock);
        CmaArea::new(&machine, place, bitmap(pageblock)).unwrap_err()
    });
    assert_eq!(error, CmaError::MovableOnly { pfn: slot.start() });
    let area = CmaArea::reserve(&machine, pageblock, ZoneKind::Normal, bitmap(pageblock)).unwrap();
    assert!(!area.range().overlaps(slot));
    let mut ranges = Vec::new();
    while let Ok(found) = machine.alloc_contig_pages(1, ContigPlace::default(), &Easygoing, options()) {
        assert!(!found.range().overlaps(slot));
        ranges.push(found);
    }
    assert_eq!(ranges.len(), 2 * unit::<G>() - pageblock);
    offline(&machine, slot, &Owners::new());
}

fn a_refused_offline_names_its_frame<G: Geometry>() {
    let (machine, slot) = plugged::<G>(2, 2);
    let pfn = machine.alloc_pages(AllocRequest::movable().owner(1)).unwrap();
    machine.drain_all();
    let error = unchanged(&machine, || {
        let error = machine.offline(slot, &NoMigration, &NoNotifier, options()).unwrap_err();
        machine.drain_all();
        error
    });
    let reason = Obstacle::NotMigrated(MigrateError::Pinned);
    assert_eq!(error, HotplugError::Contig(ContigError::Busy { pfn, reason, attempts: 5 }));
}

fn what_cannot_be_movable_only_says_why<G: Geometry>() {
    let (machine, slot) = with_slot::<G>(2, 2);
    let pageblock = G::PAGEBLOCK_ORDER;
    let refused =
        |range, memory_use| unchanged(&machine, || machine.add_memory(range, memory_use).unwrap_err());
    let (first, last) = (slot.start(), Pfn::new(slot.end().number() - 1));
    for part in [PfnRange::new(first, last), PfnRange::new(Pfn::new(first.number() + 1), slot.end())] {
        assert_eq!(
            refused(part, MemoryUse::MovableOnly),
            HandOverError::Unaligned { range: part, pageblock }
        );
    }
    // A part of a pageblock, whose other part is movable-only.
    machine.add_memory(slot, MemoryUse::MovableOnly).unwrap();
    let hole = PfnRange::with_len(first, 1);
    machine.reserve(hole).unwrap();
    machine.verify().unwrap();
    let migratetype = MigrateType::MovableOnly;
    assert_eq!(refused(hole, MemoryUse::Ordinary), HandOverError::OtherUse { pfn: first, migratetype });
    // A whole one is new.
    let whole = pageblock.block(first);
    let rest = PfnRange::new(Pfn::new(first.number() + 1), whole.end());
    machine.reserve(rest).unwrap();
    machine.add_memory(whole, MemoryUse::Ordinary).unwrap();
    machine.verify().unwrap();
    assert_eq!(machine.meminfo().free_movable_only, slot.len() - whole.len());
    // A CMA area keeps its pageblocks.
    cma_area(&machine, whole);
    machine.reserve(whole).unwrap();
    let error = HandOverError::OtherUse { pfn: first, migratetype: MigrateType::Cma };
    assert_eq!(refused(whole, MemoryUse::MovableOnly), error);
    machine.add_memory(whole, MemoryUse::Ordinary).unwrap();
    assert_eq!(machine.free_cma_count(), whole.len());
    // What is online, or offline, is there already.
    let online = PfnRange::with_len(whole.end(), pageblock.pages());
    assert!(matches!(refused(online, MemoryUse::MovableOnly), HandOverError::Managed { .. }));
    let error = unchanged(&machine, || machine.remove_memory(online).unwrap_err());
    assert!(matches!(error, HotplugError::NotOffline { pfn, .. } if pfn == online.start()), "{error}");
    let unaligned = PfnRange::with_len(online.start(), 1);
    let error = unchanged(&machine, || machine.remove_memory(unaligned).unwrap_err());
    assert_eq!(error, HotplugError::Unaligned { range: unaligned, pageblock });
    offline(&machine, online, &Owners::new());
    assert!(matches!(refused(online, MemoryUse::MovableOnly), HandOverError::Managed { .. }));
}

fn guards_of_other_requests_are_elsewhere<G: Geometry>() {
    for order in orders::<G>().skip(1) {
        let (ordinary, slot) = (2 * unit::<G>(), part::<G>(2 * unit::<G>(), 2 * unit::<G>()));
        let machine = normal::<G>(4).tune(|tuning| tuning.guard_below(order)).build_as::<G>();
        offline(&machine, slot, &Owners::new());
        machine.remove_memory(slot).unwrap();
        machine.add_memory(slot, MemoryUse::MovableOnly).unwrap();
        let pages = fill(&machine, AllocRequest::unmovable());
        assert!(!pages.is_empty() && !pages.iter().any(|pfn| slot.contains(*pfn)));
        assert_eq!(machine.meminfo().free_movable_only, slot.len());
        assert!(pages.len() <= ordinary);
        // Those of movable requests go with what they guard.
        let owners = Owners::new();
        assert!(owners.fill(&machine, 3) > 0);
        machine.drain_all();
        owners.free_all(&machine);
        offline(&machine, slot, &owners);
    }
}

on_every_geometry!(
    no_other_request_is_served_from_it,
    what_leaves_pcplists_stays_movable,
    movable_requests_take_it_first,
    it_comes_before_cma_and_does_not_count_in_its_balance,
    ten_rounds_of_add_load_migrate_and_offline,
    memory_can_come_back_for_another_use,
    contiguous_ranges_and_areas_are_elsewhere,
    a_refused_offline_names_its_frame,
    what_cannot_be_movable_only_says_why,
    guards_of_other_requests_are_elsewhere,
);

/// 1 GiB of memory, and a slot of 1 GiB at 4 GiB, where no other memory is.
fn guest() -> (Machine, PfnRange) {
    let slot = range(1 << 20, (1 << 20) + (1 << 18));
    let memory: Builder = frames(&[(256, 1 << 18), (1 << 20, (1 << 20) + (1 << 18))]);
    let machine = memory.cpus(3).build();
    offline(&machine, slot, &Owners::new());
    machine.remove_memory(slot).unwrap();
    (machine, slot)
}

/// Ten default unmovable pages.
fn ten(machine: &Machine) -> Vec<Pfn> {
    (0..10).map(|_| machine.alloc_pages(AllocRequest::unmovable()).unwrap()).collect()
}

#[test]
fn ten_unmovable_pages_keep_ordinary_memory_online_and_movable_only_memory_not() {
    let (machine, slot) = guest();
    machine.add_memory(slot, MemoryUse::Ordinary).unwrap();
    let pages = ten(&machine);
    assert!(pages.iter().all(|pfn| slot.contains(*pfn)), "the highest zone comes first");
    let pfn = *pages.iter().min().unwrap();
    let error = machine.offline(slot, &Easygoing, &NoNotifier, options()).unwrap_err();
    let reason = Obstacle::Allocated(Mobility::Unmovable);
    let expected = ContigError::Isolate(IsolateError::Unmovable { pfn, reason });
    assert_eq!(error, HotplugError::Contig(expected), "the frame in the way is named");

    let (machine, slot) = guest();
    machine.add_memory(slot, MemoryUse::default()).unwrap();
    assert!(ten(&machine).iter().all(|pfn| !slot.contains(*pfn)));
    offline(&machine, slot, &Owners::new());
}

#[test]
fn marks_and_reserves_are_those_of_the_other_memory() {
    let (machine, slot) = guest();
    let limits = |machine: &Machine| {
        machine.zoneinfo().zones.map(|zone| (zone.watermarks.get(Mark::Min), zone.lowmem_reserve))
    };
    let before = limits(&machine);
    machine.add_memory(slot, MemoryUse::MovableOnly).unwrap();
    assert_eq!(limits(&machine), before);
    let info = machine.zoneinfo();
    assert_eq!((info.zones[2].movable_only, info.zones[2].free_movable_only), (slot.len(), slot.len()));
    assert_eq!(info.zones[1].lowmem_reserve_movable[2], slot.len() / 256, "movable ones have the slot");
    // So an unmovable request is served as long as it was without the slot.
    let (other, _) = guest();
    let served = |machine: &Machine| fill(machine, AllocRequest::unmovable()).len();
    assert_eq!(served(&machine), served(&other));
    // And a movable one gets every page of the slot.
    let movable = fill(&machine, AllocRequest::movable());
    assert_eq!(movable.iter().filter(|pfn| slot.contains(**pfn)).count(), slot.len());
}

#[test]
fn pcplists_serve_requests_that_cannot_use_the_highest_zone() {
    // Zone Normal has movable-only memory only: an unmovable page comes from a list of DMA32, and
    // takes no lock.
    let (machine, slot) = guest();
    machine.add_memory(slot, MemoryUse::MovableOnly).unwrap();
    let pair = || {
        let pfn = machine.alloc_pages(AllocRequest::unmovable()).unwrap();
        machine.free_pages(pfn, Order::ZERO).unwrap();
    };
    let holds = || machine.zoneinfo().zones.map(|zone| zone.lock_holds);
    pair();
    let before = holds();
    let quiet = holds();
    (0..100).for_each(|_| pair());
    let after = holds();
    for zone in 0..ZoneKind::COUNT {
        assert_eq!(after[zone] - quiet[zone], quiet[zone] - before[zone], "zone {zone}");
    }
}

#[test]
fn a_movable_request_leaves_other_memory_at_its_mark() {
    // Every second page of the slot is free, so that it has no block of order 1.
    let slot = range(1 << 20, (1 << 20) + 4096);
    let machine = frames(&[(1 << 20, (1 << 20) + 8192)]).min_free(1000).build();
    offline(&machine, slot, &Owners::new());
    machine.remove_memory(slot).unwrap();
    machine.add_memory(slot, MemoryUse::MovableOnly).unwrap();
    let pages = fill(&machine, AllocRequest::movable());
    for pfn in pages.iter().filter(|pfn| slot.contains(**pfn) && pfn.number() % 2 == 0) {
        machine.free_pages(*pfn, Order::ZERO).unwrap();
    }
    machine.drain_all();
    let others = || {
        let zone = machine.zoneinfo().zones[2];
        zone.free - zone.free_movable_only
    };
    let (free, mark) = (others(), machine.zoneinfo().zones[2].watermarks.get(Mark::Min));
    assert_eq!((free, machine.meminfo().free_movable_only), (mark, slot.len() / 2));
    for order in [1, 3] {
        let request = AllocRequest::movable().order(Order::new(order));
        assert!(machine.alloc_pages(request).is_err(), "{order}");
        assert_eq!(others(), mark);
    }
    assert_eq!(fill(&machine, AllocRequest::movable()).len(), slot.len() / 2);
    machine.verify().unwrap();
}

#[test]
fn memory_is_plugged_and_unplugged_while_cpus_allocate() {
    let (machine, slot) = guest();
    let stop = AtomicBool::new(false);
    let inside = AtomicUsize::new(0);
    scope(|threads| {
        for cpu in 0..2 {
            let (machine, stop, inside) = (&machine, &stop, &inside);
            threads.spawn(move || {
                let _stop = SetOnDrop(stop);
                Threads::become_cpu(cpu);
                for order in (0..4).map(Order::new).cycle() {
                    if stop.load(Ordering::SeqCst) {
                        break;
                    }
                    for mobility in NOT_MOVABLE {
                        let pfn = machine.alloc_pages(AllocRequest::new(order, mobility)).unwrap();
                        assert!(!order.block(pfn).overlaps(slot), "{pfn}, {mobility}");
                        machine.free_pages(pfn, order).unwrap();
                    }
                    let pfn = machine.alloc_pages(AllocRequest::movable().order(order)).unwrap();
                    if slot.contains(pfn) {
                        inside.fetch_add(1, Ordering::Relaxed);
                    }
                    machine.free_pages(pfn, order).unwrap();
                }
            });
        }
        let _stop = SetOnDrop(&stop);
        Threads::become_cpu(2);
        for _ in 0..10 {
            machine.add_memory(slot, MemoryUse::MovableOnly).unwrap();
            let before = inside.load(Ordering::Relaxed);
            while inside.load(Ordering::Relaxed) < before + 100 && !stop.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
            // The movable pages that the others hold at this moment do not migrate.
            let mut tries = 0;
            while machine.offline(slot, &NoMigration, &NoNotifier, options()).is_err() {
                tries += 1;
                assert!(tries < 100_000 && machine.audit().is_exact());
            }
            machine.remove_memory(slot).unwrap();
            assert!(machine.audit().is_exact());
        }
    });
    machine.drain_all();
    let census = machine.verify().unwrap().total();
    assert_eq!((census.free, census.offline), (census.present, 0));
}
