//! What is kept back, for whom, and that nobody is refused because of it: the atomic reserve, the
//! lowmem reserve, and the pages that are cached for CPUs.

use crate::support::{Machine, Threads, cached, cma_area, fill, frames};
use pageblock::{
    AllocRequest, ContigOptions, Depth, FreeKind, MemoryUse, MigrateType, Mobility, NoMigration, NoNotifier,
    Order, Pfn, PfnRange, ZoneKind,
};

const RESERVE: FreeKind = FreeKind::Listed(MigrateType::HighAtomic);
const MOBILITIES: [Mobility; 3] = [Mobility::Unmovable, Mobility::Movable, Mobility::Reclaimable];
const FOUR_GIB: usize = 1 << 20;
const GIB: usize = 1 << 18;
const PAGEBLOCK: Order = Order::new(9);

fn atomic(order: u8) -> AllocRequest {
    AllocRequest::unmovable().order(Order::new(order)).depth(Depth::Atomic)
}

fn reserved(machine: &Machine) -> usize {
    machine.pagetypeinfo().zones.iter().map(|zone| zone.pageblocks(RESERVE)).sum()
}

fn free_atomic(machine: &Machine) -> usize {
    machine.audit().zones.iter().map(|zone| zone.free_atomic.counter).sum()
}

/// Free pages that are not of the atomic reserve.
fn ordinary(machine: &Machine) -> usize {
    machine.free_count() - free_atomic(machine)
}

/// Makes the machine reserve this many pageblocks, all pages of which are free.
fn reserve(machine: &Machine, pageblocks: usize) {
    let mut blocks = Vec::new();
    while free_atomic(machine) + blocks.len() * 16 < pageblocks * 512 {
        blocks.push(machine.alloc_pages(atomic(4)).unwrap());
    }
    blocks.into_iter().for_each(|pfn| machine.free_pages(pfn, Order::new(4)).unwrap());
    assert_eq!((reserved(machine), free_atomic(machine)), (pageblocks, pageblocks * 512));
}

/// The pageblocks of the reserve, in ranges that are as long as possible.
fn reserve_ranges(machine: &Machine) -> Vec<PfnRange> {
    let blocks: Vec<Pfn> =
        (0..).map_while(|_| machine.alloc_pages(atomic(9)).ok()).take(reserved(machine)).collect();
    blocks.iter().for_each(|pfn| machine.free_pages(*pfn, PAGEBLOCK).unwrap());
    machine.drain_all();
    let mut ranges: Vec<PfnRange> = Vec::new();
    let mut sorted = blocks;
    sorted.sort();
    for pfn in sorted {
        match ranges.last_mut() {
            Some(last) if last.end() == pfn => {
                *last = PfnRange::new(last.start(), PAGEBLOCK.block(pfn).end())
            }
            _ => ranges.push(PAGEBLOCK.block(pfn)),
        }
    }
    ranges
}

fn gibibyte() -> Machine {
    frames(&[(FOUR_GIB, FOUR_GIB + GIB)]).build()
}

#[test]
fn requests_that_do_not_need_the_atomic_reserve_leave_it_while_other_pages_are_free() {
    let normal = |mobility| AllocRequest::new(Order::ZERO, mobility);
    let mut requests = Vec::new();
    for mobility in MOBILITIES {
        requests.push((3072, normal(mobility).depth(Depth::Atomic)));
        requests.push((3072, normal(mobility).depth(Depth::Emergency)));
        requests.push((2560, normal(mobility)));
        requests.push((100, normal(mobility).order(Order::new(3)).depth(Depth::Emergency)));
    }
    for (count, request) in requests {
        let machine = gibibyte();
        reserve(&machine, 5);
        for _ in 0..count {
            machine.alloc_pages(request).unwrap();
        }
        assert_eq!(free_atomic(&machine), 2560, "{request:?}");
        machine.verify().unwrap();
    }
}

