//! Pcplists: how they fill, spill and drain, and that an isolation misses no page on them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use pageblock::{
    AllocRequest, ContigOptions, Depth, Geometry, NoMigration, NoNotifier, Obstacle, Order, Pfn, PfnRange,
};

use crate::support::{
    self, Machine, SetOnDrop, Threads, cached, cma_area, fill, mebibytes, normal, on_every_geometry, part,
    range, scope, unit,
};

/// Batch and high mark of the zone that these machines allocate from.
fn limits(machine: &Machine) -> (usize, usize) {
    let zone = machine.zoneinfo().zones[1];
    (zone.batch, zone.high)
}

/// 256 MiB with room for a few batches on each CPU.
fn machine(cpus: usize) -> Machine {
    mebibytes(256).cpus(cpus).min_free(4000).build()
}

/// Runs `f` as another CPU.
fn on_cpu<R: Send>(cpu: usize, f: impl FnOnce() -> R + Send) -> R {
    scope(|scope| {
        let other = scope.spawn(move || {
            Threads::become_cpu(cpu);
            f()
        });
        other.join().unwrap()
    })
}

#[test]
fn a_refill_takes_a_batch() {
    let machine = machine(1);
    let (batch, _) = limits(&machine);
    assert!(batch > 1);
    let all = machine.free_count();
    machine.alloc_pages(AllocRequest::movable()).unwrap();
    assert_eq!((machine.free_count(), cached(&machine)), (all - batch, batch - 1));
    for n in 2..=batch {
        machine.alloc_pages(AllocRequest::movable()).unwrap();
        assert_eq!(
            (machine.free_count(), cached(&machine)),
            (all - batch, batch - n),
            "no lock of the zone is needed"
        );
    }
    machine.alloc_pages(AllocRequest::movable()).unwrap();
    assert_eq!(machine.free_count(), all - 2 * batch);
}

#[test]
fn a_refill_of_larger_blocks_takes_about_as_many_pages_and_at_least_two_blocks() {
    for order in 0..=3 {
        let machine = machine(1);
        let (batch, _) = limits(&machine);
        let all = machine.free_count();
        let order = Order::new(order);
        machine.alloc_pages(AllocRequest::unmovable().order(order)).unwrap();
        let taken = all - machine.free_count();
        assert_eq!(taken, (batch / order.pages()).max(2) * order.pages());
    }
}

#[test]
fn a_refill_near_the_floor_takes_only_what_lies_above_it() {
    for spare in [1, 2, 14, 15, 16, 29] {
        let machine = support::frames(&[(4096, 4096 + 65536)]).min_free(1000).build();
        let (batch, _) = limits(&machine);
        assert_eq!(batch, 15);
        let mut pages = fill(&machine, AllocRequest::movable());
        for _ in 0..spare {
            machine.free_pages(pages.pop().unwrap(), Order::ZERO).unwrap();
        }
        machine.drain_all();
        assert_eq!(machine.free_count(), 1000 + spare);
        machine.alloc_pages(AllocRequest::movable()).unwrap();
        assert_eq!(machine.free_count(), 1000 + spare - batch.min(spare));
    }
}

#[test]
fn a_free_above_the_high_mark_spills_a_batch() {
    let machine = machine(1);
    let (batch, high) = limits(&machine);
    let pages: Vec<Pfn> =
        (0..3 * high).map(|_| machine.alloc_pages(AllocRequest::movable()).unwrap()).collect();
    machine.drain_all();
    let mut spills = 0;
    for pfn in pages {
        let (free, held) = (machine.free_count(), cached(&machine));
        machine.free_pages(pfn, Order::ZERO).unwrap();
        if cached(&machine) < held {
            spills += 1;
            assert_eq!((held, cached(&machine)), (high, high + 1 - batch));
            assert_eq!(machine.free_count(), free + batch);
        } else {
            assert_eq!((cached(&machine), machine.free_count()), (held + 1, free));
        }
        assert!(cached(&machine) <= high);
    }
    assert!(spills > 2, "{spills} spills");
    machine.verify().unwrap();
}

#[test]
fn orders_up_to_a_pageblock_are_cached_and_larger_ones_are_not() {
    let machine = mebibytes(1024).build();
    for order in 0..=10 {
        let order = Order::new(order);
        let pfn = machine.alloc_pages(AllocRequest::movable().order(order)).unwrap();
        machine.drain_all();
        machine.free_pages(pfn, order).unwrap();
        let expected = if order.get() <= 9 { order.pages() } else { 0 };
        assert_eq!(cached(&machine), expected, "{order}");
        machine.drain_all();
    }
}

