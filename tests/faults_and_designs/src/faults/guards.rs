//! Patch 2 and its return in v6.10: guard pages that merge on free.
//!
//! | test | fault | mistake |
//! |---|---|---|
//! | `patch_2_*` | `GUARD_COUNTED` | a guard buddy merged into an isolated block counts as free |
//! | `v6_10_*` | `GUARD_NOT_COUNTED` | a guard merged on free is never counted again |
//!
//! With guards below order N, an order-0 allocation from a large block leaves guards of orders 0 to
//! N - 1: 2ᴺ - 1 pages. No other CPU is needed: these are no races.

use pageblock::{AllocRequest, Faults, Order, Pfn, PfnRange};

use crate::other_cpu::{Drift, Isolator, Static, assert_drift, free_to_buddy, leak, two_cpus};

/// Guard orders (Linux: `debug_guardpage_minorder`), each with the guard pages beside a page.
fn guards() -> impl Iterator<Item = (Order, usize)> {
    (0..=5).map(|n| (Order::new(n), (1 << n) - 1))
}

/// A machine with guards below this order, and a page with guards beside it.
fn guarded(faults: Faults, below: Order) -> (Static, Pfn) {
    let machine = leak(two_cpus(2048).tune(|tuning| tuning.guard_below(below)).build());
    machine.set_faults(faults);
    let page = machine.alloc_pages(AllocRequest::movable()).unwrap();
    (machine, page)
}

fn pageblock_of(pfn: Pfn) -> PfnRange {
    PfnRange::with_len(Pfn::new(pfn.number() & !511), 512)
}

#[test]
fn patch_2_guards_merged_into_an_isolated_block_are_counted_as_free() {
    for (below, pages) in guards() {
        let expected = Drift { free: pages as isize, ..Drift::NONE };
        assert_drift(Faults::GUARD_COUNTED, expected, |faults| {
            let (machine, page) = guarded(faults, below);
            let isolator = Isolator::new(machine);
            isolator.isolate(pageblock_of(page));
            machine.free_pages(page, Order::ZERO).unwrap();
            assert!(isolator.blocked().is_none(), "the page and its guards are whole again");
            machine
        });
    }
}

#[test]
fn patch_2_counts_guards_only_where_an_isolation_meets_them() {
    assert_drift(Faults::GUARD_COUNTED, Drift::NONE, |faults| {
        let (machine, page) = guarded(faults, Order::new(3));
        free_to_buddy(machine, page, Order::ZERO);
        assert_eq!(machine.free_count(), 2048);
        machine
    });
}

#[test]
fn v6_10_guards_not_counted_again_lose_their_pages_on_each_round_trip() {
    const ROUNDS: usize = 10;
    for (below, pages) in guards() {
        let expected = Drift { free: -((ROUNDS * pages) as isize), ..Drift::NONE };
        assert_drift(Faults::GUARD_NOT_COUNTED, expected, |faults| {
            let (machine, mut page) = guarded(faults, below);
            for _ in 1..ROUNDS {
                free_to_buddy(machine, page, Order::ZERO);
                page = machine.alloc_pages(AllocRequest::movable()).unwrap();
            }
            free_to_buddy(machine, page, Order::ZERO);
            machine
        });
    }
}

#[test]
fn v6_10_guards_not_counted_again_are_missing_from_an_isolated_block_as_well() {
    for (below, pages) in guards() {
        let expected = Drift { isolated: -(pages as isize), ..Drift::NONE };
        assert_drift(Faults::GUARD_NOT_COUNTED, expected, |faults| {
            let (machine, page) = guarded(faults, below);
            Isolator::new(machine).isolate(pageblock_of(page));
            machine.free_pages(page, Order::ZERO).unwrap();
            machine
        });
    }
}