#[test]
fn in_fragmented_memory_the_whole_atomic_reserve_is_there_for_high_orders() {
    let machine = gibibyte();
    reserve(&machine, 5);
    for _ in 0..3072 {
        machine.alloc_pages(atomic(0)).unwrap();
    }
    // Every other page of the rest.
    let mut pages = Vec::new();
    while ordinary(&machine) > 3000 {
        pages.extend((0..1000).map(|_| machine.alloc_pages(AllocRequest::movable()).unwrap()));
    }
    pages.sort();
    pages.iter().step_by(2).for_each(|pfn| machine.free_pages(*pfn, Order::ZERO).unwrap());
    machine.drain_all();
    let served = (0..).take_while(|_| machine.alloc_pages(atomic(3)).is_ok()).take(1000).count();
    assert!(served >= 2560 / 8, "{served}");
    machine.verify().unwrap();
}

#[test]
fn other_zones_come_before_the_atomic_reserve() {
    // 1 GiB above 4 GiB, which has the reserve, and 1 GiB below.
    for depth in [Depth::Atomic, Depth::Emergency] {
        let machine = frames(&[(GIB, 2 * GIB), (FOUR_GIB, FOUR_GIB + GIB)]).build();
        reserve(&machine, 5);
        // Down to the floor of atomic requests, and for emergencies to the last page.
        let normal = || {
            let audit = machine.audit();
            audit.zones[2].free.counter - audit.zones[2].free_atomic.counter
        };
        while normal() > 5000 {
            (0..1000).for_each(|_| {
                machine.alloc_pages(AllocRequest::movable()).unwrap();
            });
        }
        let lower_free = machine.audit().zones[1].free.counter;
        for _ in 0..20_000 {
            machine.alloc_pages(AllocRequest::movable().depth(depth)).unwrap();
        }
        assert!(machine.audit().zones[1].free.counter < lower_free, "{depth:?} went to the lower zone");
        assert_eq!(free_atomic(&machine), 2560, "{depth:?}");
        machine.verify().unwrap();
    }
}

#[test]
fn the_atomic_reserve_comes_before_a_refusal() {
    for (depth, left) in [(Depth::Atomic, 384), (Depth::Emergency, 0)] {
        for mobility in MOBILITIES {
            let machine = gibibyte();
            reserve(&machine, 5);
            let request = AllocRequest::new(Order::ZERO, mobility).depth(depth);
            let served = fill(&machine, request).len();
            assert_eq!((served, machine.free_count()), (GIB - left, left), "{request:?}");
            assert_eq!(free_atomic(&machine), left, "it is what is left");
            assert_eq!(cached(&machine), 0, "nothing of it is cached for others");
            machine.verify().unwrap();
        }
    }
}

/// A machine whose ordinary free pages are `ordinary`, and whose atomic reserve has `pageblocks`.
fn starved(gibibytes: usize, pageblocks: usize, left: usize) -> Machine {
    let machine = frames(&[(FOUR_GIB, FOUR_GIB + gibibytes * GIB)]).min_free(4096).build();
    reserve(&machine, pageblocks);
    let large = AllocRequest::movable().order(Order::new(10));
    while ordinary(&machine) > 8192 {
        machine.alloc_pages(large).unwrap();
    }
    machine.drain_all();
    // One at a time below the mark, and what is cached of the last batch above it.
    while machine.free_count() + cached(&machine) > left + pageblocks * 512 {
        machine.alloc_pages(AllocRequest::movable().depth(Depth::Emergency)).unwrap();
    }
    machine.drain_all();
    assert_eq!((ordinary(&machine), free_atomic(&machine)), (left, pageblocks * 512));
    machine
}

/// Asks for one block, for which the reserve has to be given back in part.
fn serves_one(gibibytes: usize, pageblocks: usize, left: usize, request: AllocRequest, pages: usize) {
    let machine = starved(gibibytes, pageblocks, left);
    machine.alloc_pages(request).unwrap_or_else(|error| panic!("{error}: {left} {request:?}"));
    // As much as it takes, and no more.
    let taken = (4096 - left + pages).div_ceil(512);
    assert_eq!(reserved(&machine), pageblocks - taken, "{left} {request:?}");
}

#[test]
fn nobody_is_refused_while_the_atomic_reserve_has_enough() {
    serves_one(16, 64, 288, AllocRequest::unmovable(), 1);
    serves_one(4, 20, 4095, AllocRequest::unmovable(), 1);
    for mobility in MOBILITIES {
        for order in [0, 3, 9] {
            let request = AllocRequest::new(Order::new(order), mobility);
            for (pageblocks, left) in [(20, 288), (9, 0)] {
                serves_one(4, pageblocks, left, request, 1 << order);
            }
        }
    }
    let machine = starved(4, 20, 288);
    let served = fill(&machine, AllocRequest::unmovable()).len();
    assert_eq!((served, machine.free_count(), reserved(&machine)), (20 * 512 + 288 - 4096, 4096, 0));
    machine.verify().unwrap();
}

