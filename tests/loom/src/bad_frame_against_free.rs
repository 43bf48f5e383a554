//! A frame turns bad while its owner frees the block.
//!
//! | model | broken by | how |
//! |---|---|---|
//! | a page | `STATE_READ_BEFORE_PCP_LOCK` | the page goes to a pcplist after the drain, unmarked |
//! | the second page of a block, which is not cached | | |
//!
//! Whichever comes first, the frame is retired at the end, and no other frame is.

use std::sync::Arc;

use loom::thread::JoinHandle;
use pageblock::{ContigOptions, Faults, NoMigration, Order, Pfn};

use crate::model::{Machine, Model, cpu};

fn freeing(machine: &Arc<Machine>, order: Order) -> JoinHandle<()> {
    let machine = machine.clone();
    cpu(1, move || machine.free_pages(Pfn::new(0), order).unwrap())
}

/// Says that the frame is bad, while the other CPU frees its block.
fn fail(machine: &Arc<Machine>, bad: usize, order: Order) {
    let owner = freeing(machine, order);
    let options = ContigOptions::default().attempts(1);
    let _ = machine
        .soft_offline_page(Pfn::new(bad), &NoMigration, options)
        .unwrap_or_else(|error| panic!("{error}"));
    owner.join().unwrap();
    assert_eq!(machine.meminfo().hwpoisoned, 1, "a bad frame is lost");
}

/// Page 0 is owned.
const PAGE: Model = Model {
    machine: || Machine::owned(8, Order::ZERO, &[1, 2, 3, 4, 5, 6, 7]),
    concurrently: |machine| fail(machine, 0, Order::ZERO),
    preemptions: Some(3),
};

/// Pages 0 and 1 are a block.
const SECOND: Model = Model {
    machine: || Machine::owned(8, Order::new(1), &[2, 4, 6]),
    concurrently: |machine| fail(machine, 1, Order::new(1)),
    preemptions: Some(3),
};

#[test]
fn a_page_that_turns_bad_while_it_is_freed_is_retired() {
    PAGE.holds();
}

#[test]
fn a_tail_that_turns_bad_while_its_block_is_freed_is_retired() {
    SECOND.holds();
}

#[test]
fn a_bad_frame_is_lost_if_the_state_is_read_before_the_pcplist_lock() {
    PAGE.fails_with(Faults::STATE_READ_BEFORE_PCP_LOCK, "a bad frame is lost");
}
