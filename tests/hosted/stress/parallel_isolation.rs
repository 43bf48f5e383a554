//! Threads isolate at once, on every geometry: in different areas, one area, or one pageblock.
//!
//! No request may fail because of another: every one must succeed, and at the end every page is
//! where it belongs. (Linux gives the second isolator in a pageblock `-EBUSY`.)

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use pageblock::{ContigOptions, Geometry, Migrate, NoMigration, Order, PfnRange};

use crate::support::{Machine, Owners, Threads, cma_area, normal, on_every_geometry, part, scope, unit};

const CPUS: usize = 4;
const ROUNDS: usize = 60;

/// Runs `f` on all CPUs at once, and audits meanwhile.
fn on_all_cpus<G: Geometry + Send + Sync>(machine: &Machine<G>, f: impl Fn(usize) + Sync) {
    let done = AtomicBool::new(false);
    scope(|scope| {
        let workers: Vec<_> = (0..CPUS)
            .map(|cpu| {
                let f = &f;
                scope.spawn(move || {
                    Threads::become_cpu(cpu);
                    f(cpu);
                })
            })
            .collect();
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let report = machine.audit();
                assert!(report.is_exact(), "{report}");
                thread::yield_now();
            }
        });
        let results: Vec<_> = workers.into_iter().map(|worker| worker.join()).collect();
        done.store(true, Ordering::Relaxed);
        assert!(results.into_iter().all(|result| result.is_ok()), "a CPU failed");
    });
}

/// Takes and frees `range` again and again.
fn take_again_and_again<G: Geometry>(machine: &Machine<G>, range: PfnRange, migrate: &impl Migrate) {
    for round in 0..ROUNDS {
        match machine.alloc_contig(range, migrate, ContigOptions::default()) {
            Ok(taken) => assert_eq!(taken.range(), range),
            Err(error) => panic!("{range}, round {round}: {error}"),
        }
    }
}

fn four_cpus_take_ranges_in_different_areas<G: Geometry + Send + Sync>() {
    let machine = normal::<G>(16).cpus(CPUS).build_as::<G>();
    let owners = Owners::new();
    owners.fill(&machine, 6 * unit::<G>());
    let count = owners.all().len();
    on_all_cpus(&machine, |cpu| {
        take_again_and_again(&machine, part::<G>(cpu * 4 * unit::<G>() + 1, unit::<G>() + 1), &owners);
    });
    assert_eq!(owners.all().len(), count);
    assert!(!owners.moves().is_empty());
    owners.free_all(&machine);
    machine.drain_all();
    machine.verify().unwrap();
    assert_eq!(machine.free_count(), 16 * unit::<G>());
}

fn four_cpus_take_disjoint_parts_of_one_pageblock<G: Geometry + Send + Sync>() {
    let machine = normal::<G>(8).cpus(CPUS).build_as::<G>();
    let pageblock = G::PAGEBLOCK_ORDER.pages();
    let each = (pageblock / CPUS).max(1);
    on_all_cpus(&machine, |cpu| {
        if (cpu + 1) * each <= pageblock {
            take_again_and_again(&machine, part::<G>(cpu * each, each), &NoMigration);
        }
    });
    machine.verify().unwrap();
    assert_eq!(machine.free_count(), 8 * unit::<G>());
}

fn disjoint_parts_of_one_pageblock_are_emptied_at_once<G: Geometry + Send + Sync>() {
    let machine = normal::<G>(8).cpus(CPUS).build_as::<G>();
    let owners = Owners::new();
    // Enough that the first pageblock is full, or would be again after every release.
    owners.fill(&machine, 6 * unit::<G>());
    let pageblock = G::PAGEBLOCK_ORDER.pages();
    let each = (pageblock / CPUS).max(1);
    on_all_cpus(&machine, |cpu| {
        if (cpu + 1) * each <= pageblock {
            take_again_and_again(&machine, part::<G>(cpu * each, each), &owners);
        }
    });
    assert_eq!(owners.all().len(), 6 * unit::<G>());
    machine.verify().unwrap();
    owners.free_all(&machine);
    machine.drain_all();
    assert_eq!(machine.free_count(), 8 * unit::<G>());
}

fn four_cpus_share_one_area<G: Geometry + Send + Sync>() {
    let machine = normal::<G>(16).cpus(CPUS).tune(|tuning| tuning.cma_first_above(0)).build_as::<G>();
    let area = cma_area(&machine, part::<G>(4 * unit::<G>(), 4 * unit::<G>()));
    let owners = Owners::new();
    owners.fill(&machine, 6 * unit::<G>());
    let chunk = unit::<G>() - 1;
    on_all_cpus(&machine, |cpu| {
        for round in 0..ROUNDS {
            let range = area.alloc(&machine, chunk, Order::ZERO, &owners);
            let range = range.unwrap_or_else(|error| panic!("CPU {cpu}, round {round}: {error}"));
            area.free(&machine, range).unwrap();
        }
    });
    let stats = area.stats(&machine);
    assert_eq!((stats.succeeded, stats.failed, stats.used), (CPUS * ROUNDS, 0, 0));
    assert_eq!(stats.busy, 0, "no place was given up");
    assert!(stats.migrated_pages > 0);
    assert_eq!(owners.all().len(), 6 * unit::<G>());
    owners.free_all(&machine);
    machine.drain_all();
    machine.verify().unwrap();
    assert_eq!(machine.free_cma_count(), area.range().len());
}

fn isolators_come_and_go_in_one_pageblock<G: Geometry + Send + Sync>() {
    // No migration, only isolation and undo: the last one out opens the pageblock, and not before.
    let machine = normal::<G>(2).cpus(CPUS).build_as::<G>();
    let pageblock = G::PAGEBLOCK_ORDER.pages();
    on_all_cpus(&machine, |cpu| {
        if cpu < pageblock {
            for _ in 0..10 * ROUNDS {
                let mut held = machine.isolate(part::<G>(cpu, 1)).unwrap();
                assert!(machine.isolated_count() >= pageblock);
                assert!(held.test().is_ok());
            }
        }
    });
    assert_eq!((machine.isolated_count(), machine.free_count()), (0, 2 * unit::<G>()));
    machine.verify().unwrap();
}

on_every_geometry!(
    four_cpus_take_ranges_in_different_areas,
    four_cpus_take_disjoint_parts_of_one_pageblock,
    disjoint_parts_of_one_pageblock_are_emptied_at_once,
    four_cpus_share_one_area,
    isolators_come_and_go_in_one_pageblock,
);
