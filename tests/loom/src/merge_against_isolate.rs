//! A block of pageblock size is freed while its buddy is isolated.
//!
//! | model | broken by | how |
//! |---|---|---|
//! | merge | `MERGE_ACROSS` | patch 10: the two merge although one is isolated |
//! | merge | `FREED_BLOCK_ONLY` | v3.18: the same, if it is the buddy that is isolated |

use pageblock::{Faults, Order, Pfn};

use crate::model::{Machine, Model, cpu, frames};

/// The lower pageblock is owned, the upper one free.
const MERGE: Model = Model {
    machine: || Machine::owned(4, Order::new(1), &[2]),
    concurrently: |machine| {
        let owner = {
            let machine = machine.clone();
            cpu(1, move || machine.free_pages(Pfn::new(0), Order::new(1)).unwrap())
        };
        let mut isolated = machine.isolate(frames(2, 4)).unwrap();
        assert!(isolated.test().is_ok(), "nobody owns a page there");
        drop(isolated);
        owner.join().unwrap();
    },
    preemptions: None,
};

#[test]
fn buddies_merge_only_when_both_are_open() {
    MERGE.holds();
}

#[test]
fn patch_10_buddies_merge_across() {
    MERGE.fails_with(Faults::MERGE_ACROSS, "free -2 isolated +2");
}

#[test]
fn v3_18_a_freed_block_merges_with_its_isolated_buddy() {
    MERGE.fails_with(Faults::FREED_BLOCK_ONLY, "free -2 isolated +2");
}
