//! The isolation of two pageblocks is undone while other CPUs allocate and free there.
//!
//! | model | broken by | how |
//! |---|---|---|
//! | alloc and free | `FIRST_BLOCK_ONLY` | 2018: the second pageblock is added once more |
//! | three CPUs | `FIRST_BLOCK_ONLY` | as above |

use std::sync::Arc;

use loom::thread::JoinHandle;
use pageblock::{AllocRequest, Faults, Order, Pfn};

use crate::model::{Machine, Model, cpu, frames};

/// Allocates a pageblock, if there is one, and frees it.
fn allocator(machine: &Arc<Machine>, number: usize, order: Order) -> JoinHandle<()> {
    let machine = machine.clone();
    cpu(number, move || {
        if let Ok(pfn) = machine.alloc_pages(AllocRequest::movable().order(order)) {
            machine.free_pages(pfn, order).unwrap();
        }
    })
}

/// Two pageblocks, which are all memory and isolated: two CPUs allocate what the undo has freed.
const ALLOC_AND_FREE: Model = Model {
    machine: || Machine::free(4),
    concurrently: |machine| {
        let isolated = machine.isolate(frames(0, 4)).unwrap();
        let allocators = [0, 1].map(|number| allocator(machine, number, Order::new(1)));
        drop(isolated);
        for allocator in allocators {
            allocator.join().unwrap();
        }
    },
    preemptions: Some(3),
};

/// One page is owned and freed meanwhile by a third CPU.
const THREE_CPUS: Model = Model {
    machine: || Machine::owned(4, Order::ZERO, &[0, 1, 2]),
    concurrently: |machine| {
        let isolated = machine.isolate(frames(0, 4)).unwrap();
        let owner = {
            let machine = machine.clone();
            cpu(0, move || machine.free_pages(Pfn::new(3), Order::ZERO).unwrap())
        };
        let allocator = allocator(machine, 1, Order::ZERO);
        drop(isolated);
        owner.join().unwrap();
        allocator.join().unwrap();
    },
    preemptions: Some(3),
};

#[test]
fn an_undo_meets_alloc_and_free() {
    ALLOC_AND_FREE.holds();
}

#[test]
fn an_undo_meets_alloc_and_free_of_two_cpus() {
    THREE_CPUS.holds();
}

#[test]
fn undo_of_2018_adds_a_pageblock_once_more() {
    ALLOC_AND_FREE.fails_with(Faults::FIRST_BLOCK_ONLY, "free +2");
    THREE_CPUS.fails_with(Faults::FIRST_BLOCK_ONLY, "free +2");
}
