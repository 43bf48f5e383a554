//! Free blocks are reported to the host while another CPU allocates all memory.
//!
//! | model | broken by | how |
//! |---|---|---|
//! | a request | `REPORTED_BEFORE_ACKNOWLEDGED` | a block is in use that the host may still discard |
//! | two requests, which need both blocks | | |
//! | an isolation | | |
//!
//! One lock hold moves a block from those that a request may take back to those that the host has
//! been told of. So a block that the host has been told of has no owner until the host has
//! acknowledged it, and a request that finds no block gets one that the host has not been told of.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use loom::thread::JoinHandle;
use pageblock::{AllocRequest, Depth, Faults, Order, Pfn, PfnRange, ReportOptions};

use crate::model::{Machine, Model, cpu, frames};

const PAIR: Order = Order::new(1);
const FOUR: Order = Order::new(2);

/// Bit *n* is set while the host may discard frame *n*, or while the other CPU owns it. Not atomics
/// of the model: both change while a lock of the allocator keeps the two apart, or should.
#[derive(Default)]
struct Frames {
    host: AtomicUsize,
    owned: AtomicUsize,
}

fn bits(range: PfnRange) -> usize {
    range.iter().fold(0, |bits, pfn| bits | 1 << pfn.number())
}

impl Frames {
    fn check(&self) {
        let both = self.host.load(Ordering::SeqCst) & self.owned.load(Ordering::SeqCst);
        assert_eq!(both, 0, "a frame is in use that the host may discard");
    }

    fn own(&self, range: PfnRange) {
        self.owned.fetch_or(bits(range), Ordering::SeqCst);
        self.check();
    }
}

/// CPU 1 reports what it can, and the host acknowledges it.
fn reporter(machine: &Arc<Machine>, used: &Arc<Frames>) -> JoinHandle<()> {
    let (machine, used) = (machine.clone(), used.clone());
    cpu(1, move || {
        let Some(mut batch) = machine.report_free_pages(ReportOptions::default()).unwrap() else {
            return;
        };
        while let Some(range) = batch.hand_over() {
            used.host.fetch_or(bits(range), Ordering::SeqCst);
            used.check();
        }
        used.check();
        used.host.store(0, Ordering::SeqCst);
        batch.acknowledged();
    })
}

/// Allocates blocks, at most this many, and frees them when the host has acknowledged everything.
fn alloc(machine: &Arc<Machine>, order: Order, most: usize, depth: Depth) -> usize {
    let used = Arc::new(Frames::default());
    let reporter = reporter(machine, &used);
    let request = AllocRequest::movable().order(order).depth(depth);
    let blocks: Vec<_> = (0..most)
        .map_while(|_| machine.alloc_pages(request).ok())
        .inspect(|pfn| used.own(order.block(*pfn)))
        .collect();
    reporter.join().unwrap();
    for pfn in &blocks {
        machine.free_pages(*pfn, order).unwrap();
    }
    blocks.len()
}

/// Eight pages, which were used once, so that their records exist.
fn two_blocks() -> Arc<Machine> {
    Machine::owned(8, FOUR, &[0, 4])
}

const ONE: Model = Model {
    machine: two_blocks,
    concurrently: |machine| {
        alloc(machine, PAIR, 1, Depth::Atomic);
    },
    preemptions: None,
};

const ALL: Model = Model {
    machine: two_blocks,
    concurrently: |machine| {
        alloc(machine, FOUR, 2, Depth::Normal);
    },
    preemptions: Some(4),
};

/// Nothing is handed over: the batch is dropped. So every request is served.
const NEVER_TOLD: Model = Model {
    machine: two_blocks,
    concurrently: |machine| {
        let reporter = {
            let machine = machine.clone();
            cpu(1, move || drop(machine.report_free_pages(ReportOptions::default()).unwrap()))
        };
        let request = AllocRequest::movable().order(FOUR);
        let blocks = [(); 2].map(|()| machine.alloc_pages(request).expect("a request for a block failed"));
        reporter.join().unwrap();
        for pfn in blocks {
            machine.free_pages(pfn, FOUR).unwrap();
        }
    },
    preemptions: None,
};

const ISOLATED: Model = Model {
    machine: two_blocks,
    concurrently: |machine| {
        let used = Arc::new(Frames::default());
        let reporter = reporter(machine, &used);
        let mut isolated = machine.isolate(frames(2, 4)).unwrap();
        if isolated.test().is_ok() {
            used.own(PfnRange::with_len(Pfn::new(2), 2));
            used.owned.store(0, Ordering::SeqCst);
        }
        drop(isolated);
        reporter.join().unwrap();
    },
    preemptions: Some(3),
};

#[test]
fn a_request_gets_no_block_that_the_host_may_discard() {
    ONE.holds();
}

#[test]
fn requests_for_all_memory_get_no_block_that_the_host_may_discard() {
    ALL.holds();
}

#[test]
fn a_request_gets_a_block_that_the_host_was_not_told_of() {
    NEVER_TOLD.holds();
}

#[test]
fn an_isolated_range_that_is_free_has_no_block_that_the_host_may_discard() {
    ISOLATED.holds();
}

#[test]
fn a_request_gets_a_block_that_the_host_may_discard_if_it_is_put_back_too_early() {
    for model in [ONE, ALL, ISOLATED] {
        model.fails_with(Faults::REPORTED_BEFORE_ACKNOWLEDGED, "the host may discard");
    }
}
