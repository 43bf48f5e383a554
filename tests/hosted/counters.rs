//! The counters as a reader without a lock sees them: always as they stood between two operations.
//!
//! Each test lets one thread repeat an operation that takes a counter from one value to another and
//! back through many splits and merges, while others read it. Any third value is a transient that
//! leaked.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use pageblock::{AllocRequest, ContigOptions, Geometry, NoMigration, Order};

use crate::support::{Machine, SetOnDrop, Threads, cma_area, normal, on_every_geometry, part, scope, unit};

const ROUNDS: usize = 500;
const READS: usize = 2000;

/// Every value that `read` gave to two threads while `work` ran again and again.
fn values_seen<G: Geometry + Send + Sync>(
    machine: &Machine<G>,
    read: impl Fn(&Machine<G>) -> usize + Sync,
    work: impl Fn(),
) -> BTreeSet<usize> {
    let (done, reads) = (AtomicBool::new(false), AtomicUsize::new(0));
    scope(|scope| {
        let reader = || {
            scope.spawn(|| {
                Threads::become_cpu(1);
                let mut seen = BTreeSet::new();
                while !done.load(Ordering::Relaxed) {
                    seen.insert(read(machine));
                    reads.fetch_add(1, Ordering::Relaxed);
                }
                seen
            })
        };
        let readers = [reader(), reader()];
        let stop = SetOnDrop(&done);
        let mut rounds = 0;
        while rounds < ROUNDS || reads.load(Ordering::Relaxed) < READS {
            work();
            rounds += 1;
        }
        drop(stop);
        readers.into_iter().flat_map(|reader| reader.join().unwrap()).collect()
    })
}

#[track_caller]
fn assert_only(seen: &BTreeSet<usize>, allowed: &[usize]) {
    assert!(seen.iter().all(|value| allowed.contains(value)), "seen {seen:?}, allowed {allowed:?}");
}

fn a_split_and_a_merge_show_only_their_results<G: Geometry + Send + Sync>() {
    // An order that is not cached, so that each call splits a largest block and each free merges it
    // again.
    let machine = normal::<G>(4).cpus(2).build_as::<G>();
    let all = machine.free_count();
    let order = Order::new(if G::MAX_ORDER.get() > 4 { 4 } else { 0 });
    let seen = values_seen(&machine, Machine::free_count, || {
        let pfn = machine.alloc_pages(AllocRequest::movable().order(order)).unwrap();
        machine.free_pages(pfn, order).unwrap();
        machine.drain_all();
    });
    let batch = machine.zoneinfo().zones[2].batch.max(order.pages());
    // A refill takes a batch at once; a drain gives it back list by list.
    assert_only(&seen, &[all, all - batch, all - order.pages()]);
    machine.verify().unwrap();
}

fn an_isolation_takes_a_pageblock_at_a_time<G: Geometry + Send + Sync>() {
    let machine = normal::<G>(4).cpus(2).build_as::<G>();
    let (all, one) = (machine.free_count(), G::PAGEBLOCK_ORDER.pages());
    let two = part::<G>(one, 2 * one);
    let seen = values_seen(&machine, Machine::free_count, || drop(machine.isolate(two).unwrap()));
    assert_only(&seen, &[all, all - one, all - 2 * one]);
    let seen = values_seen(&machine, Machine::isolated_count, || drop(machine.isolate(two).unwrap()));
    assert_only(&seen, &[0, one, 2 * one]);
}

fn cma_pages_leave_and_return_in_whole_pageblocks<G: Geometry + Send + Sync>() {
    let machine = normal::<G>(4).cpus(2).build_as::<G>();
    let one = G::PAGEBLOCK_ORDER.pages();
    cma_area(&machine, part::<G>(unit::<G>(), one));
    let seen = values_seen(&machine, Machine::free_cma_count, || {
        drop(machine.isolate(part::<G>(unit::<G>() + 1, one - 1)).unwrap());
    });
    assert_only(&seen, &[0, one]);
}

fn a_contiguous_range_is_counted_once<G: Geometry + Send + Sync>() {
    let machine = normal::<G>(4).cpus(2).build_as::<G>();
    let (all, one) = (machine.free_count(), G::PAGEBLOCK_ORDER.pages());
    // Isolated as a whole pageblock, taken in part, and freed.
    let range = part::<G>(1, one - 1);
    let seen = values_seen(&machine, Machine::free_count, || {
        drop(machine.alloc_contig(range, &NoMigration, ContigOptions::default()).unwrap());
    });
    assert_only(&seen, &[all, all - one, all - one + 1]);
    machine.verify().unwrap();
}

fn managed_pages_change_only_with_the_memory<G: Geometry + Send + Sync>() {
    let machine = normal::<G>(4).cpus(2).build_as::<G>();
    let all = machine.managed_count();
    let seen = values_seen(&machine, Machine::managed_count, || {
        let pfn = machine.alloc_pages(AllocRequest::unmovable()).unwrap();
        drop(
            machine
                .alloc_contig(part::<G>(2 * unit::<G>(), 3), &NoMigration, ContigOptions::default())
                .unwrap(),
        );
        machine.free_pages(pfn, Order::ZERO).unwrap();
    });
    assert_only(&seen, &[all]);
}

fn the_machine_and_its_zones_agree<G: Geometry>() {
    let machine = normal::<G>(4).build_as::<G>();
    cma_area(&machine, part::<G>(unit::<G>(), unit::<G>()));
    let kept: Vec<_> =
        (0..unit::<G>() / 2).map(|_| machine.alloc(AllocRequest::movable()).unwrap()).collect();
    let isolated = machine.isolate(part::<G>(3 * unit::<G>(), 1)).unwrap();
    let (info, census) = (machine.meminfo(), machine.verify().unwrap().total());
    assert_eq!((info.free, info.free_cma), (machine.free_count(), machine.free_cma_count()));
    assert_eq!((info.isolated, info.total), (machine.isolated_count(), machine.managed_count()));
    assert_eq!((info.free, info.isolated, info.cached), (census.free, census.isolated, census.cached));
    assert_eq!(census.allocated, kept.len());
    let on_lists: usize = (0..=10).map(|n| machine.buddyinfo().zones[2].all(Order::new(n)) << n).sum();
    assert_eq!(on_lists, info.free + info.isolated);
    drop(isolated);
}

on_every_geometry!(
    a_split_and_a_merge_show_only_their_results,
    an_isolation_takes_a_pageblock_at_a_time,
    cma_pages_leave_and_return_in_whole_pageblocks,
    a_contiguous_range_is_counted_once,
    managed_pages_change_only_with_the_memory,
    the_machine_and_its_zones_agree,
);