#[test]
fn the_atomic_reserve_is_not_given_back_in_vain() {
    // With all of it the zone would still be below its mark.
    let machine = starved(4, 7, 288);
    assert!(machine.alloc_pages(AllocRequest::movable()).is_err());
    assert_eq!((reserved(&machine), free_atomic(&machine)), (7, 7 * 512));
    // The mark is no obstacle, and no pageblock of it has a block of the order.
    let machine = frames(&[(FOUR_GIB, FOUR_GIB + GIB)]).no_reserve().build();
    reserve(&machine, 5);
    let pieces: Vec<Pfn> = (0..2560 / 16).map(|_| machine.alloc_pages(atomic(4)).unwrap()).collect();
    assert_eq!(free_atomic(&machine), 0);
    let pages: Vec<Pfn> =
        (0..GIB - 2560).map(|_| machine.alloc_pages(AllocRequest::movable()).unwrap()).collect();
    pieces.iter().step_by(2).for_each(|pfn| machine.free_pages(*pfn, Order::new(4)).unwrap());
    pages.iter().step_by(500).for_each(|pfn| machine.free_pages(*pfn, Order::ZERO).unwrap());
    assert!(machine.alloc_pages(AllocRequest::movable().order(Order::new(5))).is_err());
    assert_eq!((reserved(&machine), free_atomic(&machine)), (5, 1280));
    machine.alloc_pages(AllocRequest::unmovable().order(Order::new(4))).unwrap();
    assert_eq!(reserved(&machine), 4);
    machine.verify().unwrap();
}

#[test]
fn each_zone_gives_its_atomic_reserve_back() {
    let machine = frames(&[(GIB, 2 * GIB), (FOUR_GIB, FOUR_GIB + GIB)]).no_reserve().build();
    // Both zones have one.
    let low: Vec<Pfn> =
        (0..40).map(|_| machine.alloc_pages(atomic(4).highest_zone(ZoneKind::Dma32)).unwrap()).collect();
    let high: Vec<Pfn> = (0..40).map(|_| machine.alloc_pages(atomic(4)).unwrap()).collect();
    assert_eq!(reserved(&machine), 4);
    let lowmem = machine.zoneinfo().zones[1].lowmem_reserve[2];
    let served = fill(&machine, AllocRequest::movable()).len();
    assert_eq!(served, 2 * GIB - 80 * 16 - lowmem);
    assert_eq!(machine.free_count(), lowmem);
    low.into_iter().chain(high).for_each(|pfn| machine.free_pages(pfn, Order::new(4)).unwrap());
    machine.verify().unwrap();
}

#[test]
fn reserve_pageblocks_that_are_offline_do_not_count() {
    let machine = gibibyte();
    reserve(&machine, 5);
    let offline: Vec<_> = reserve_ranges(&machine)
        .into_iter()
        .map(|range| machine.offline(range, &NoMigration, &NoNotifier, ContigOptions::default()).unwrap().0)
        .collect();
    assert_eq!((free_atomic(&machine), reserved(&machine)), (0, 0));
    machine.verify().unwrap();
    let blocks: Vec<Pfn> = (0..200).map(|_| machine.alloc_pages(atomic(3)).unwrap()).collect();
    assert!(reserved(&machine) >= 4, "{}", reserved(&machine));
    for offline in offline {
        machine.online(offline, &NoNotifier).unwrap();
    }
    assert!(reserved(&machine) <= 5, "they come back as ordinary pageblocks");
    blocks.into_iter().for_each(|pfn| machine.free_pages(pfn, Order::new(3)).unwrap());
    machine.drain_all();
    assert_eq!(machine.free_count(), GIB);
    machine.verify().unwrap();
}

