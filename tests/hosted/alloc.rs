//! Blocks are allocated and freed, on every geometry, and free memory becomes whole again.

use std::collections::HashSet;

use pageblock::{AllocError, AllocRequest, FreeError, FreeKind, Geometry, Mobility, Order, Pfn, ZoneKind};

use crate::support::{Machine, Threads, cached, fill, normal, on_every_geometry, orders, scope, unit};

const MOBILITIES: [Mobility; 3] = [Mobility::Unmovable, Mobility::Movable, Mobility::Reclaimable];

/// Free blocks of this order on lists of all kinds.
fn free_blocks<G: Geometry>(machine: &Machine<G>, order: Order) -> usize {
    machine.buddyinfo().zones.iter().map(|zone| zone.all(order)).sum()
}

fn a_block_is_aligned_to_its_order<G: Geometry>() {
    let machine = normal::<G>(8).build_as::<G>();
    for order in orders::<G>() {
        for mobility in MOBILITIES {
            let pfn = machine.alloc_pages(AllocRequest::new(order, mobility)).unwrap();
            assert!(order.is_aligned(pfn), "{pfn} for {order}");
            assert!(machine.span().covers(order.block(pfn)));
        }
    }
    machine.verify().unwrap();
}

fn every_page_is_handed_out_once<G: Geometry>() {
    let machine = normal::<G>(8).build_as::<G>();
    let mut seen = HashSet::new();
    let mut refused = 0;
    for n in 0.. {
        let order = Order::new((n % (usize::from(G::MAX_ORDER.get()) + 1)) as u8);
        let request = AllocRequest::new(order, MOBILITIES[n % 3]);
        match machine.alloc_pages(request) {
            Ok(pfn) => order.block(pfn).iter().for_each(|pfn| assert!(seen.insert(pfn), "{pfn} twice")),
            Err(error) => {
                let expected = AllocError::NoMemory {
                    order,
                    mobility: MOBILITIES[n % 3],
                    highest_zone: ZoneKind::Normal,
                };
                assert_eq!(error, expected);
                refused += 1;
            }
        }
        // Page by page to the end, whatever could not be had in larger blocks.
        if refused > 40 {
            break;
        }
    }
    seen.extend(fill(&machine, AllocRequest::movable()));
    assert_eq!(seen.len(), 8 * unit::<G>());
    assert_eq!(machine.free_count(), 0);
    machine.verify().unwrap();
}

fn all_memory_can_be_had_in_any_order<G: Geometry>() {
    for order in orders::<G>() {
        for mobility in MOBILITIES {
            let machine = normal::<G>(4).build_as::<G>();
            let blocks = fill(&machine, AllocRequest::new(order, mobility));
            assert_eq!(blocks.len(), 4 * unit::<G>() / order.pages(), "{order}, {mobility}");
        }
    }
}

fn freed_pages_merge_back_into_the_largest_blocks<G: Geometry>() {
    let machine = normal::<G>(4).build_as::<G>();
    let largest = free_blocks(&machine, G::MAX_ORDER);
    assert_eq!(largest, 4 * unit::<G>() / G::MAX_ORDER.pages());
    for order in orders::<G>() {
        for mobility in MOBILITIES {
            let blocks = fill(&machine, AllocRequest::new(order, mobility));
            // Every second block first: nothing can merge until the others come.
            for &pfn in blocks.iter().step_by(2).chain(blocks.iter().skip(1).step_by(2)) {
                machine.free_pages(pfn, order).unwrap();
            }
            machine.drain_all();
            assert_eq!(free_blocks(&machine, G::MAX_ORDER), largest, "{order}, {mobility}");
            machine.verify().unwrap();
        }
    }
}

fn the_smallest_block_that_is_large_enough_is_split<G: Geometry>() {
    let machine = normal::<G>(2).build_as::<G>();
    let half = G::MAX_ORDER.get() - 1;
    let first = machine.alloc_pages(AllocRequest::movable().order(Order::new(half))).unwrap();
    let largest = free_blocks(&machine, G::MAX_ORDER);
    let second = machine.alloc_pages(AllocRequest::movable().order(Order::new(half))).unwrap();
    assert_eq!(Order::new(half).buddy(first), second, "the other half was there");
    assert_eq!(free_blocks(&machine, G::MAX_ORDER), largest);
}

