//! A pcplist spills a page while its pageblock is isolated and drained.
//!
//! | model | broken by | how |
//! |---|---|---|
//! | spill | `CACHED_TYPE_AT_SPILL` | patch 3: the page goes to the list it was cached under |

use pageblock::{Faults, Order, Pfn};

use crate::model::{Machine, Model, assert_not_hidden, cpu, frames};

/// CPU 1 frees page 0, of which the buddy is free, and then page 4, of another pageblock.
///
/// Two pages are more than its list holds, so that page 0 is spilled.
const SPILL: Model = Model {
    machine: || Machine::owned(8, Order::ZERO, &[1, 2, 3, 5, 6, 7]),
    concurrently: |machine| {
        let spiller = {
            let machine = machine.clone();
            cpu(1, move || {
                machine.free_pages(Pfn::new(0), Order::ZERO).unwrap();
                machine.free_pages(Pfn::new(4), Order::ZERO).unwrap();
            })
        };
        let mut isolated = machine.isolate(frames(0, 2)).unwrap();
        assert_not_hidden(&mut isolated);
        spiller.join().unwrap();
        assert!(isolated.test().is_ok(), "both pages are free and isolated");
        assert_eq!((machine.isolated_count(), machine.audit().is_exact()), (2, true));
    },
    preemptions: None,
};

#[test]
fn a_spilled_page_goes_where_its_pageblock_says() {
    SPILL.holds();
}

#[test]
fn patch_3_a_page_spilled_by_its_cached_type_is_not_isolated() {
    SPILL.fails_with(Faults::CACHED_TYPE_AT_SPILL, "is on an ordinary list");
}