#[test]
fn reserve_pageblocks_under_a_contiguous_range_do_not_count() {
    for (before, after) in [(0, 0), (0, 200), (200, 0), (100, 100)] {
        let machine = gibibyte();
        reserve(&machine, 5);
        // All of each pageblock, or the greater part of the first and the last one.
        let ranges: Vec<_> = reserve_ranges(&machine)
            .into_iter()
            .map(|range| {
                let part = PfnRange::new(
                    Pfn::new(range.start().number() + before),
                    Pfn::new(range.end().number() - after),
                );
                machine.alloc_contig(part, &NoMigration, ContigOptions::default()).unwrap()
            })
            .collect();
        assert_eq!((free_atomic(&machine), reserved(&machine)), (0, 0));
        machine.verify().unwrap();
        for _ in 0..200 {
            machine.alloc_pages(atomic(3)).unwrap();
        }
        let formed = reserved(&machine);
        assert!((4..=5).contains(&formed), "{formed}");
        drop(ranges);
        assert_eq!(reserved(&machine), formed, "they come back as ordinary pageblocks");
        machine.verify().unwrap();
    }
}

#[test]
fn a_small_contiguous_range_in_a_reserve_pageblock_leaves_the_rest_of_it_reserved() {
    let machine = gibibyte();
    reserve(&machine, 1);
    let range = reserve_ranges(&machine)[0];
    let options = ContigOptions::default;
    let piece = |at: usize, len| PfnRange::with_len(Pfn::new(range.start().number() + at), len);
    let first = machine.alloc_contig(piece(3, 200), &NoMigration, options()).unwrap();
    assert_eq!((reserved(&machine), free_atomic(&machine)), (1, 312));
    // Half of it, and a frame of the next pageblock.
    let beside = machine.alloc_contig(piece(512, 1), &NoMigration, options()).unwrap();
    let second = machine.alloc_contig(piece(300, 56), &NoMigration, options()).unwrap();
    assert_eq!((reserved(&machine), free_atomic(&machine)), (1, 256));
    // More than half of it is taken now.
    let third = machine.alloc_contig(piece(400, 1), &NoMigration, options()).unwrap();
    assert_eq!((reserved(&machine), free_atomic(&machine)), (0, 0));
    machine.verify().unwrap();
    drop((first, second, third, beside));
    assert_eq!((reserved(&machine), machine.free_count()), (0, GIB));
    machine.verify().unwrap();
}

#[test]
fn a_reserve_pageblock_that_is_handed_over_does_not_count() {
    let machine = gibibyte();
    reserve(&machine, 5);
    let ranges = reserve_ranges(&machine);
    ranges.iter().for_each(|range| machine.reserve(*range).unwrap());
    assert_eq!(reserved(&machine), 0);
    for _ in 0..200 {
        machine.alloc_pages(atomic(3)).unwrap();
    }
    assert!(reserved(&machine) >= 4, "{}", reserved(&machine));
    let formed = reserved(&machine);
    ranges.iter().for_each(|range| machine.add_memory(*range, MemoryUse::Ordinary).unwrap());
    assert_eq!(reserved(&machine), formed);
    machine.verify().unwrap();
}

#[test]
fn the_atomic_reserve_is_one_percent_of_what_is_managed() {
    let machine = frames(&[(FOUR_GIB, FOUR_GIB + 2 * GIB)]).build();
    let half = PfnRange::with_len(Pfn::new(FOUR_GIB + GIB), GIB);
    let (offline, _) = machine.offline(half, &NoMigration, &NoNotifier, ContigOptions::default()).unwrap();
    for _ in 0..1000 {
        machine.alloc_pages(atomic(4)).unwrap();
    }
    assert_eq!(reserved(&machine), GIB / 100 / 512);
    machine.online(offline, &NoNotifier).unwrap();
    machine.verify().unwrap();
}

#[test]
fn cached_pages_of_a_low_zone_do_not_leak_to_requests_that_could_go_higher() {
    for depth in [Depth::Normal, Depth::Atomic] {
        for mobility in MOBILITIES {
            for order in [0, 2] {
                // 256 MiB below and 1 GiB above 4 GiB.
                let machine = frames(&[(GIB, GIB + GIB / 4), (FOUR_GIB, FOUR_GIB + GIB)]).build();
                let any = AllocRequest::new(Order::new(order), mobility).depth(depth);
                let bound = any.highest_zone(ZoneKind::Dma32);
                fill(&machine, any);
                let mut held = Vec::new();
                for _ in 0..100 {
                    held.push(machine.alloc_pages(bound).unwrap());
                    let more = fill(&machine, any);
                    assert!(more.is_empty(), "{} more blocks, {any:?}", more.len());
                }
                // Freed pages are cached, and are for zone-bound requests all the same.
                held.iter().for_each(|pfn| machine.free_pages(*pfn, Order::new(order)).unwrap());
                assert!(cached(&machine) > 0);
                assert!(machine.alloc_pages(any).is_err(), "{any:?}");
                machine.verify().unwrap();
            }
        }
    }
}

