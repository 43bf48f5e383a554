//! The counts of events: each is exact, and together they account for every page.

use pageblock::{
    AllocRequest, ContigOptions, Depth, Geometry, MigrateError, NoMigration, Order, VmStat, ZoneEvents,
};

use crate::support::{
    self, Answer, Easygoing, Machine, Threads, cma_area, mebibytes, normal, on_every_geometry, orders, part,
    range, scope, unit,
};

/// The pages that have left the free lists and have not come back.
fn off_the_lists(events: ZoneEvents) -> u64 {
    (events.alloc_pages + events.refill_pages + events.contig_alloc_pages)
        - (events.free_pages + events.spill_pages + events.drain_pages + events.contig_free_pages)
}

#[track_caller]
fn accounts_for_every_page<G: Geometry>(machine: &Machine<G>) {
    let census = machine.verify().unwrap();
    for (zone, events) in census.zones.iter().zip(machine.vmstat().zones) {
        assert_eq!(off_the_lists(events), (zone.allocated + zone.cached) as u64, "{events:?}");
    }
}

fn every_page_off_the_lists_is_accounted_for<G: Geometry>() {
    let machine = normal::<G>(8).cpus(2).build_as::<G>();
    accounts_for_every_page(&machine);
    let area = cma_area(&machine, part::<G>(6 * unit::<G>(), unit::<G>()));
    for round in 0..4 {
        for order in orders::<G>() {
            Threads::become_cpu(round % 2);
            let first = machine.alloc_pages(AllocRequest::movable().order(order)).unwrap();
            let second = machine.alloc_pages(AllocRequest::unmovable().order(order));
            accounts_for_every_page(&machine);
            machine.free_pages(first, order).unwrap();
            if let Ok(second) = second {
                machine.free_pages(second, order).unwrap();
            }
        }
        let kept = support::fill(&machine, AllocRequest::movable());
        accounts_for_every_page(&machine);
        for pfn in kept {
            machine.free_pages(pfn, Order::ZERO).unwrap();
        }
        accounts_for_every_page(&machine);
        drop(machine.alloc_exact(3, AllocRequest::reclaimable()).unwrap());
        let page = machine.alloc_pages(AllocRequest::movable().owner(1)).unwrap();
        let wanted = part::<G>(unit::<G>(), 2 * unit::<G>());
        let contig = machine.alloc_contig(wanted, &Easygoing, ContigOptions::default()).unwrap();
        let from_area = area.alloc(&machine, 1, Order::ZERO, &Easygoing).unwrap();
        accounts_for_every_page(&machine);
        area.free(&machine, from_area).unwrap();
        drop(contig);
        let _ = machine.free_pages(page, Order::ZERO);
        for block in machine.allocated_blocks() {
            machine.free_pages(block.pfn, block.order).unwrap();
        }
        accounts_for_every_page(&machine);
        machine.drain_all();
        accounts_for_every_page(&machine);
    }
    assert_eq!(off_the_lists(machine.vmstat().total()), 0);
    Threads::become_cpu(0);
}

/// The events of the machine between two snapshots, zone Normal.
fn since(before: &VmStat, after: &VmStat, name: &str) -> u64 {
    let count = |stat: &VmStat| {
        let all: Vec<_> = stat.total().counts().chain(stat.machine.counts()).collect();
        let found: Vec<_> = all.iter().filter(|(other, _)| *other == name).collect();
        assert_eq!(found.len(), 1, "{name} is the name of one event");
        found[0].1
    };
    count(after) - count(before)
}

#[test]
fn the_fast_path_counts_nothing_and_the_slow_paths_their_batches() {
    let machine = mebibytes(64).no_reserve().build();
    let first = machine.alloc_pages(AllocRequest::unmovable()).unwrap();
    let refilled = machine.vmstat();
    let zero = VmStat { zones: Default::default(), machine: Default::default() };
    assert_eq!(since(&zero, &refilled, "pcp_refill"), 1);
    assert_eq!(since(&zero, &refilled, "zone_alloc"), 1);
    assert_eq!(since(&zero, &refilled, "pcp_refill_pages"), support::cached(&machine) as u64);
    // The lists of unmovable blocks were empty: a pageblock was claimed.
    assert_eq!(since(&zero, &refilled, "fallback"), 1);
    assert_eq!(since(&zero, &refilled, "fallback_claim"), 1);
    machine.free_pages(first, Order::ZERO).unwrap();
    for _ in 0..100 {
        let pfn = machine.alloc_pages(AllocRequest::unmovable()).unwrap();
        machine.free_pages(pfn, Order::ZERO).unwrap();
    }
    assert_eq!(machine.vmstat(), refilled, "nothing but the fast path");
    machine.drain_all();
    let drained = machine.vmstat();
    assert_eq!(since(&refilled, &drained, "pcp_drain"), 1);
    assert_eq!(
        since(&refilled, &drained, "pcp_drain_pages"),
        since(&zero, &refilled, "pcp_refill_pages") + 1
    );
    let large = machine.alloc_pages(AllocRequest::unmovable().order(Order::new(10))).unwrap();
    machine.free_pages(large, Order::new(10)).unwrap();
    let after = machine.vmstat();
    assert_eq!(
        (since(&drained, &after, "zone_alloc_pages"), since(&drained, &after, "zone_free_pages")),
        (1024, 1024)
    );
}

