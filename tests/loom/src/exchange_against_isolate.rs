//! A batch moves through the exchange between CPUs while its pageblock is isolated and drained.
//!
//! Here a batch is a page, a list of a CPU holds four, and the exchange holds one. If a CPU took
//! the batch from the exchange before it has access to its own list, the drain would find it
//! nowhere: `page 0 hides on a pcplist`.

use std::sync::Arc;

use pageblock::{AllocRequest, Order, Pfn};

use crate::model::{Machine, Model, as_cpu, assert_not_hidden, cpu, frames};

const PAGES: usize = 32;

/// All pages are owned, but for those that CPU 1 has freed. CPU 0 was the last to refill a list.
fn after_frees(freed: &[usize]) -> Arc<Machine> {
    let machine = Machine::owned(PAGES, Order::ZERO, &[]);
    as_cpu(1, || {
        for page in freed {
            machine.free_pages(Pfn::new(*page), Order::ZERO).unwrap();
        }
    });
    machine
}

/// Frees every page but these, which are not owned.
fn give_back(machine: &Machine, but: &[usize]) {
    for page in (0..PAGES).filter(|page| !but.contains(page)) {
        machine.free_pages(Pfn::new(page), Order::ZERO).unwrap();
    }
}

/// Page 0 is the oldest on the full list of CPU 1, which frees two more, so that page 0 goes to the
/// exchange. Its pageblock is isolated.
const GIVE: Model = Model {
    machine: || after_frees(&[0, 4, 6, 8]),
    concurrently: |machine| {
        let giver = {
            let machine = machine.clone();
            cpu(1, move || {
                machine.free_pages(Pfn::new(10), Order::ZERO).unwrap();
                machine.free_pages(Pfn::new(12), Order::ZERO).unwrap();
            })
        };
        let mut isolated = machine.isolate(frames(0, 2)).unwrap();
        assert_not_hidden(&mut isolated);
        giver.join().unwrap();
        assert_not_hidden(&mut isolated);
        drop(isolated);
        give_back(machine, &[0, 4, 6, 8, 10, 12]);
    },
    preemptions: Some(3),
};

/// Page 0 is in the exchange. Another thread of CPU 0 allocates a page, by way of its list, while
/// the pageblock of page 0 is isolated.
const TAKE: Model = Model {
    machine: || after_frees(&[0, 4, 6, 8, 10]),
    concurrently: |machine| {
        let taker = {
            let machine = machine.clone();
            cpu(0, move || machine.alloc_pages(AllocRequest::movable()).unwrap())
        };
        let mut isolated = machine.isolate(frames(0, 2)).unwrap();
        assert_not_hidden(&mut isolated);
        let taken = taker.join().unwrap();
        assert_not_hidden(&mut isolated);
        drop(isolated);
        machine.free_pages(taken, Order::ZERO).unwrap();
        give_back(machine, &[0, 4, 6, 8, 10]);
    },
    preemptions: Some(3),
};

#[test]
fn a_batch_that_is_given_does_not_hide_from_an_isolation() {
    GIVE.holds();
}

#[test]
fn a_batch_that_is_taken_does_not_hide_from_an_isolation() {
    TAKE.holds();
}

#[test]
fn the_models_use_the_exchange() {
    loom::model::Builder::new().check(|| {
        // In a thread, whose stack is larger than that of the model.
        let uses = || {
            let machine = after_frees(&[0, 4, 6, 8, 10]);
            let exchanged = || machine.vmstat().machine.exchanges;
            let zone_frees = || machine.vmstat().total().spills;
            assert_eq!((machine.meminfo().cached, zone_frees(), exchanged()), (5, 0, 0));
            assert_eq!(as_cpu(0, || machine.alloc_pages(AllocRequest::movable())), Ok(Pfn::new(0)));
            assert_eq!(exchanged(), 1);
        };
        cpu(0, uses).join().unwrap();
    });
}
