//! Patch 10 and the merge limit of v3.18: buddies of pageblock size and more, one of them isolated.
//!
//! | test | fault | mistake |
//! |---|---|---|
//! | `patch_10_*` | `MERGE_ACROSS` | large buddies merge although one is isolated |
//! | `v3_18_*` | `FREED_BLOCK_ONLY` | the merge limit is the freed block's, not its buddy's |
//!
//! The machine is one block of two pageblocks. No other CPU is needed: these are no races.

use pageblock::{AllocRequest, Faults, Order, Pfn, PfnRange};

use crate::other_cpu::{Drift, Isolator, Static, assert_drift, free_to_buddy, leak, two_cpus};

/// An order that is a pageblock, and the order above is the largest.
const ORDER: Order = Order::new(9);
const PAGES: usize = 512;

/// Which of the two pageblocks is isolated.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Isolated {
    Freed,
    Buddy,
}

/// A block of pageblock size is freed beside its free buddy.
fn freed_beside_its_buddy(faults: Faults, isolated: Isolated) -> Static {
    let machine = leak(two_cpus(2 * PAGES).build());
    let freed = machine.alloc_pages(AllocRequest::movable().order(ORDER)).unwrap();
    let buddy = Pfn::new(freed.number() ^ PAGES);
    let start = if isolated == Isolated::Freed { freed } else { buddy };
    Isolator::new(machine).isolate(PfnRange::with_len(start, PAGES));
    machine.set_faults(faults);
    free_to_buddy(machine, freed, ORDER);
    machine
}

#[test]
fn patch_10_a_freed_block_takes_its_isolated_buddy_along_uncounted() {
    let expected = Drift::from_free_to_isolated(PAGES as isize, PAGES * 2);
    assert_drift(Faults::MERGE_ACROSS, expected, |faults| freed_beside_its_buddy(faults, Isolated::Buddy));
}

#[test]
fn patch_10_a_block_freed_to_the_isolated_list_takes_its_counted_buddy_along() {
    let expected = Drift::from_free_to_isolated(-(PAGES as isize), PAGES * 2);
    assert_drift(Faults::MERGE_ACROSS, expected, |faults| freed_beside_its_buddy(faults, Isolated::Freed));
}

#[test]
fn v3_18_a_freed_block_takes_its_isolated_buddy_along_uncounted() {
    let expected = Drift::from_free_to_isolated(PAGES as isize, PAGES * 2);
    assert_drift(Faults::FREED_BLOCK_ONLY, expected, |faults| {
        freed_beside_its_buddy(faults, Isolated::Buddy)
    });
}

#[test]
fn v3_18_a_block_freed_to_the_isolated_list_does_not_merge() {
    assert_drift(Faults::FREED_BLOCK_ONLY, Drift::NONE, |faults| {
        let machine = freed_beside_its_buddy(faults, Isolated::Freed);
        machine.verify().unwrap();
        machine
    });
}