#[test]
fn a_drain_counts_pages_of_pageblocks_of_all_types() {
    let machine = mebibytes(64).no_reserve().build();
    let area = cma_area(&machine, range(8192, 8192 + 1024));
    let pages = support::fill(&machine, AllocRequest::movable());
    let (ours, others): (Vec<_>, Vec<_>) = pages.into_iter().partition(|page| area.range().contains(*page));
    let before = machine.vmstat();
    for (one, other) in ours.into_iter().zip(others).take(8) {
        machine.free_pages(one, Order::ZERO).unwrap();
        machine.free_pages(other, Order::ZERO).unwrap();
    }
    machine.drain_all();
    assert_eq!(since(&before, &machine.vmstat(), "pcp_drain_pages"), 16);
}

#[test]
fn a_full_list_spills() {
    let machine = mebibytes(256).no_reserve().build();
    let before = machine.vmstat();
    let blocks = support::fill(&machine, AllocRequest::unmovable());
    for pfn in &blocks {
        machine.free_pages(*pfn, Order::ZERO).unwrap();
    }
    let after = machine.vmstat();
    let (spills, pages) = (since(&before, &after, "pcp_spill"), since(&before, &after, "pcp_spill_pages"));
    assert!(spills > 0 && pages > spills);
    assert_eq!(pages, (blocks.len() - support::cached(&machine)) as u64);
}

#[test]
fn steals_leave_the_pageblock_its_type_and_claims_do_not() {
    let machine = mebibytes(16).no_reserve().build();
    let all = support::fill(&machine, AllocRequest::movable());
    let (one, other) = (all[0], all[1000]);
    for pfn in [one, other] {
        machine.free_pages(pfn, Order::ZERO).unwrap();
    }
    machine.drain_all();
    let before = machine.vmstat();
    machine.alloc_pages(AllocRequest::unmovable()).unwrap();
    let after = machine.vmstat();
    assert_eq!(since(&before, &after, "fallback_claim"), 0);
    assert_eq!(since(&before, &after, "fallback"), since(&before, &after, "fallback_steal"));
    assert!(since(&before, &after, "fallback_steal") > 0);
    let before = machine.vmstat();
    while machine.alloc_pages(AllocRequest::unmovable()).is_ok() {}
    let after = machine.vmstat();
    assert_eq!(since(&before, &after, "alloc_fail"), 1);
}

#[test]
fn migrations_are_counted_by_their_outcome() {
    let machine = normal::<pageblock::X86_64>(8).build();
    let block = || {
        let request = AllocRequest::movable().order(Order::new(2)).owner(1);
        machine.alloc_pages(request).unwrap()
    };
    let contig = |answer: &Answer<'_>, pfn: pageblock::Pfn| {
        let range = pageblock::PfnRange::with_len(pfn, 4);
        let before = machine.vmstat();
        let result = machine.alloc_contig(range, answer, ContigOptions::default().attempts(1));
        let succeeded = result.is_ok();
        drop(result);
        (before, machine.vmstat(), succeeded)
    };
    for (error, name) in [
        (MigrateError::Busy, "migrate_busy"),
        (MigrateError::Pinned, "migrate_pinned"),
        (MigrateError::Gone, "migrate_gone"),
    ] {
        let (before, after, succeeded) = contig(&Answer::new(|_| Err(error)), block());
        assert!(!succeeded);
        assert_eq!(
            (since(&before, &after, name), since(&before, &after, "pgmigrate_fail")),
            (1, 4),
            "{name}"
        );
        assert_eq!(since(&before, &after, "pgmigrate_success"), 0);
    }
    let (before, after, succeeded) = contig(&Answer::new(|_| Ok(())), block());
    assert!(succeeded);
    assert_eq!(
        (since(&before, &after, "pgmigrate_success"), since(&before, &after, "pgmigrate_fail")),
        (4, 0)
    );
    assert_eq!((since(&before, &after, "isolate"), since(&before, &after, "isolate_fail")), (1, 0));
    assert_eq!(
        (since(&before, &after, "contig_alloc_pages"), since(&before, &after, "contig_free_pages")),
        (4, 4)
    );
    // The owner frees the block while it is asked to move it.
    let own = block();
    let answer = Answer::new(|page| {
        machine.free_pages(page.from, page.order).unwrap();
        Err(MigrateError::Gone)
    });
    let (before, after, succeeded) = contig(&answer, own);
    assert!(succeeded);
    assert_eq!((since(&before, &after, "migrate_freed"), since(&before, &after, "pgmigrate_fail")), (1, 0));
}

