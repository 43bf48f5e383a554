//! Guard pages: never counted, merged back exactly, announced to who unmaps them.

use std::collections::HashSet;
use std::sync::Mutex;

use pageblock::{AllocRequest, ContigOptions, GuardPages, Mobility, Order, Pfn, PfnRange};

use crate::support::{Easygoing, Machine, Wide, mebibytes, normal, range};

fn guarded(order: u8) -> Machine {
    mebibytes(32).tune(|tuning| tuning.guard_below(Order::new(order))).no_reserve().build()
}

#[test]
fn a_million_round_trips_leave_no_drift_for_any_guard_order() {
    for order in 0..=5 {
        let machine = guarded(order);
        let before = machine.free_count();
        for _ in 0..1_000_000 / 200 {
            let mut blocks = [Pfn::new(0); 200];
            assert_eq!(machine.alloc_bulk(AllocRequest::unmovable(), &mut blocks), 200);
            for pfn in blocks {
                machine.free_pages(pfn, Order::ZERO).unwrap();
            }
        }
        machine.drain_all();
        assert_eq!(machine.free_count(), before, "guard order {order}");
        assert_eq!(machine.verify().unwrap().total().guard, 0, "guard order {order}");
    }
}

#[test]
fn round_trips_that_always_reach_the_buddy_leave_no_drift() {
    for order in 0..=5 {
        let machine = guarded(order);
        let before = machine.free_count();
        for round in (0..4).cycle().take(2000) {
            let pfn = machine.alloc_pages(AllocRequest::movable().order(Order::new(round))).unwrap();
            machine.free_pages(pfn, Order::new(round)).unwrap();
            machine.drain_all();
            assert_eq!(machine.free_count(), before, "guard order {order}, round {round}");
        }
        machine.verify().unwrap();
    }
}

#[test]
fn a_guard_is_counted_as_nothing_but_a_guard() {
    let machine = guarded(3);
    let before = machine.free_count();
    let pfn = machine.alloc_pages(AllocRequest::new(Order::new(0), Mobility::Unmovable)).unwrap();
    machine.drain_all();
    let census = machine.verify().unwrap().total();
    assert_eq!((census.allocated, census.guard, census.free), (1, 7, before - 8));
    machine.free_pages(pfn, Order::ZERO).unwrap();
    machine.drain_all();
    assert_eq!(machine.free_count(), before);
}

#[test]
fn every_page_of_every_refill_has_guards_beside_it() {
    // So much memory that there are pcplists.
    let machine = mebibytes(256).tune(|tuning| tuning.guard_below(Order::new(3))).no_reserve().build();
    let mut pages = [Pfn::new(0); 500];
    assert_eq!(machine.alloc_bulk(AllocRequest::movable(), &mut pages), 500);
    machine.drain_all();
    // Each page is all that is used of a block of eight.
    assert_eq!(machine.verify().unwrap().total().guard, 7 * 500);
}

#[test]
fn a_guard_of_several_pageblocks_ends_when_all_of_its_buddy_is_free() {
    // A pageblock is a quarter of a largest block, which is split in two, one of them a guard.
    let machine = normal::<Wide>(2).tune(|tuning| tuning.guard_below(Order::new(10))).build_as::<Wide>();
    let before = machine.free_count();
    let start = machine.alloc_pages(AllocRequest::movable().order(Order::new(9))).unwrap();
    for (from, guard) in [(0, 512), (256, 0)] {
        assert_eq!(machine.verify().unwrap().total().guard, 512);
        machine.free_range(PfnRange::with_len(Pfn::new(start.number() + from), 256)).unwrap();
        machine.drain_all();
        assert_eq!(machine.verify().unwrap().total().guard, guard);
    }
    assert_eq!(machine.free_count(), before);
}

#[test]
fn guards_merge_into_isolated_blocks_uncounted() {
    let machine = guarded(4);
    let pfn = machine.alloc_pages(AllocRequest::movable()).unwrap();
    machine.drain_all();
    let block = Order::new(9).block(Order::new(9).align_down(pfn));
    let before = machine.free_count();
    let isolated = machine.isolate(block).unwrap();
    let during = machine.free_count();
    machine.free_pages(pfn, Order::ZERO).unwrap();
    assert_eq!(machine.free_count(), during, "a page freed in an isolated block came back to the count");
    assert_eq!(machine.isolated_count(), block.len());
    drop(isolated);
    assert_eq!(machine.free_count(), before + 16);
    machine.verify().unwrap();
}

#[test]
fn contiguous_ranges_are_taken_over_guards() {
    let machine = guarded(5);
    let mut blocks = [Pfn::new(0); 64];
    assert_eq!(machine.alloc_bulk(AllocRequest::movable(), &mut blocks), 64);
    let first = blocks.iter().min().unwrap().number();
    let wanted = range(first, first + 900);
    let taken = machine.alloc_contig(wanted, &Easygoing, ContigOptions::default()).unwrap();
    machine.verify().unwrap();
    drop(taken);
    machine.verify().unwrap();
}

/// Which frames are guards, as it was told.
#[derive(Debug, Default)]
struct Unmapped(Mutex<HashSet<usize>>);

impl GuardPages for Unmapped {
    fn keep(&self, frames: PfnRange) {
        let mut unmapped = self.0.lock().unwrap();
        assert!(frames.iter().all(|pfn| unmapped.insert(pfn.number())), "{frames} was unmapped before");
    }

    fn release(&self, frames: PfnRange) {
        let mut unmapped = self.0.lock().unwrap();
        assert!(frames.iter().all(|pfn| unmapped.remove(&pfn.number())), "{frames} was not unmapped");
    }
}

#[test]
fn who_unmaps_guards_is_told_of_each_exactly_once() {
    let machine = guarded(3);
    let unmapped: &'static Unmapped = Box::leak(Box::default());
    machine.set_guard_pages(unmapped);
    let mut blocks = [Pfn::new(0); 100];
    assert_eq!(machine.alloc_bulk(AllocRequest::unmovable(), &mut blocks), 100);
    let guards = machine.verify().unwrap().total().guard;
    assert!(guards > 0);
    assert_eq!(unmapped.0.lock().unwrap().len(), guards);
    let kept = unmapped.0.lock().unwrap().clone();
    assert!(blocks.iter().all(|pfn| !kept.contains(&pfn.number())), "a guard was handed out");
    for pfn in blocks {
        machine.free_pages(pfn, Order::ZERO).unwrap();
    }
    machine.drain_all();
    assert!(unmapped.0.lock().unwrap().is_empty());
}