#[test]
fn requests_that_could_go_higher_take_cached_pages_of_a_low_zone_above_the_reserve() {
    let (any, bound) = (AllocRequest::movable(), AllocRequest::movable().highest_zone(ZoneKind::Dma32));
    let machine = frames(&[(GIB, GIB + GIB / 4), (FOUR_GIB, FOUR_GIB + 512)]).no_reserve().build();
    for _ in 0..512 {
        machine.alloc_pages(any).unwrap();
    }
    let pfn = machine.alloc_pages(bound).unwrap();
    machine.free_pages(pfn, Order::ZERO).unwrap();
    assert_eq!(machine.alloc_pages(any), Ok(pfn), "it is at hand, and the zone has enough");
    // An emergency knows no lowmem reserve.
    fill(&machine, any);
    let pfn = machine.alloc_pages(bound).unwrap();
    machine.free_pages(pfn, Order::ZERO).unwrap();
    assert!(machine.alloc_pages(any).is_err());
    assert!(machine.alloc_pages(any.depth(Depth::Emergency)).is_ok());
}

/// Runs `f` as each CPU in turn.
fn on_each_cpu(cpus: usize, mut f: impl FnMut()) {
    for cpu in 0..cpus {
        Threads::become_cpu(cpu);
        f();
    }
    Threads::become_cpu(0);
}

/// Has each CPU fill all its lists.
fn cache_all(machine: &Machine, cpus: usize, highest: ZoneKind) {
    let mut held = Vec::new();
    for order in (0..=9).rev().map(Order::new) {
        for mobility in MOBILITIES {
            let request = AllocRequest::new(order, mobility).highest_zone(highest);
            // As many pages for each kind.
            let blocks = (machine.managed_count() / 64) >> order.get();
            held.extend(
                (0..blocks).filter_map(|_| machine.alloc_pages(request).ok()).map(|pfn| (pfn, order)),
            );
        }
    }
    let mut turn = (0..cpus).cycle();
    for (pfn, order) in held {
        Threads::become_cpu(turn.next().unwrap());
        machine.free_pages(pfn, order).unwrap();
    }
    Threads::become_cpu(0);
}

#[test]
fn at_most_an_eighth_of_a_zone_is_cached() {
    for cpus in [1, 2, 4, 16, 64] {
        for mebibytes in [16, 64, 1024] {
            let machine = frames(&[(FOUR_GIB, FOUR_GIB + (mebibytes << 8))]).cpus(cpus).build();
            cache_all(&machine, cpus, ZoneKind::Normal);
            let most = machine.managed_count() / 8;
            assert!(cached(&machine) <= most, "{cpus} CPUs, {mebibytes} MiB: {} of {most}", cached(&machine));
            machine.verify().unwrap();
        }
    }
}

#[test]
fn at_most_an_eighth_of_each_zone_is_cached_and_of_what_is_left_of_it() {
    let cpus = 8;
    let machine = frames(&[(0, 4096), (GIB, 2 * GIB), (FOUR_GIB, FOUR_GIB + GIB / 2)]).cpus(cpus).build();
    let check = || {
        for zone in ZoneKind::ALL {
            cache_all(&machine, cpus, zone);
        }
        for (audit, figures) in machine.audit().zones.iter().zip(machine.zoneinfo().zones) {
            let (held, most) = (audit.cached.counter, figures.managed / 8);
            assert!(held <= most, "{held} of {most} in {}", audit.zone);
        }
    };
    check();
    let half = PfnRange::with_len(Pfn::new(GIB + GIB / 8), GIB * 7 / 8);
    machine.drain_all();
    cache_all(&machine, cpus, ZoneKind::Dma32);
    let (_offline, _) = machine.offline(half, &NoMigration, &NoNotifier, ContigOptions::default()).unwrap();
    let audit = machine.audit().zones[1];
    assert!(audit.cached.counter <= GIB / 64, "{} right after the rest has left", audit.cached.counter);
    check();
    machine.verify().unwrap();
}