#[test]
fn isolations_and_the_reserve_are_counted_in_pageblocks() {
    let machine = mebibytes(512).build();
    let before = machine.vmstat();
    let isolated = machine.isolate(range(1000, 2000)).unwrap();
    let during = machine.vmstat();
    assert_eq!(since(&before, &during, "pageblock_isolate"), 3);
    assert!(machine.isolate(range(1500, 1600)).is_err());
    drop(isolated);
    let after = machine.vmstat();
    assert_eq!(
        (since(&before, &after, "pageblock_isolate"), since(&before, &after, "pageblock_unisolate")),
        (3, 3)
    );
    assert_eq!((since(&before, &after, "isolate"), since(&before, &after, "isolate_fail")), (1, 1));
    machine.alloc_pages(AllocRequest::unmovable().order(Order::new(2)).depth(Depth::Atomic)).unwrap();
    let reserved = machine.vmstat();
    assert_eq!(since(&after, &reserved, "highatomic_reserve"), 1);
    // A pageblock that changes its type is not isolated, nor is it any more.
    assert_eq!(since(&after, &reserved, "pageblock_isolate"), 0);
    assert_eq!(since(&after, &reserved, "pageblock_unisolate"), 0);
    while machine.alloc_pages(AllocRequest::movable()).is_ok() {}
    assert_eq!(since(&reserved, &machine.vmstat(), "highatomic_unreserve"), 1);
}

#[test]
fn cma_allocations_are_counted() {
    let machine = mebibytes(32).build();
    let area = cma_area(&machine, range(1024, 2048));
    let before = machine.vmstat();
    area.alloc(&machine, 1000, Order::ZERO, &NoMigration).unwrap();
    area.alloc(&machine, 1000, Order::ZERO, &NoMigration).unwrap_err();
    let after = machine.vmstat();
    assert_eq!(
        (since(&before, &after, "cma_alloc_success"), since(&before, &after, "cma_alloc_fail")),
        (1, 1)
    );
}

#[test]
fn a_line_is_a_name_and_a_number() {
    let machine = mebibytes(32).build();
    machine.alloc_pages(AllocRequest::unmovable()).unwrap();
    let text = machine.vmstat().to_string();
    let names: std::collections::BTreeSet<_> = text
        .lines()
        .map(|line| {
            let (name, number) = line.split_once(' ').unwrap();
            number.parse::<u64>().unwrap();
            name
        })
        .collect();
    assert_eq!(names.len(), text.lines().count(), "no name twice:\n{text}");
    assert!(text.contains("zone_alloc 1\n") && text.contains("pgmigrate_success 0\n"), "{text}");
    assert!(!text.contains("pgalloc"), "it is not counted");
}

#[test]
fn threads_lose_no_count() {
    let machine = mebibytes(64).cpus(3).no_reserve().build();
    scope(|scope| {
        for cpu in 0..3 {
            let machine = &machine;
            scope.spawn(move || {
                Threads::become_cpu(cpu);
                for round in 0..300_usize {
                    let order = Order::new((round % 11) as u8);
                    let blocks: Vec<_> = (0..20)
                        .filter_map(|_| machine.alloc_pages(AllocRequest::movable().order(order)).ok())
                        .collect();
                    for pfn in blocks {
                        machine.free_pages(pfn, order).unwrap();
                    }
                    if round % 50 == 0 {
                        machine.drain_all();
                    }
                }
            });
        }
    });
    accounts_for_every_page(&machine);
}

on_every_geometry!(every_page_off_the_lists_is_accounted_for,);
