//! The atomic reserve: what it consists of, who may use it, and when it is given back.

use pageblock::{AllocRequest, Depth, FreeKind, MigrateType, Mobility, Order, Pfn};

use crate::support::{Machine, cma_area, fill, frames, range, snapshot};

const RESERVE: FreeKind = FreeKind::Listed(MigrateType::HighAtomic);

/// 256 MiB in one zone: one percent of it is one pageblock and a bit.
fn machine() -> Machine {
    frames(&[(4096, 4096 + (256 << 8))]).no_reserve().build()
}

fn reserved(machine: &Machine) -> usize {
    machine.pagetypeinfo().zones[1].pageblocks(RESERVE)
}

fn free_atomic(machine: &Machine) -> usize {
    machine.audit().zones[1].free_atomic.counter
}

fn atomic(order: u8) -> AllocRequest {
    AllocRequest::unmovable().order(Order::new(order)).depth(Depth::Atomic)
}

#[test]
fn a_higher_order_atomic_request_reserves_its_pageblock() {
    let machine = machine();
    let free = machine.free_count();
    let pfn = machine.alloc_pages(atomic(4)).unwrap();
    assert_eq!((reserved(&machine), free_atomic(&machine)), (1, 512 - 16));
    assert_eq!(machine.free_count(), free - 16, "the rest of it is free pages as before");
    machine.verify().unwrap();
    machine.free_pages(pfn, Order::new(4)).unwrap();
    assert_eq!((free_atomic(&machine), machine.free_count()), (512, free));
}

#[test]
fn a_burst_of_such_requests_uses_one_pageblock() {
    let machine = frames(&[(4096, 4096 + (1024 << 8))]).no_reserve().build();
    for _ in 0..512 / 16 {
        machine.alloc_pages(atomic(4)).unwrap();
    }
    assert_eq!((reserved(&machine), free_atomic(&machine)), (1, 0));
    machine.alloc_pages(atomic(4)).unwrap();
    assert_eq!(reserved(&machine), 2);
}

#[test]
fn other_requests_reserve_nothing() {
    for request in [
        AllocRequest::unmovable().depth(Depth::Atomic),
        AllocRequest::unmovable().order(Order::new(4)),
        AllocRequest::unmovable().order(Order::new(4)).depth(Depth::Emergency),
    ] {
        let machine = machine();
        machine.alloc_pages(request).unwrap();
        assert_eq!(reserved(&machine), 0, "{request:?}");
    }
}

#[test]
fn the_reserve_takes_no_pageblock_of_a_cma_area() {
    let machine =
        frames(&[(4096, 4096 + (256 << 8))]).no_reserve().tune(|tuning| tuning.cma_first_above(0)).build();
    let area = cma_area(&machine, range(32 << 8, 96 << 8));
    // Movable requests use the area as long as there is some of it.
    let request = AllocRequest::movable().order(Order::new(4)).depth(Depth::Atomic);
    assert!(area.range().contains(machine.alloc_pages(request).unwrap()));
    assert_eq!((reserved(&machine), machine.free_cma_count()), (0, (64 << 8) - 16));
}

#[test]
fn the_reserve_is_at_most_one_percent_of_the_zone() {
    let machine = frames(&[(4096, 4096 + (1024 << 8))]).no_reserve().build();
    let blocks = (0..1000).map(|_| machine.alloc_pages(atomic(5)).unwrap());
    let blocks: Vec<Pfn> = blocks.collect();
    assert_eq!(reserved(&machine), (1024 << 8) / 100 / 512);
    blocks.into_iter().for_each(|pfn| machine.free_pages(pfn, Order::new(5)).unwrap());
    machine.verify().unwrap();
    // One percent of a small zone is no pageblock.
    let small = frames(&[(4096, 4096 + (64 << 8))]).no_reserve().build();
    small.alloc_pages(atomic(5)).unwrap();
    assert_eq!(reserved(&small), 0);
}

