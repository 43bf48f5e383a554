//! A block is put back when the host is told of it, and not when it has acknowledged.
//!
//! | test | fault | what is lost |
//! |---|---|---|
//! | `reported_before_*` | `REPORTED_BEFORE_ACKNOWLEDGED` | what an owner has written |
//!
//! No count is wrong: only the contents show it.

use std::collections::BTreeMap;

use pageblock::{AllocRequest, Faults, Order, Pfn, ReportOptions};

use crate::support::{Machine, fill, frames};

const HUGE: Order = Order::new(9);

/// The words that owners have written, and that a host discards.
#[derive(Default)]
struct Memory(BTreeMap<Pfn, u64>);

/// Owners fill memory while a batch is out, and write a word in each block. The host discards what
/// it was told of, and acknowledges it then. Returns the number of words that are lost.
fn words_lost(faults: Faults) -> usize {
    let machine: Machine = frames(&[(0, 16 * 512 + 100)]).no_reserve().build();
    let request = AllocRequest::movable().order(HUGE);
    for pfn in fill(&machine, request) {
        machine.free_pages(pfn, HUGE).unwrap();
    }
    machine.drain_all();
    machine.set_faults(faults);
    let mut batch = machine.report_free_pages(ReportOptions::default().blocks(4)).unwrap().unwrap();
    let told: Vec<_> = std::iter::from_fn(|| batch.hand_over()).collect();
    assert_eq!(told.len(), 4);
    machine.verify().unwrap();
    let mut memory = Memory::default();
    let owned = fill(&machine, request);
    memory.0.extend(owned.iter().map(|pfn| (*pfn, !(pfn.number() as u64))));
    for range in told {
        memory.0.range_mut(range.start()..range.end()).for_each(|(_, word)| *word = 0);
    }
    batch.acknowledged();
    machine.verify().unwrap();
    assert!(machine.audit().is_exact());
    owned.iter().filter(|pfn| memory.0[pfn] != !(pfn.number() as u64)).count()
}

#[test]
fn reported_before_acknowledged_loses_contents_and_no_page() {
    assert_eq!(words_lost(Faults::empty()), 0);
    assert_eq!(words_lost(Faults::REPORTED_BEFORE_ACKNOWLEDGED), 8);
}