#[test]
fn each_cpu_has_its_own_pages() {
    let machine = machine(2);
    let hot = machine.alloc_pages(AllocRequest::movable()).unwrap();
    on_cpu(1, || machine.free_pages(hot, Order::ZERO).unwrap());
    let here: Vec<Pfn> = (0..200).map(|_| machine.alloc_pages(AllocRequest::movable()).unwrap()).collect();
    assert!(!here.contains(&hot), "it is on the other CPU's list");
    assert_eq!(on_cpu(1, || machine.alloc_pages(AllocRequest::movable())), Ok(hot));
}

#[test]
fn any_cpu_drains_the_lists_of_all() {
    let machine = machine(4);
    let all = machine.free_count();
    for cpu in 0..4 {
        on_cpu(cpu, || {
            // More of each than a drain gives back in one lock hold.
            for (order, blocks) in [(0, 150), (1, 150), (2, 80), (3, 70), (9, 1)] {
                let order = Order::new(order);
                let request = AllocRequest::unmovable().order(order);
                let blocks: Vec<Pfn> = (0..blocks).map(|_| machine.alloc_pages(request).unwrap()).collect();
                blocks.into_iter().for_each(|pfn| machine.free_pages(pfn, order).unwrap());
            }
        });
    }
    assert!(cached(&machine) > 1000);
    on_cpu(2, || machine.drain_all());
    assert_eq!((machine.free_count(), cached(&machine)), (all, 0));
}

#[test]
fn cpu_numbers_beyond_the_count_wrap_around() {
    let machine = machine(2);
    let hot = machine.alloc_pages(AllocRequest::movable()).unwrap();
    on_cpu(7, || machine.free_pages(hot, Order::ZERO).unwrap());
    assert_eq!(on_cpu(1, || machine.alloc_pages(AllocRequest::movable())), Ok(hot));
}

#[test]
fn pages_cached_elsewhere_are_found_before_a_request_fails() {
    let machine = mebibytes(16).cpus(2).no_reserve().build();
    let pages = fill(&machine, AllocRequest::movable());
    on_cpu(1, || machine.free_pages(pages[9], Order::ZERO).unwrap());
    assert_eq!((machine.free_count(), cached(&machine)), (0, 1));
    assert_eq!(machine.alloc_pages(AllocRequest::movable()), Ok(pages[9]));
    // An interrupt handler does not drain, but takes what it needs.
    on_cpu(1, || machine.free_pages(pages[9], Order::ZERO).unwrap());
    assert_eq!(machine.alloc_pages(AllocRequest::movable().depth(Depth::Atomic)), Ok(pages[9]));
}

#[test]
fn cma_pages_are_cached_for_movable_requests() {
    let machine = mebibytes(32).no_reserve().build();
    let area = cma_area(&machine, range(4096, 8192));
    let pages = fill(&machine, AllocRequest::movable());
    let inside = pages.into_iter().find(|pfn| area.range().contains(*pfn)).unwrap();
    machine.free_pages(inside, Order::ZERO).unwrap();
    assert_eq!((cached(&machine), machine.free_cma_count()), (1, 0), "a cached page is not a free CMA page");
    assert!(
        machine.alloc_pages(AllocRequest::unmovable()).is_err(),
        "not even after the drain that this makes"
    );
    assert_eq!(machine.free_cma_count(), 1);
    assert_eq!(machine.alloc_pages(AllocRequest::movable()), Ok(inside));
}

fn a_page_freed_in_an_isolated_pageblock_is_not_cached<G: Geometry>() {
    let machine = normal::<G>(4).build_as::<G>();
    for order in [Order::ZERO, G::PAGEBLOCK_ORDER.min(G::MAX_ORDER)] {
        let pfn = machine.alloc_pages(AllocRequest::movable().order(order)).unwrap();
        machine.drain_all();
        let isolated = machine.isolate(PfnRange::with_len(pfn, 1)).unwrap();
        let before = machine.isolated_count();
        machine.free_pages(pfn, order).unwrap();
        assert_eq!((cached(&machine), machine.isolated_count()), (0, before + order.pages()));
        drop(isolated);
    }
    machine.verify().unwrap();
}

fn cached_pages_never_hide_from_an_isolator<G: Geometry + Send + Sync>() {
    // The window that Linux leaves open: state read, isolation and drain, page put on a pcplist.
    let machine = normal::<G>(4).cpus(3).build_as::<G>();
    let stop = AtomicBool::new(false);
    scope(|scope| {
        for cpu in 1..3 {
            let (machine, stop) = (&machine, &stop);
            scope.spawn(move || {
                Threads::become_cpu(cpu);
                while !stop.load(Ordering::Relaxed) {
                    let pages: Vec<Pfn> =
                        (0..3).map_while(|_| machine.alloc_pages(AllocRequest::movable()).ok()).collect();
                    pages.into_iter().for_each(|pfn| machine.free_pages(pfn, Order::ZERO).unwrap());
                }
            });
        }
        let _stop = SetOnDrop(&stop);
        let start = Instant::now();
        for round in 0..500 {
            // On a busy machine the rounds are fewer.
            if round > 50 && start.elapsed() > Duration::from_secs(2) {
                break;
            }
            let range = part::<G>(round % 4 * unit::<G>(), unit::<G>());
            let mut isolated = machine.isolate(range).unwrap();
            if let Err(not_free) = isolated.test() {
                let reason = not_free.reason;
                assert!(matches!(reason, Obstacle::NotMigrated(_)), "{}: {reason}", not_free.pfn);
            }
        }
    });
    machine.drain_all();
    machine.verify().unwrap();
    assert_eq!(machine.free_count(), 4 * unit::<G>());
}

