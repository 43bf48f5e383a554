//! A request of another mobility claims a pageblock while it is isolated, and that is undone.
//!
//! A claim changes the type of the pageblock.
//!
//! | model | broken by | how |
//! |---|---|---|
//! | claim | `MERGE_ACROSS` | the halves of the claimed block merge across the isolation |
//!
//! The isolation may fail, because the page is unmovable, and it may succeed and find the page in
//! the way later.

use pageblock::{AllocRequest, Faults, IsolateError, Order};

use crate::model::{Machine, Model, cpu, frames};

/// All memory is movable and free.
const CLAIM: Model = Model {
    machine: || Machine::free(8),
    concurrently: |machine| {
        let claimer = {
            let machine = machine.clone();
            cpu(1, move || {
                if let Ok(pfn) = machine.alloc_pages(AllocRequest::unmovable()) {
                    machine.free_pages(pfn, Order::ZERO).unwrap();
                }
            })
        };
        match machine.isolate(frames(0, 2)) {
            Ok(isolated) => drop(isolated),
            Err(IsolateError::Unmovable { .. }) => {}
            Err(error) => panic!("{error}"),
        }
        claimer.join().unwrap();
    },
    preemptions: Some(4),
};

#[test]
fn a_pageblock_keeps_its_new_type_through_isolation() {
    CLAIM.holds();
}

#[test]
fn patch_10_a_claimed_block_merges_across() {
    CLAIM.fails_with(Faults::MERGE_ACROSS, "free +2 isolated -2");
}
