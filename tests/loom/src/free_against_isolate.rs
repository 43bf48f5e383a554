//! A page is freed while its pageblock is isolated, drained and opened again.
//!
//! | model | broken by | how |
//! |---|---|---|
//! | one owner | `STATE_READ_BEFORE_PCP_LOCK` | W2: the page is on a pcplist after the drain |
//! | one owner | `STALE_ISOLATED` | the page takes its counted buddy to the isolated list |
//! | one owner | `STALE_NORMAL` | the page takes its isolated buddy to an ordinary list |
//! | two owners | all three | as above |

use std::sync::Arc;

use loom::thread::JoinHandle;
use pageblock::{Faults, Order, Pfn};

use crate::model::{Machine, Model, assert_not_hidden, cpu, frames};

fn owner(machine: &Arc<Machine>, number: usize, page: usize) -> JoinHandle<()> {
    let machine = machine.clone();
    cpu(number, move || machine.free_pages(Pfn::new(page), Order::ZERO).unwrap())
}

fn isolate_drain_and_undo(machine: &Machine) {
    let mut isolated = machine.isolate(frames(0, 2)).unwrap();
    assert_not_hidden(&mut isolated);
    drop(isolated);
}

/// Page 0 is owned; page 1, the rest of its pageblock, is free.
const ONE_OWNER: Model = Model {
    machine: || Machine::owned(8, Order::ZERO, &[1, 2, 3, 4, 5, 6, 7]),
    concurrently: |machine| {
        let owner = owner(machine, 1, 0);
        isolate_drain_and_undo(machine);
        owner.join().unwrap();
    },
    preemptions: None,
};

/// Both pages of the pageblock are owned, by two CPUs.
const TWO_OWNERS: Model = Model {
    machine: || Machine::owned(8, Order::ZERO, &[2, 3, 4, 5, 6, 7]),
    concurrently: |machine| {
        let owners = [owner(machine, 0, 0), owner(machine, 1, 1)];
        isolate_drain_and_undo(machine);
        for owner in owners {
            owner.join().unwrap();
        }
    },
    preemptions: Some(3),
};

#[test]
fn w2_is_closed_and_nothing_drifts() {
    ONE_OWNER.holds();
}

#[test]
fn two_owners_free_both_pages_of_a_pageblock() {
    TWO_OWNERS.holds();
}

#[test]
fn w2_is_open_if_the_state_is_read_before_the_pcplist_lock() {
    ONE_OWNER.fails_with(Faults::STATE_READ_BEFORE_PCP_LOCK, "hides on a pcplist");
    TWO_OWNERS.fails_with(Faults::STATE_READ_BEFORE_PCP_LOCK, "hides on a pcplist");
}

#[test]
fn patch_4_a_stale_isolated_read_takes_a_counted_buddy_along() {
    ONE_OWNER.fails_with(Faults::STALE_ISOLATED, "free +1 isolated -1");
    TWO_OWNERS.fails_with(Faults::STALE_ISOLATED, "misplaced");
}

#[test]
fn patch_5_a_stale_normal_read_takes_an_isolated_buddy_along() {
    ONE_OWNER.fails_with(Faults::STALE_NORMAL, "free -1 isolated +1");
    TWO_OWNERS.fails_with(Faults::STALE_NORMAL, "free -1 isolated +1");
}