on_every_geometry!(
    a_page_freed_in_an_isolated_pageblock_is_not_cached,
    cached_pages_never_hide_from_an_isolator
);

#[test]
fn an_isolation_takes_its_own_pages_off_the_lists_and_no_other() {
    let machine = mebibytes(4096).cpus(2).build();
    // Each CPU has blocks of two pageblocks at hand.
    let frames: Vec<_> = (0..2)
        .flat_map(|cpu| {
            on_cpu(cpu, || {
                let block = Order::new(9);
                let taken: Vec<_> = (0..2)
                    .map(|_| machine.alloc_pages(AllocRequest::movable().order(block)).unwrap())
                    .collect();
                taken.into_iter().inspect(|pfn| machine.free_pages(*pfn, block).unwrap()).collect::<Vec<_>>()
            })
        })
        .collect();
    let before = cached(&machine);
    let mine = PfnRange::with_len(frames[0], 512);
    let isolated = machine.isolate(mine).unwrap();
    assert_eq!(machine.isolated_count(), 512);
    assert_eq!(cached(&machine), before - 512, "the others are still at hand");
    assert!(machine.audit().is_exact());
    drop(isolated);
    assert_eq!(cached(&machine), before - 512);
}

#[test]
fn an_isolation_drains_lists_that_are_longer_than_a_batch() {
    let machine = mebibytes(1024).build();
    let pages: Vec<Pfn> = (0..1000).map(|_| machine.alloc_pages(AllocRequest::movable()).unwrap()).collect();
    pages.iter().for_each(|pfn| machine.free_pages(*pfn, Order::ZERO).unwrap());
    let block = Order::new(9).block(Order::new(9).align_down(pages[0]));
    let here = pages.iter().filter(|pfn| block.contains(**pfn)).count();
    assert!(here > 4 * 64 && cached(&machine) >= 1000, "{here} cached pages of one pageblock");
    let mut isolated = machine.isolate(block).unwrap();
    assert!(isolated.test().is_ok(), "every page of it is free and isolated");
}

#[test]
fn a_list_whose_limit_is_zero_holds_nothing() {
    // As many CPUs as leave none of them a page of its own.
    let machine = support::frames(&[(4096, 4096 + 512)]).no_reserve().cpus(64).build();
    let pages = fill(&machine, AllocRequest::movable());
    assert_eq!((pages.len(), limits(&machine).1), (512, 0));
    pages.into_iter().for_each(|pfn| machine.free_pages(pfn, Order::ZERO).unwrap());
    assert_eq!((cached(&machine), machine.free_count()), (0, 512));
    machine.verify().unwrap();
}

#[test]
fn a_list_whose_limit_becomes_zero_is_emptied_and_stays_empty() {
    let machine = support::frames(&[(4096, 4096 + 1024)]).no_reserve().cpus(16).build();
    assert_eq!(limits(&machine).1, 1);
    let pages = fill(&machine, AllocRequest::movable());
    for &pfn in pages.iter().filter(|pfn| pfn.number() >= 4096 + 512) {
        machine.free_pages(pfn, Order::ZERO).unwrap();
    }
    let kept: Vec<Pfn> = pages.into_iter().filter(|pfn| pfn.number() < 4096 + 512).collect();
    machine.drain_all();
    machine.free_pages(kept[0], Order::ZERO).unwrap();
    assert_eq!(cached(&machine), 1);
    let upper = PfnRange::with_len(Pfn::new(4096 + 512), 512);
    let offline = machine.offline(upper, &NoMigration, &NoNotifier, ContigOptions::default()).unwrap().0;
    assert_eq!((limits(&machine).1, cached(&machine)), (0, 0), "the page in it has left it");
    machine.free_pages(kept[1], Order::ZERO).unwrap();
    assert_eq!((cached(&machine), machine.free_count()), (0, 2));
    machine.verify().unwrap();
    machine.online(offline, &NoNotifier).unwrap();
    machine.free_pages(kept[2], Order::ZERO).unwrap();
    assert_eq!(cached(&machine), 1, "the list is in use again");
}
