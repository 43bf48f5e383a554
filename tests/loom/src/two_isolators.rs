//! Two CPUs take disjoint parts of one pageblock.
//!
//! | model | broken by | how |
//! |---|---|---|
//! | two isolators | `MOVED_MEANS_FOUND` | patch 9: the second subtracts what the first has moved |
//!
//! That both succeed is a part of the model: neither is told that the pageblock is busy (W3).

use std::sync::Arc;

use pageblock::{ContigOptions, Faults, NoMigration};

use crate::model::{Machine, Model, cpu, frames};

fn take_and_release(machine: &Machine, page: usize) {
    let once = ContigOptions::default().attempts(1);
    let taken = machine.alloc_contig(frames(page, page + 1), &NoMigration, once).unwrap();
    assert_eq!(taken.range(), frames(page, page + 1));
}

const TWO_ISOLATORS: Model = Model {
    machine: || Machine::free(4),
    concurrently: |machine| {
        let other = {
            let machine = Arc::clone(machine);
            cpu(1, move || take_and_release(&machine, 1))
        };
        take_and_release(machine, 0);
        other.join().unwrap();
    },
    preemptions: Some(3),
};

#[test]
fn two_isolators_share_a_pageblock() {
    TWO_ISOLATORS.holds();
}

#[test]
fn patch_9_pages_moved_by_the_other_isolator_are_subtracted_again() {
    TWO_ISOLATORS.fails_with(Faults::MOVED_MEANS_FOUND, "free -");
}
