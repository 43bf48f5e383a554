//! Tests of the parts of `scaling` that need no valgrind: the costs of accesses, and the parser of
//! traces.
//!
//! One test checks the result that `scaling` measures: nothing but initialisation depends on the
//! size of memory.

#![expect(dead_code, reason = "the tests do not measure")]
#![expect(unsafe_code, reason = "reads the allocator's records from outside")]

mod coherence;
mod machine;
mod trace;

use std::ops::Range;

use coherence::Access::{Load, Store};
use coherence::{Access, Caches, Part, Traffic};
use machine::{Machine, PAGEBLOCK, Places};
use pageblock::{AllocRequest, ContigOptions, NoMigration, Order, Pfn, PfnRange};
use trace::{Message, read};

const PLACES: Places = Places {
    zones: 0x100..0x200,
    pcplists: 0x200..0x300,
    frames: 0x300..0x400,
    pageblocks: 0x400..0x500,
    areas: 0x500..0x600,
};

/// The numbers of written and fetched lines after these accesses.
fn after(accesses: &[(u8, Access, u64)]) -> (u64, u64) {
    let (mut caches, mut traffic) = (Caches::default(), Traffic::default());
    for &(cpu, access, address) in accesses {
        traffic += caches.access(&PLACES, cpu, access, address, 8);
    }
    (traffic.written(), traffic.fetched())
}

#[test]
fn lines_of_one_cpu_cause_no_traffic() {
    let alone = [(0, Store, 0x100), (0, Load, 0x108), (0, Store, 0x110), (1, Store, 0x140), (1, Load, 0x140)];
    assert_eq!(after(&alone), (0, 0));
}

#[test]
fn a_line_that_goes_back_and_forth_is_counted_each_way() {
    assert_eq!(after(&[(0, Store, 0x100), (1, Store, 0x120), (0, Store, 0x100)]), (2, 0));
    let read_between =
        [(0, Store, 0x100), (1, Load, 0x100), (1, Load, 0x100), (0, Store, 0x100), (1, Load, 0x100)];
    assert_eq!(after(&read_between), (1, 2));
}

#[test]
fn readers_do_not_disturb_each_other() {
    assert_eq!(after(&[(0, Load, 0x100), (1, Load, 0x100), (2, Load, 0x100)]), (0, 0));
    assert_eq!(after(&[(0, Load, 0x100), (1, Load, 0x100), (2, Store, 0x100)]), (1, 0));
}

#[test]
fn an_access_across_two_lines_is_two() {
    let mut caches = Caches::default();
    assert_eq!(caches.access(&PLACES, 0, Store, 0x33c, 8), Traffic::default());
    let traffic = caches.access(&PLACES, 1, Store, 0x33c, 8);
    assert_eq!((traffic.of(Part::Frames), traffic.written()), (2, 2));
}

#[test]
fn accesses_outside_of_the_records_are_not_counted() {
    assert_eq!(after(&[(0, Store, 0x8000), (1, Store, 0x8000)]), (0, 0));
}

/// A trace in which CPU 0 writes a line in the background, followed by these lines.
fn trace(counted: &str) -> String {
    let places = Message::Places { marks: 0x1000, places: PLACES }.encode();
    let totals = Message::Totals { lock_holds: 3, barriers: 1 }.encode();
    format!(
        "==1== Lackey\nI  07,3\n{places} S 1200,8\nI  02,1\n S 100,8\n S 1400,8\n{counted}{totals}==1== bye\n"
    )
}

#[test]
fn only_what_lies_between_the_marks_counts() {
    // CPU 1 loads that line (fetched) and writes it (taken from CPU 0). The rest is outside of the
    // marks.
    let trace = trace("I  01,1\n S 1008,8\nI  04,3\n L 100,4\n S 100,4\n S 1400,8\nI  05,1\n S 108,8\n");
    let cost = read(trace.as_bytes()).unwrap();
    assert_eq!((cost.operations, cost.instructions), (1, 1));
    assert_eq!((cost.traffic.fetched(), cost.traffic.written()), (1, 1));
    assert_eq!((cost.lock_holds, cost.barriers), (3, 1));
}

#[test]
fn a_modify_is_a_store() {
    let cost = read(trace(" S 1008,8\n M 100,4\n S 1400,8\n").as_bytes()).unwrap();
    assert_eq!((cost.traffic.fetched(), cost.traffic.written()), (0, 1));
}

#[test]
fn a_trace_without_an_end_is_an_error_with_the_last_messages() {
    let broken = trace(" S 1008,8\n S 1400,8\n").replace("@totals 3 1\n", "thread 'main' panicked\n");
    assert!(read(broken.as_bytes()).unwrap_err().contains("panicked"));
    assert!(read(trace("").as_bytes()).is_err(), "no operation at all");
}

/// The number of cache lines of these records that are not zero. At first all of them are.
fn lines_in_use(records: &Range<u64>) -> usize {
    let start = std::ptr::with_exposed_provenance::<[u64; 8]>(records.start as usize);
    let lines = ((records.end - records.start) / 64) as usize;
    // SAFETY: the range is a part of the machine's mapping, which is never unmapped. Only this
    // thread uses the machine, and it does not write during the call.
    let lines = unsafe { std::slice::from_raw_parts(start, lines) };
    lines.iter().filter(|line| **line != [0; 8]).count()
}

/// The lines in use for free lists and frames after some operations of each kind, on such a
/// machine.
fn lines_used_by_all_operations(gib: u64) -> [usize; 2] {
    let Machine { allocator, places } = Machine::new(gib << 30, 4);
    for order in [Order::ZERO, Order::new(3), PAGEBLOCK, Order::new(10)] {
        let request = AllocRequest::movable().order(order);
        let blocks: Vec<_> = (0..64).map(|_| allocator.alloc_pages(request).unwrap()).collect();
        blocks.into_iter().for_each(|pfn| allocator.free_pages(pfn, order).unwrap());
    }
    let span = allocator.span();
    let middle = PAGEBLOCK.align_down(Pfn::new(span.start().number() + span.len() / 2));
    let range = PfnRange::with_len(middle, 4 * PAGEBLOCK.pages());
    drop(allocator.isolate(range).unwrap());
    drop(allocator.alloc_contig(range, &NoMigration, ContigOptions::default()).unwrap());
    allocator.drain_all();
    [lines_in_use(&places.areas), lines_in_use(&places.frames)]
}

#[test]
fn more_memory_does_not_touch_more_records() {
    let [small, large] = [1, 16].map(lines_used_by_all_operations);
    for (small, large) in small.into_iter().zip(large) {
        assert!((1..1000).contains(&small), "{small} lines");
        // The pcplists of the larger machine hold a few blocks more.
        assert!(large <= small + 16, "{large} lines instead of {small}");
    }
}
