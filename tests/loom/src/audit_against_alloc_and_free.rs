//! A CPU audits and verifies the machine while another allocates and frees.
//!
//! | model | broken by | how |
//! |---|---|---|
//! | audit | `SKIPPED_ACCOUNT` | a page joins a list and is not counted |

use pageblock::{AllocRequest, Faults, Order};

use crate::model::{Machine, Model, cpu};

/// An allocation splits a block, and the free merges it again.
///
/// The page is on a pcplist in between, which the other CPU drains.
const AUDIT: Model = Model {
    machine: || Machine::free(8),
    concurrently: |machine| {
        let other = {
            let machine = machine.clone();
            cpu(1, move || {
                let pfn = machine.alloc_pages(AllocRequest::movable()).unwrap();
                machine.free_pages(pfn, Order::ZERO).unwrap();
                machine.drain_all();
            })
        };
        let audit = machine.audit();
        assert!(audit.is_exact(), "while the other CPU works: {audit}");
        let census = machine.verify().unwrap_or_else(|violation| panic!("{violation}")).total();
        assert_eq!(census.free + census.cached + census.allocated, 8);
        other.join().unwrap();
    },
    preemptions: Some(3),
};

#[test]
fn an_audit_is_exact_while_another_cpu_works() {
    AUDIT.holds();
}

#[test]
fn an_audit_finds_a_page_that_was_not_counted() {
    AUDIT.fails_with(Faults::SKIPPED_ACCOUNT, "free -1");
}
