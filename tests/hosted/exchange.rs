//! The exchange: batches of cached pages that go from a CPU that frees to one that allocates.

use pageblock::{AllocRequest, Depth, Order, Pfn};

use crate::support::{Machine, Threads, cached, fill, mebibytes, range, scope};

/// Two CPUs with 1 GiB.
fn machine() -> Machine {
    mebibytes(1024).cpus(2).build()
}

/// CPU 0 allocates so many pages, and CPU `frees` frees them.
fn hand_over(machine: &Machine, pages: usize, frees: usize) {
    let pages: Vec<Pfn> = (0..pages).map(|_| machine.alloc_pages(AllocRequest::movable()).unwrap()).collect();
    Threads::become_cpu(frees);
    pages.into_iter().for_each(|page| machine.free_pages(page, Order::ZERO).unwrap());
    Threads::become_cpu(0);
}

fn exchanges(machine: &Machine) -> u64 {
    machine.vmstat().machine.exchanges
}

/// A machine with pages in the exchange, and no other pages cached for CPU 0. Returns their number.
fn with_pages_in_exchange() -> (Machine, usize) {
    let machine = machine();
    let high = machine.zoneinfo().zones[1].high;
    let before = machine.vmstat().total().spill_pages;
    let batch = machine.zoneinfo().zones[1].batch;
    // Whole batches for CPU 0, so that its list is empty at the end.
    let pages = (high + 4 * batch).next_multiple_of(batch);
    hand_over(&machine, pages, 1);
    assert_eq!(machine.vmstat().total().spill_pages, before, "no batch went to the zone");
    (machine, pages - high)
}

#[test]
fn what_a_cpu_frees_goes_to_another_without_the_zone() {
    let machine = machine();
    (0..20).for_each(|_| hand_over(&machine, 256, 1));
    let (free, held, before) = (machine.free_count(), cached(&machine), machine.zoneinfo().zones[1]);
    let exchanged = exchanges(&machine);
    (0..20).for_each(|_| hand_over(&machine, 256, 1));
    let after = machine.zoneinfo().zones[1];
    assert_eq!((machine.free_count(), cached(&machine)), (free, held));
    // Only the two reads of these figures have locked the zone.
    assert!(after.lock_holds - before.lock_holds < 5, "{} holds", after.lock_holds - before.lock_holds);
    assert!(exchanges(&machine) - exchanged >= 20 * 256 / before.batch as u64);
    machine.verify().unwrap();
    machine.drain_all();
    assert_eq!((machine.free_count(), cached(&machine)), (machine.managed_count(), 0));
}

#[test]
fn a_cpu_that_also_refills_spills_to_the_zone() {
    let machine = machine();
    (0..4).for_each(|_| hand_over(&machine, 4096, 0));
    assert_eq!(exchanges(&machine), 0);
    assert!(cached(&machine) <= machine.zoneinfo().zones[1].high);
}

#[test]
fn pages_in_the_exchange_are_cached_pages() {
    let (machine, exchanged) = with_pages_in_exchange();
    assert!(exchanged > 0);
    assert_eq!(cached(&machine), machine.managed_count() - machine.free_count());
    assert_eq!(machine.allocated_count(), 0);
    assert!(machine.audit().is_exact(), "{}", machine.audit());
    machine.verify().unwrap();
}

#[test]
fn an_isolation_finds_the_pages_of_its_range_in_the_exchange() {
    let (machine, _) = with_pages_in_exchange();
    let all = machine.span();
    for start in (all.start().number()..all.end().number()).step_by(512) {
        if let Ok(mut isolated) = machine.isolate(range(start, start + 512)) {
            assert!(isolated.test().is_ok());
            machine.verify().unwrap();
        }
    }
}

#[test]
fn requests_that_find_no_memory_get_the_pages_of_the_exchange() {
    for depth in [Depth::Normal, Depth::Atomic] {
        let (machine, exchanged) = with_pages_in_exchange();
        let held = cached(&machine);
        assert!(held > exchanged);
        let request = AllocRequest::unmovable().depth(depth);
        let taken = fill(&machine, request);
        assert_eq!(cached(&machine), 0, "{depth:?}: {} taken", taken.len());
        machine.verify().unwrap();
    }
}

#[test]
fn memory_that_leaves_takes_the_excess_of_the_exchange_with_it() {
    let (machine, _) = with_pages_in_exchange();
    let most = machine.span();
    let start = most.start().number() + 8192;
    machine.drain_all();
    machine.reserve(range(start, most.end().number())).unwrap();
    (0..8).for_each(|_| hand_over(&machine, 4096, 1));
    assert!(cached(&machine) <= machine.managed_count() / 8, "{}", cached(&machine));
    machine.verify().unwrap();
}

/// Producers and consumers on four CPUs, while another isolates, drains and audits.
#[test]
fn a_storm_of_exchanges_loses_no_page() {
    let machine = mebibytes(64).cpus(4).build();
    let all = machine.free_count();
    scope(|scope| {
        let (to_free, queue) = std::sync::mpsc::sync_channel::<Pfn>(400);
        let queue = std::sync::Arc::new(std::sync::Mutex::new(queue));
        for cpu in [0, 1] {
            let (to_free, machine) = (to_free.clone(), &machine);
            scope.spawn(move || {
                Threads::become_cpu(cpu);
                for _ in 0..20_000 {
                    if let Ok(page) = machine.alloc_pages(AllocRequest::movable()) {
                        to_free.send(page).unwrap();
                    }
                }
            });
        }
        drop(to_free);
        for cpu in [2, 3] {
            let (queue, machine) = (queue.clone(), &machine);
            scope.spawn(move || {
                Threads::become_cpu(cpu);
                loop {
                    let Ok(page) = queue.lock().unwrap().recv() else { break };
                    machine.free_pages(page, Order::ZERO).unwrap();
                }
            });
        }
        let start = machine.span().start().number();
        for round in 0..200 {
            let at = start + round % 16 * 512;
            drop(machine.isolate(range(at, at + 512)));
            machine.verify().unwrap();
        }
    });
    machine.drain_all();
    assert_eq!((machine.free_count(), cached(&machine)), (all, 0));
    assert!(exchanges(&machine) > 0);
    machine.verify().unwrap();
}