/// 64 CPUs, all memory allocated down to what atomic requests are left, and then each CPU frees a
/// block of each of these kinds.
fn everything_is_cached(kinds: &[(u8, Mobility)]) -> Machine {
    const CPUS: usize = 64;
    let machine = frames(&[(FOUR_GIB, FOUR_GIB + GIB)]).cpus(CPUS).build();
    let mut held: Vec<Vec<Pfn>> = Vec::new();
    for &(order, mobility) in kinds {
        let request = AllocRequest::new(Order::new(order), mobility);
        held.push((0..CPUS).map(|_| machine.alloc_pages(request).unwrap()).collect());
    }
    for depth in [Depth::Normal, Depth::Atomic] {
        for mobility in MOBILITIES {
            fill(&machine, AllocRequest::new(Order::ZERO, mobility).depth(depth));
        }
    }
    let mut cpu = 0;
    on_each_cpu(CPUS, || {
        for (&(order, _), blocks) in kinds.iter().zip(&held) {
            machine.free_pages(blocks[cpu], Order::new(order)).unwrap();
        }
        cpu += 1;
    });
    machine
}

#[test]
fn an_atomic_request_takes_what_other_cpus_have_cached_before_it_fails() {
    let all: Vec<(u8, Mobility)> =
        (0..4).flat_map(|order| MOBILITIES.map(|mobility| (order, mobility))).collect();
    let each = MOBILITIES.map(|mobility| vec![(0, mobility)]);
    for kinds in [vec![all], each.to_vec()].concat() {
        for mobility in MOBILITIES {
            let machine = everything_is_cached(&kinds);
            let (free, held) = (machine.free_count(), cached(&machine));
            assert_eq!((free, held > 0), (384, true), "{kinds:?}");
            let request = AllocRequest::new(Order::ZERO, mobility).depth(Depth::Atomic);
            let served = fill(&machine, request).len();
            assert_eq!((served, cached(&machine), machine.free_count()), (held, 0, 384), "{kinds:?}");
            machine.verify().unwrap();
        }
    }
}

#[test]
fn an_atomic_request_takes_large_blocks_of_other_cpus_too() {
    let machine = everything_is_cached(&[(3, Mobility::Movable)]);
    assert!(machine.alloc_pages(atomic(4)).is_err());
    assert_eq!(fill(&machine, atomic(3)).len(), 64);
    let machine = everything_is_cached(&[(3, Mobility::Movable)]);
    assert_eq!(fill(&machine, atomic(2)).len(), 128);
    machine.verify().unwrap();
}

#[test]
fn an_atomic_request_leaves_cached_pages_behind_the_lowmem_reserve() {
    let machine = frames(&[(GIB, GIB + GIB / 4), (FOUR_GIB, FOUR_GIB + GIB)]).cpus(2).build();
    let bound = AllocRequest::unmovable().highest_zone(ZoneKind::Dma32);
    fill(&machine, atomic(0));
    Threads::become_cpu(1);
    let held: Vec<Pfn> = (0..50).map(|_| machine.alloc_pages(bound.depth(Depth::Atomic)).unwrap()).collect();
    held.iter().for_each(|pfn| machine.free_pages(*pfn, Order::ZERO).unwrap());
    Threads::become_cpu(0);
    assert!(machine.alloc_pages(atomic(0)).is_err());
    machine.verify().unwrap();
}

#[test]
fn cached_cma_pages_of_other_cpus_do_not_help_unmovable_requests() {
    let machine = frames(&[(FOUR_GIB, FOUR_GIB + GIB / 4)]).cpus(2).no_reserve().build();
    let area = cma_area(&machine, PfnRange::with_len(Pfn::new(FOUR_GIB), 4096));
    let pages = fill(&machine, AllocRequest::movable());
    let inside: Vec<Pfn> = pages.into_iter().filter(|pfn| area.range().contains(*pfn)).take(20).collect();
    Threads::become_cpu(1);
    inside.iter().for_each(|pfn| machine.free_pages(*pfn, Order::ZERO).unwrap());
    Threads::become_cpu(0);
    assert!(machine.alloc_pages(atomic(0)).is_err());
    assert_eq!(fill(&machine, AllocRequest::movable().depth(Depth::Atomic)).len(), 20);
    machine.verify().unwrap();
}
