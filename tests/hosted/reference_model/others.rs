//! Calls of other CPUs between the lock holds of a step.
//!
//! After a lock hold of a step, another CPU makes a whole call now and then: it allocates, frees,
//! drains, isolates, takes a contiguous range, reports free memory, or audits. What it allocates is
//! movable, and it frees it before the step is checked. So the model knows of no frame of other
//! CPUs, and what the step itself may not get because of them is not predicted
//! ([`World::keeps_frames_back`](super::world::World::keeps_frames_back)).

use std::cell::{Cell, RefCell};
use std::hash::{DefaultHasher, Hash, Hasher};

use pageblock::{
    AllocRequest, ContigOptions, ContigPlace, Depth, Geometry, NoMigration, Order, PageAllocator, Pfn,
    PfnRange, ReportOptions,
};

use super::promises::Interleaved;
use super::steps::Step;
use crate::support::Threads;

/// The other CPUs.
pub(super) struct Others<'a, 'm, G: Geometry> {
    machine: &'a PageAllocator<'m, Interleaved, G>,
    cpus: usize,
    held: RefCell<Vec<(Pfn, Order)>>,
    /// Draws what they do.
    random: Cell<u64>,
    /// One of them is in a call.
    calls: Cell<bool>,
}

impl<'a, 'm, G: Geometry> Others<'a, 'm, G> {
    /// Those that take turns with this step, which says what they do, so that they do the same if
    /// other steps are left out.
    pub(super) fn new(machine: &'a PageAllocator<'m, Interleaved, G>, cpus: usize, step: Step) -> Self {
        let mut hasher = DefaultHasher::new();
        step.hash(&mut hasher);
        let random = Cell::new(hasher.finish());
        Self { machine, cpus, held: RefCell::default(), random, calls: Cell::new(false) }
    }

    fn draw(&self, below: usize) -> usize {
        // xorshift64*
        let mut bits = self.random.get() | 1 << 63;
        bits ^= bits >> 12;
        bits ^= bits << 25;
        bits ^= bits >> 27;
        self.random.set(bits);
        (bits.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % below
    }

    /// A lock hold of the step has ended.
    pub(super) fn may_call(&self) {
        if self.calls.replace(true) {
            return;
        }
        if self.draw(4) == 0 {
            let cpu = Threads::cpu();
            Threads::become_cpu(self.draw(self.cpus));
            self.call();
            Threads::become_cpu(cpu);
        }
        self.calls.set(false);
    }

    fn call(&self) {
        let machine = self.machine;
        let options = ContigOptions::default().attempts(1);
        match self.draw(9) {
            0..3 => {
                let order = Order::new(self.draw(3) as u8).min(G::MAX_ORDER);
                let depth = if self.draw(2) == 0 { Depth::Normal } else { Depth::Emergency };
                let page = machine.alloc_pages(AllocRequest::movable().order(order).depth(depth));
                self.held.borrow_mut().extend(page.into_iter().map(|pfn| (pfn, order)));
            }
            3 => {
                let page = self.held.borrow_mut().pop();
                page.into_iter().for_each(|(pfn, order)| machine.free_pages(pfn, order).unwrap());
            }
            4 => machine.drain_all(),
            5 => drop(machine.isolate(self.range())),
            6 => {
                let place = ContigPlace::anywhere();
                drop(machine.alloc_contig_pages(1 + self.draw(3), place, &NoMigration, options));
            }
            7 => {
                if let Ok(Some(mut batch)) = machine.report_free_pages(ReportOptions::default().blocks(2)) {
                    let _ = batch.hand_over();
                    if self.draw(2) == 0 {
                        batch.acknowledged()
                    } else {
                        batch.refused()
                    };
                }
            }
            _ => {
                let page = machine.alloc_pages(AllocRequest::unmovable().depth(Depth::Atomic));
                page.into_iter().for_each(|pfn| machine.free_pages(pfn, Order::ZERO).unwrap());
            }
        }
        let audit = machine.audit();
        assert!(audit.is_exact(), "between two lock holds: {audit}");
    }

    fn range(&self) -> PfnRange {
        let span = self.machine.span();
        let start = span.start().number() + self.draw(span.len());
        PfnRange::with_len(Pfn::new(start), 1 + self.draw(2 * G::PAGEBLOCK_ORDER.pages()))
    }

    /// The step has ended: they free what they have.
    pub(super) fn give_back(&self) {
        for (pfn, order) in self.held.take() {
            self.machine.free_pages(pfn, order).unwrap();
        }
    }
}
