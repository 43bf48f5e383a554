//! Patch 3: a page spilled from a pcplist goes to the list of the type that it was cached under.
//!
//! The type of its pageblock may be another one by then.
//!
//! | test | fault | what the other CPU does between isolation and drain |
//! |---|---|---|
//! | `patch_3_*` | `CACHED_TYPE_AT_SPILL` | frees more until the isolated page is spilled |

use std::sync::Arc;
use std::sync::atomic::{AtomicIsize, Ordering};

use pageblock::{AllocRequest, Faults, Order, Pfn, YieldPoint};

use crate::other_cpu::{
    Area, BLOCK, Drift, Isolator, OtherCpu, Static, assert_drift, free_to_buddy, owned_in_blocks,
};
use crate::support::{Threads, cached, fill};

/// Blocks of the first pageblock, none the buddy of another, to be freed until a pcplist spills.
fn elsewhere(order: Order) -> impl Iterator<Item = Pfn> {
    (0..512).step_by(2 * order.pages()).map(Pfn::new)
}

/// C2 spills a cached block of a pageblock that C1 has isolated and not yet drained.
fn spilled_before_the_drain(faults: Faults, order: Order, machine: Static) -> Static {
    machine.set_faults(faults);
    Threads::become_cpu(1);
    // C2 is the last that refills its list, so that it spills to the zone and not to the exchange.
    if let Ok(page) = machine.alloc_pages(AllocRequest::movable()) {
        machine.free_pages(page, Order::ZERO).unwrap();
        machine.drain_all();
    }
    machine.free_pages(BLOCK.start(), order).unwrap();
    Threads::become_cpu(0);
    assert_eq!(cached(machine), order.pages());
    let seen = Arc::new(AtomicIsize::new(0));
    let c2 = {
        let seen = seen.clone();
        OtherCpu::at(machine, YieldPoint::IsolatedNotDrained, move || {
            let before = cached(machine);
            for (freed, pfn) in elsewhere(order).enumerate() {
                machine.free_pages(pfn, order).unwrap();
                if cached(machine) < before + (freed + 1) * order.pages() {
                    break;
                }
            }
            seen.store(Drift::of(machine).free, Ordering::Relaxed);
        })
    };
    Isolator::new(machine).isolate(BLOCK);
    c2.had_its_turn();
    // What C2 freed elsewhere and still has at hand is in nobody's way.
    machine.drain_all();
    assert_eq!(cached(machine), 0);
    assert_eq!(
        Drift::of(machine).free,
        seen.load(Ordering::Relaxed),
        "the spill made the drift, not the drain"
    );
    machine
}

#[test]
fn patch_3_cached_type_at_spill_undercounts_the_page() {
    for area in [Area::Ordinary, Area::Cma] {
        // A CMA page is cached as a movable one: it leaves the CMA counter alone.
        let expected = Drift::from_free_to_isolated(1, 1);
        assert_drift(Faults::CACHED_TYPE_AT_SPILL, expected, |faults| {
            spilled_before_the_drain(faults, Order::ZERO, owned_in_blocks(Order::ZERO, area))
        });
    }
}

#[test]
fn patch_3_cached_type_at_spill_undercounts_the_isolated_buddies_too() {
    let order = Order::new(2);
    let expected = Drift::from_free_to_isolated(4 + 4, 8);
    assert_drift(Faults::CACHED_TYPE_AT_SPILL, expected, |faults| {
        let machine = owned_in_blocks(order, Area::Ordinary);
        free_to_buddy(machine, Pfn::new(512 + 4), order);
        spilled_before_the_drain(faults, order, machine)
    });
}

#[test]
fn patch_3_cached_type_at_spill_lets_isolated_pages_be_allocated() {
    let isolated_page_was_handed_out = |faults| {
        let machine = owned_in_blocks(Order::ZERO, Area::Ordinary);
        // One more free page, at the far end of the list: the counter is one short, so that it will
        // not be handed out.
        free_to_buddy(machine, Pfn::new(1024), Order::ZERO);
        spilled_before_the_drain(faults, Order::ZERO, machine);
        let taken = fill(machine, AllocRequest::movable());
        taken.contains(&BLOCK.start())
    };
    assert!(isolated_page_was_handed_out(Faults::CACHED_TYPE_AT_SPILL));
    assert!(!isolated_page_was_handed_out(Faults::empty()));
}
