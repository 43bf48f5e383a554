//! A page is moved out of a range while its owner frees it.
//!
//! | model | broken by | how |
//! |---|---|---|
//! | owner | `FREED_WHILE_MOVED_LOST` | the mover does not look whether the owner has freed |
//! | two movers and the owner | `FREED_WHILE_MOVED_LOST` | as above |
//! | two movers | `MOVED_MEANS_FOUND` | patch 9: the second subtracts what the first has moved |
//!
//! Nothing is lost: at the end every page is free. Nothing is doubled: no free is refused.

use std::sync::Arc;

use loom::sync::Mutex;
use loom::thread::JoinHandle;
use pageblock::{ContigError, ContigOptions, Faults, Migrate, MigrateError, Move, Order, Pfn, PfnRange};

use crate::model::{Machine, Model, cpu, frames};

/// What a kernel's page table says of one page.
struct Owner {
    order: Order,
    place: Mutex<Option<Pfn>>,
}

impl Owner {
    fn new(place: usize, order: Order) -> Arc<Self> {
        Arc::new(Self { order, place: Mutex::new(Some(Pfn::new(place))) })
    }

    fn free(&self, machine: &Machine) {
        let place = self.place.lock().unwrap().take();
        if let Some(pfn) = place {
            machine.free_pages(pfn, self.order).unwrap();
        }
    }
}

impl Migrate for &Owner {
    fn migrate(&self, page: Move) -> Result<(), MigrateError> {
        let mut place = self.place.lock().unwrap();
        if *place != Some(page.from) {
            return Err(MigrateError::Gone);
        }
        *place = Some(page.to);
        Ok(())
    }
}

/// Takes the range and frees it. It may be busy, while the owner is in the middle of its free.
fn take(machine: &Machine, owner: &Owner, range: PfnRange) {
    match machine.alloc_contig(range, &owner, ContigOptions::default().attempts(1)) {
        Ok(taken) => {
            let place = *owner.place.lock().unwrap();
            assert!(place.is_none_or(|pfn| !taken.range().contains(pfn)), "the owner is still there");
        }
        Err(ContigError::Busy { .. }) => {}
        Err(error) => panic!("{error}"),
    }
}

fn freeing(machine: &Arc<Machine>, owner: &Arc<Owner>, number: usize) -> JoinHandle<()> {
    let (machine, owner) = (machine.clone(), owner.clone());
    cpu(number, move || owner.free(&machine))
}

/// Page 0 is owned; it is freed while its pageblock is taken.
const OWNER: Model = Model {
    machine: || Machine::owned(8, Order::ZERO, &[1, 2, 3, 4, 5, 6, 7]),
    concurrently: |machine| {
        let owner = Owner::new(0, Order::ZERO);
        let other = freeing(machine, &owner, 1);
        take(machine, &owner, frames(0, 2));
        other.join().unwrap();
    },
    preemptions: Some(4),
};

/// Two CPUs take one frame each of an owned block of two, and the owner frees the block.
///
/// Both want the block moved.
const TWO_MOVERS: Model = Model {
    machine: || Machine::owned(8, Order::new(1), &[2, 4, 6]),
    concurrently: |machine| {
        let owner = Owner::new(0, Order::new(1));
        let freeing = freeing(machine, &owner, 1);
        let other = {
            let (machine, owner) = (machine.clone(), owner.clone());
            cpu(1, move || take(&machine, &owner, frames(1, 2)))
        };
        take(machine, &owner, frames(0, 1));
        other.join().unwrap();
        freeing.join().unwrap();
    },
    preemptions: Some(2),
};

/// As above, but the owner keeps the block: neither mover may say that the range is busy.
const TWO_MOVERS_SUCCEED: Model = Model {
    machine: || Machine::owned(8, Order::new(1), &[2, 4, 6]),
    concurrently: |machine| {
        let owner = Owner::new(0, Order::new(1));
        let other = {
            let (machine, owner) = (machine.clone(), owner.clone());
            cpu(1, move || {
                drop(machine.alloc_contig(frames(1, 2), &&*owner, ContigOptions::default()).unwrap())
            })
        };
        drop(machine.alloc_contig(frames(0, 1), &&*owner, ContigOptions::default()).unwrap());
        other.join().unwrap();
        owner.free(machine);
    },
    preemptions: Some(2),
};

#[test]
fn two_movers_of_one_block_and_its_owners_free() {
    TWO_MOVERS.holds();
}

#[test]
fn two_movers_of_one_block_both_get_their_frame() {
    TWO_MOVERS_SUCCEED.holds();
}

#[test]
fn a_free_during_a_migration_is_carried_out_once() {
    OWNER.holds();
}

#[test]
fn a_free_during_a_migration_is_lost_if_the_mover_does_not_look() {
    OWNER.fails_with(Faults::FREED_WHILE_MOVED_LOST, "pages that nobody owns are not free");
    TWO_MOVERS.fails_with(Faults::FREED_WHILE_MOVED_LOST, "pages that nobody owns are not free");
}

#[test]
fn patch_9_two_movers_in_one_pageblock_subtract_what_the_other_has_moved() {
    TWO_MOVERS_SUCCEED.fails_with(Faults::MOVED_MEANS_FOUND, "free -");
}