fn a_freed_page_is_the_next_one_handed_out<G: Geometry>() {
    let machine = normal::<G>(8).build_as::<G>();
    let hot = machine.alloc_pages(AllocRequest::movable()).unwrap();
    let other = machine.alloc_pages(AllocRequest::movable()).unwrap();
    machine.free_pages(other, Order::ZERO).unwrap();
    machine.free_pages(hot, Order::ZERO).unwrap();
    assert_eq!(machine.alloc_pages(AllocRequest::movable()), Ok(hot));
    assert_eq!(machine.alloc_pages(AllocRequest::movable()), Ok(other));
}

fn the_owner_word_stays_with_the_block<G: Geometry>() {
    let machine = normal::<G>(2).build_as::<G>();
    let order = Order::new(1);
    let pfn = machine.alloc_pages(AllocRequest::movable().order(order).owner(7)).unwrap();
    assert_eq!(machine.owner(pfn, order), Ok(7));
    machine.set_owner(pfn, order, u64::MAX).unwrap();
    assert_eq!(machine.owner(pfn, order), Ok(u64::MAX));
    machine.free_pages(pfn, order).unwrap();
    assert_eq!(machine.owner(pfn, order), Err(FreeError::DoubleFree { pfn }));
    assert_eq!(machine.set_owner(pfn, order, 1), Err(FreeError::DoubleFree { pfn }));
    let unnamed = machine.alloc_pages(AllocRequest::movable().order(order)).unwrap();
    assert_eq!(machine.owner(unnamed, order), Ok(0), "the next owner does not inherit the word");
}

fn any_cpu_may_free_what_another_allocated<G: Geometry + Send + Sync>() {
    let machine = normal::<G>(8).cpus(2).build_as::<G>();
    let all = machine.free_count();
    let orders: Vec<Order> = orders::<G>().collect();
    let blocks: Vec<(Pfn, Order)> = orders
        .into_iter()
        .map(|order| (machine.alloc_pages(AllocRequest::unmovable().order(order)).unwrap(), order))
        .collect();
    scope(|scope| {
        scope.spawn(|| {
            Threads::become_cpu(1);
            for &(pfn, order) in &blocks {
                machine.free_pages(pfn, order).unwrap();
            }
        });
    });
    machine.drain_all();
    assert_eq!(machine.free_count(), all);
    machine.verify().unwrap();
}

fn free_pages_are_those_on_lists_and_no_others<G: Geometry>() {
    let machine = normal::<G>(8).build_as::<G>();
    let all = machine.free_count();
    for order in orders::<G>() {
        let pfn = machine.alloc_pages(AllocRequest::movable().order(order)).unwrap();
        assert_eq!(machine.free_count() + cached(&machine) + order.pages(), all, "{order} allocated");
        machine.free_pages(pfn, order).unwrap();
        assert_eq!(machine.free_count() + cached(&machine), all, "{order} freed");
    }
    machine.drain_all();
    assert_eq!((machine.free_count(), cached(&machine)), (all, 0));
}

fn a_block_across_pageblocks_is_filed_by_pageblock_when_freed<G: Geometry>() {
    // One pageblock of the block is isolated while it is owned: its pages come back uncounted, the
    // others counted.
    let machine = normal::<G>(2).build_as::<G>();
    let all = machine.free_count();
    let pfn = machine.alloc_pages(AllocRequest::movable().order(G::MAX_ORDER)).unwrap();
    let one = G::PAGEBLOCK_ORDER.pages().min(G::MAX_ORDER.pages());
    let isolated = machine.isolate(pageblock::PfnRange::with_len(pfn, one)).unwrap();
    let outside = machine.isolated_count();
    machine.free_pages(pfn, G::MAX_ORDER).unwrap();
    assert_eq!(machine.isolated_count() - outside, one);
    machine.verify().unwrap();
    drop(isolated);
    assert_eq!(machine.free_count(), all);
    let kinds = machine.pagetypeinfo().zones[2];
    assert_eq!((0..=10).map(|n| kinds.count(FreeKind::Isolated, Order::new(n))).sum::<usize>(), 0);
}

on_every_geometry!(
    a_block_is_aligned_to_its_order,
    every_page_is_handed_out_once,
    all_memory_can_be_had_in_any_order,
    freed_pages_merge_back_into_the_largest_blocks,
    the_smallest_block_that_is_large_enough_is_split,
    a_freed_page_is_the_next_one_handed_out,
    the_owner_word_stays_with_the_block,
    any_cpu_may_free_what_another_allocated,
    free_pages_are_those_on_lists_and_no_others,
    a_block_across_pageblocks_is_filed_by_pageblock_when_freed,
);
