//! An atomic request, which finds no free page, takes a page that another CPU has cached.
//!
//! It gets access to the other CPU's pcplist by one try of its lock, and does not wait.

use pageblock::{AllocRequest, Depth, Order, Pfn};

use crate::model::{Machine, Model, cpu};

/// CPU 1 frees two pages, one more than its list holds, so that one is spilled and one stays
/// cached, and allocates one again. CPU 0 asks twice for a page, and cannot wait for it.
const TAKE: Model = Model {
    machine: || Machine::owned(8, Order::ZERO, &[]),
    concurrently: |machine| {
        let other = {
            let machine = machine.clone();
            cpu(1, move || {
                machine.free_pages(Pfn::new(0), Order::ZERO).unwrap();
                machine.free_pages(Pfn::new(4), Order::ZERO).unwrap();
                machine.alloc_pages(AllocRequest::movable())
            })
        };
        let atomic = AllocRequest::movable().depth(Depth::Atomic);
        let ours = [machine.alloc_pages(atomic), machine.alloc_pages(atomic)];
        let theirs = other.join().unwrap();
        // Nobody uses a pcplist now, so that pages which are left can be had.
        let last = [machine.alloc_pages(atomic), machine.alloc_pages(atomic)];
        let mut pages: Vec<_> = ours.iter().chain(&last).chain([&theirs]).flatten().collect();
        pages.sort_unstable();
        assert_eq!(pages, [&Pfn::new(0), &Pfn::new(4)], "handed out once each");
        for page in 0..8 {
            machine.free_pages(Pfn::new(page), Order::ZERO).unwrap();
        }
    },
    preemptions: None,
};

#[test]
fn a_page_that_another_cpu_has_cached_is_handed_out_once() {
    TAKE.holds();
}