#[test]
fn ordinary_requests_leave_the_reserve_alone_until_nothing_else_is_left() {
    let machine = machine();
    let first = machine.alloc_pages(atomic(4)).unwrap();
    let pageblock = first.number() / 512;
    let order = Order::new(4);
    let blocks = fill(&machine, AllocRequest::unmovable().order(order));
    let inside = |pfn: &Pfn| pfn.number() / 512 == pageblock;
    let first_inside = blocks.iter().position(inside).unwrap();
    assert!(blocks[first_inside..].iter().all(inside), "it came last");
    assert_eq!(blocks.len() * 16 + 16, 256 << 8, "and it came: nobody fails while there is some");
    assert_eq!(reserved(&machine), 0, "given back");
    machine.verify().unwrap();
}

#[test]
fn free_pages_of_the_reserve_do_not_count_for_ordinary_requests() {
    let machine = frames(&[(4096, 4096 + (256 << 8))]).min_free(1000).build();
    let block = machine.alloc_pages(atomic(4)).unwrap();
    assert_eq!(free_atomic(&machine), 496);
    // Down to the floor, the reserve not counted in; it is given back on the way to failure, and
    // then counts.
    fill(&machine, AllocRequest::movable());
    assert_eq!((machine.free_count(), free_atomic(&machine)), (1000, 0));
    machine.free_pages(block, Order::new(4)).unwrap();
    machine.verify().unwrap();
}

#[test]
fn atomic_requests_find_the_reserve_when_ordinary_ones_find_nothing() {
    let machine = frames(&[(4096, 4096 + (256 << 8))]).min_free(4000).build();
    let held: Vec<Pfn> = fill(&machine, AllocRequest::new(Order::new(10), Mobility::Movable));
    assert!(!held.is_empty());
    let mut blocks = Vec::new();
    while let Ok(pfn) = machine.alloc_pages(atomic(4)) {
        blocks.push(pfn);
    }
    assert!(blocks.len() > 10, "{} blocks below min", blocks.len());
    assert!(machine.alloc_pages(AllocRequest::movable()).is_err());
    machine.verify().unwrap();
}

#[test]
fn an_isolated_part_of_the_reserve_comes_back_to_it() {
    let machine = machine();
    let pfn = machine.alloc_pages(atomic(4)).unwrap();
    machine.free_pages(pfn, Order::new(4)).unwrap();
    let before = snapshot(&machine);
    let isolated = machine.isolate(Order::new(9).block(Order::new(9).align_down(pfn))).unwrap();
    assert_eq!((free_atomic(&machine), machine.isolated_count()), (0, 512));
    drop(isolated);
    assert_eq!(snapshot(&machine), before);
}

/// A reserve of one pageblock with `left` blocks of order 4, and no other free memory.
fn only_the_reserve_is_free(left: usize) -> Machine {
    let machine = machine();
    for _ in left..32 {
        machine.alloc_pages(atomic(4)).unwrap();
    }
    while machine.free_count() > free_atomic(&machine) {
        machine.alloc_pages(AllocRequest::movable().order(Order::new(4))).unwrap();
    }
    machine.drain_all();
    assert_eq!((reserved(&machine), machine.free_count(), free_atomic(&machine)), (1, left * 16, left * 16));
    machine
}

#[test]
fn an_emergency_request_is_served_from_the_reserve_which_stays_one() {
    let machine = only_the_reserve_is_free(2);
    for order in [0, 4] {
        machine
            .alloc_pages(AllocRequest::movable().order(Order::new(order)).depth(Depth::Emergency))
            .unwrap();
        assert_eq!(reserved(&machine), 1, "it is not given back for this");
    }
    machine.verify().unwrap();
}

#[test]
fn a_reserve_that_is_given_back_is_movable() {
    // Too little of it is free for a claim, so that its type is the one that it is given back with.
    let machine = only_the_reserve_is_free(2);
    let movable = FreeKind::Listed(MigrateType::Movable);
    let pageblocks = || machine.pagetypeinfo().zones[1].pageblocks(movable);
    let before = pageblocks();
    machine.alloc_pages(AllocRequest::movable().order(Order::new(4))).unwrap();
    assert_eq!((reserved(&machine), pageblocks()), (0, before + 1));
    machine.verify().unwrap();
}
