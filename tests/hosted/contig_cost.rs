//! What contiguous memory costs, and what it may take: places, migrations, watermarks and zones.

use std::collections::BTreeSet;
use std::thread;

use crate::support::{
    self, Even, Machine, Meeting, Owners, Spanning, Threads, Wide, Zoned, cma_area, fill, frames, mebibytes,
    range,
};
use pageblock::{
    AllocRequest, CmaArea, CmaError, ContigError, ContigOptions, ContigPlace, Depth, FreeError, Geometry,
    IsolateError, Migrate, MigrateError, Move, NoMigration, NoNotifier, Obstacle, Order, Pfn, PfnRange,
    X86_64, ZoneKind,
};

fn options() -> ContigOptions {
    ContigOptions::default()
}

/// Lets every page be moved but these.
#[derive(Debug, Default)]
struct Except(BTreeSet<usize>);

impl Migrate for Except {
    fn migrate(&self, page: Move) -> Result<(), MigrateError> {
        if self.0.contains(&page.from.number()) { Err(MigrateError::Pinned) } else { Ok(()) }
    }
}

/// A CMA area of this many MiB at 64 MiB, full of movable pages, and as much free memory elsewhere.
fn full_area(mib: usize) -> (Machine, CmaArea<'static>) {
    let machine = mebibytes(64 + 2 * mib).no_reserve().build();
    let area = cma_area(&machine, PfnRange::with_len(Pfn::new(64 << 8), mib << 8));
    let pages = fill(&machine, AllocRequest::movable().owner(1));
    for pfn in pages.into_iter().filter(|pfn| !area.range().contains(*pfn)) {
        machine.free_pages(pfn, Order::ZERO).unwrap();
    }
    machine.drain_all();
    assert_eq!(machine.free_cma_count(), 0);
    (machine, area)
}

#[test]
fn one_pinned_page_costs_one_place() {
    for (at, align) in [(2000, 0), (2000, 4), (2000, 8), (0, 0), (2047, 0), (1, 9)] {
        let (machine, area) = full_area(64);
        let pinned = Except(BTreeSet::from([area.range().start().number() + at]));
        let got = area.alloc(&machine, 2048, Order::new(align), &pinned).unwrap();
        let next = (at + 1).next_multiple_of(1 << align);
        assert_eq!(got.start().number(), area.range().start().number() + next, "at {at}, align {align}");
        let stats = area.stats(&machine);
        assert_eq!(stats.busy, 1, "at {at}, align {align}: one place fails, the second is taken");
        // What was moved above the pinned page stays moved: only the alignment is moved for
        // nothing.
        assert!(stats.migrated_pages <= 2048 + (1 << align), "{} pages", stats.migrated_pages);
        machine.verify().unwrap();
    }
}

#[test]
fn pins_everywhere_cost_a_place_each() {
    for mib in [64, 256] {
        for align in [0, 4, 8] {
            let (machine, area) = full_area(mib);
            let frames = area.range().iter().map(Pfn::number);
            let pinned = Except(frames.step_by(1024).collect());
            let error = area.alloc(&machine, 2048, Order::new(align), &pinned).unwrap_err();
            assert!(matches!(error, CmaError::Busy(ContigError::Busy { .. })), "{error}");
            let stats = area.stats(&machine);
            assert!(stats.busy <= pinned.0.len(), "{} places, {} pins", stats.busy, pinned.0.len());
            assert!(stats.migrated_pages <= area.range().len(), "{} pages", stats.migrated_pages);
            // The gaps between the pins are still to be had.
            assert!(area.alloc(&machine, 700, Order::new(align), &pinned).is_ok());
        }
    }
}

#[test]
fn pages_that_are_busy_for_a_while_do_not_end_the_try() {
    let (machine, area) = full_area(8);
    let asked = std::cell::RefCell::new(BTreeSet::new());
    // Each page is busy when it is asked for the first time.
    let shy = support::Answer::new(|page: Move| {
        if asked.borrow_mut().insert(page.from.number()) { Err(MigrateError::Busy) } else { Ok(()) }
    });
    assert_eq!(area.alloc(&machine, 2048, Order::ZERO, &shy).unwrap(), area.range());
    assert_eq!(area.stats(&machine).busy, 0);
}

#[test]
fn offline_parts_of_an_area_are_found_before_anything_is_moved() {
    let (machine, area) = full_area(64);
    let start = area.range().start().number();
    let gone = range(start + 1024, start + 9 * 1024);
    let (_offline, _) = machine.offline(gone, &Except::default(), &NoNotifier, options()).unwrap();
    let got = area.alloc(&machine, 2048, Order::ZERO, &Except::default()).unwrap();
    assert_eq!(got.start(), gone.end());
    let stats = area.stats(&machine);
    assert_eq!((stats.busy, stats.migrated_pages), (0, 2048));
    // Nothing is long enough: the error names a frame that is in the way.
    let error = area.alloc(&machine, 8192, Order::ZERO, &Except::default()).unwrap_err();
    let offline = |reason| matches!(reason, Obstacle::NotManaged(_));
    assert!(
        matches!(error, CmaError::Busy(ContigError::Isolate(IsolateError::Unmovable { pfn, reason }))
            if gone.contains(pfn) && offline(reason)),
        "{error}"
    );
    assert_eq!(area.stats(&machine).busy, 0);
}

#[test]
fn a_search_in_an_offline_area_ends_at_once() {
    let machine = mebibytes(2048).no_reserve().build();
    let area = cma_area(&machine, PfnRange::with_len(Pfn::new(1 << 18), 1 << 18));
    let (_offline, _) = machine.offline(area.range(), &NoMigration, &NoNotifier, options()).unwrap();
    assert!(area.alloc(&machine, 16, Order::ZERO, &NoMigration).is_err());
    assert_eq!(area.stats(&machine).busy, 0);
}

#[test]
fn a_search_for_a_place_moves_nothing_twice() {
    let machine = mebibytes(256).no_reserve().build();
    let owners = Owners::new();
    owners.fill(&machine, 128 << 8);
    let first = Pfn::new(0);
    let stones: BTreeSet<_> = (0..32).map(|n| first.number() + 1024 * n + 900).collect();
    let moved = std::cell::Cell::new(0);
    let pinned = support::Answer::new(|page: Move| {
        if stones.contains(&page.from.number()) {
            return Err(MigrateError::Pinned);
        }
        moved.set(moved.get() + 1);
        owners.migrate(page)
    });
    let place = ContigPlace::default();
    let got = machine.alloc_contig_pages(4096, place, &pinned, options()).unwrap();
    assert!(stones.iter().all(|stone| !got.range().contains(Pfn::new(*stone))));
    assert!(moved.get() <= 128 << 8, "{} moves", moved.get());
    machine.verify().unwrap();
}

/// Runs `f` on 64 CPUs, which all keep what it returns until the last has it.
fn on_64_cpus<R>(f: impl Fn(usize) -> R + Sync) {
    let meeting = Meeting::of(64);
    thread::scope(|scope| {
        for cpu in 0..64 {
            let (f, meeting) = (&f, &meeting);
            scope.spawn(move || {
                Threads::become_cpu(cpu);
                let attendance = meeting.attend();
                let held = f(cpu);
                attendance.wait();
                drop(held);
            });
        }
    });
}

#[test]
fn as_many_cpus_as_there_are_isolate_at_once() {
    let machine = mebibytes(2048).cpus(64).no_reserve().build();
    let free = machine.free_count();
    // Each a part of its own pageblock, parts of one pageblock, and many of them.
    on_64_cpus(|cpu| machine.isolate(range((cpu + 16) * 512, (cpu + 16) * 512 + 300)).unwrap());
    on_64_cpus(|cpu| machine.isolate(range(8192 + cpu * 8, 8192 + cpu * 8 + 8)).unwrap());
    on_64_cpus(|cpu| {
        let at = (cpu + 16) * 512;
        (0..40).map(|n| machine.isolate(range(at + n, at + n + 1)).unwrap()).collect::<Vec<_>>()
    });
    assert_eq!((machine.free_count(), machine.isolated_count()), (free, 0));
    machine.verify().unwrap();
}

#[test]
fn as_many_cpus_as_there_are_get_contiguous_memory_at_once() {
    let machine = mebibytes(2048).cpus(64).no_reserve().build();
    let free = machine.free_count();
    let area = cma_area(&machine, range(1 << 16, 1 << 17));
    on_64_cpus(|_| area.alloc(&machine, 1000, Order::ZERO, &NoMigration).unwrap());
    assert_eq!((area.stats(&machine).succeeded, area.stats(&machine).failed), (64, 0));
    let place = ContigPlace::default();
    on_64_cpus(|_| machine.alloc_contig_pages(1000, place, &NoMigration, options()).unwrap());
    machine.verify().unwrap();
    assert_eq!(machine.free_count() + area.stats(&machine).used, free);
}

#[test]
fn an_overlap_names_the_range_that_is_isolated() {
    let machine = mebibytes(64).no_reserve().build();
    let held = machine.isolate(range(4100, 9000)).unwrap();
    for wanted in [range(4099, 4101), range(8999, 9001), range(5000, 5001), range(4096, 16_384)] {
        let error = machine.isolate(wanted).unwrap_err();
        assert_eq!(error, IsolateError::Overlap { range: wanted, with: held.range() });
    }
    assert!(machine.isolate(range(9000, 9001)).is_ok() && machine.isolate(range(4099, 4100)).is_ok());
    // Ranges that touch are named as one.
    let beside = machine.isolate(range(9000, 9100)).unwrap();
    let error = machine.isolate(range(9050, 9051)).unwrap_err();
    assert_eq!(error, IsolateError::Overlap { range: range(9050, 9051), with: range(4100, 9100) });
    drop((held, beside));
    assert!(machine.isolate(range(4096, 16_384)).is_ok());
}

#[test]
fn of_two_isolations_that_overlap_one_succeeds() {
    let machine = mebibytes(64).no_reserve().build();
    let free = machine.free_count();
    let ranges = [range(4096 + 100, 4096 + 9 * 512), range(4096 + 3 * 512 - 7, 4096 + 11 * 512)];
    let (begin, end) = (std::sync::Barrier::new(2), std::sync::Barrier::new(2));
    let succeeded = std::sync::atomic::AtomicUsize::new(0);
    thread::scope(|scope| {
        for own in ranges {
            let (machine, begin, end, succeeded) = (&machine, &begin, &end, &succeeded);
            scope.spawn(move || {
                for round in 1..=3000 {
                    begin.wait();
                    let held = machine.isolate(own);
                    succeeded.fetch_add(usize::from(held.is_ok()), std::sync::atomic::Ordering::Relaxed);
                    end.wait();
                    drop(held);
                    // One holds its range until both have tried, so that the other one is refused.
                    let so_far = succeeded.load(std::sync::atomic::Ordering::Relaxed);
                    assert_eq!(so_far, round, "each time one of the two succeeds");
                    begin.wait();
                }
            });
        }
    });
    assert_eq!((machine.free_count(), machine.isolated_count()), (free, 0));
    machine.verify().unwrap();
}

#[test]
fn a_contiguous_allocation_leaves_the_min_watermark() {
    let machine = mebibytes(64).min_free(1024).build();
    let marks = |kind: ZoneKind| machine.zoneinfo().zones[kind as usize].watermarks;
    let (free, min) = (machine.free_count(), marks(ZoneKind::Dma32).min);
    assert!(min > 0);
    let zone = range(4096, 64 << 8);
    let spare = |pages| PfnRange::with_len(Pfn::new(zone.start().number() + 3), pages);
    // One page too many, by each depth; then all that there is.
    for depth in [Depth::Normal, Depth::Atomic] {
        let floor = if depth == Depth::Normal { min } else { min.div_ceil(2) - min.div_ceil(2) / 4 };
        let all = zone.len() - floor;
        let options = options().depth(depth);
        let error = support::unchanged(&machine, || {
            let drains = machine.vmstat().machine.drains;
            let error = machine.alloc_contig(spare(all + 1), &NoMigration, options).unwrap_err();
            // That of the isolation, and another one before the request is refused.
            let more = u64::from(depth == Depth::Normal);
            assert_eq!(machine.vmstat().machine.drains - drains, 1 + more, "an atomic one does not wait");
            error
        });
        assert_eq!(error, ContigError::BelowMark { zone: ZoneKind::Dma32, left: floor - 1, floor });
        let taken = machine.alloc_contig(spare(all), &NoMigration, options).unwrap();
        assert_eq!(machine.free_count(), free - all);
        drop(taken);
    }
    let deepest = options().depth(Depth::Emergency);
    assert!(machine.alloc_contig(zone, &NoMigration, deepest).is_ok());
    // Pages on pcplists are not counted as free, and are there all the same: here some at the end
    // of the zone, which the isolation of the range does not drain.
    let mut pages = fill(&machine, AllocRequest::movable().depth(Depth::Emergency));
    pages.sort_unstable();
    for pfn in pages {
        machine.free_pages(pfn, Order::ZERO).unwrap();
    }
    assert!(support::cached(&machine) > 0);
    let all = machine.alloc_contig(spare(zone.len() - min), &NoMigration, options());
    assert!(all.is_ok());
}

#[test]
fn what_comes_back_beside_a_range_counts_once_for_the_mark() {
    let machine = mebibytes(64).min_free(1024).build();
    let zone = range(4096, 64 << 8);
    let floor = machine.zoneinfo().zones[ZoneKind::Dma32 as usize].watermarks.min;
    // All but 511 pages above the mark, at the start of the zone.
    let rest = PfnRange::new(Pfn::new(zone.start().number() + floor + 511), zone.end());
    let _rest = machine.alloc_contig(rest, &NoMigration, options()).unwrap();
    // A half of each of two pageblocks.
    let halves = PfnRange::with_len(Pfn::new(zone.start().number() + 256), 512);
    let error = machine.alloc_contig(halves, &NoMigration, options()).unwrap_err();
    assert_eq!(error, ContigError::BelowMark { zone: ZoneKind::Dma32, left: floor - 1, floor });
    let fewer = PfnRange::with_len(halves.start(), 511);
    assert!(machine.alloc_contig(fewer, &NoMigration, options()).is_ok());
}

#[test]
fn pages_that_migrate_count_as_well() {
    let machine = mebibytes(64).min_free(1024).build();
    let owners = Owners::new();
    owners.fill(&machine, 40 << 8);
    machine.drain_all();
    let free = machine.free_count();
    let place = ContigPlace::default();
    // Down to min for the range and the blocks that its pages move to, not below.
    let error = machine.alloc_contig_pages(30 << 8, place, &owners, options()).unwrap_err();
    assert!(matches!(error, ContigError::NoMemory { .. } | ContigError::BelowMark { .. }), "{error}");
    machine.drain_all();
    assert_eq!(machine.free_count(), free);
    let zone = &machine.zoneinfo().zones;
    assert!(zone.iter().all(|zone| zone.free >= zone.watermarks.min), "no zone is below min");
    let taken = machine.alloc_contig_pages(5 << 8, place, &owners, options()).unwrap();
    machine.drain_all();
    assert_eq!(machine.free_count(), free - taken.range().len());
}

#[test]
fn a_lower_zone_is_tried_when_one_is_at_its_mark() {
    let machine = frames(&[(0, 6000)]).min_free(600).build_as::<Zoned>();
    let place = ContigPlace::default();
    let first = machine.alloc_contig_pages(1700, place, &NoMigration, options()).unwrap();
    assert!(first.range().start().number() >= 4096);
    let second = machine.alloc_contig_pages(400, place, &NoMigration, options()).unwrap();
    assert!(second.range().end().number() <= 4096, "{}", second.range());
    let error = machine.alloc_contig_pages(2800, place, &NoMigration, options()).unwrap_err();
    assert!(matches!(error, ContigError::BelowMark { .. } | ContigError::NoPlace { .. }), "{error}");
}

#[test]
fn a_range_that_may_be_in_a_higher_zone_leaves_the_lowmem_reserve_of_a_lower_one() {
    let machine = frames(&[(0, 6000)]).min_free(600).build_as::<Zoned>();
    let alloc = |pages| machine.alloc_contig_pages(pages, ContigPlace::default(), &NoMigration, options());
    let _high = alloc(1700).unwrap();
    let low = machine.zoneinfo().zones[ZoneKind::Dma32 as usize];
    let reserve = low.lowmem_reserve[ZoneKind::Normal as usize];
    assert!(reserve > 0);
    let most = low.free - low.watermarks.min - reserve;
    assert!(alloc(most + 1).is_err());
    assert_eq!(alloc(most).unwrap().range().len(), most);
}

#[test]
fn the_range_of_an_area_is_its_own_and_its_targets_are_not() {
    let machine = mebibytes(64).min_free(1024).build();
    let area = cma_area(&machine, range(32 << 8, 48 << 8));
    let _low = fill(&machine, AllocRequest::unmovable().depth(Depth::Emergency));
    assert!(area.alloc(&machine, area.range().len(), Order::ZERO, &NoMigration).is_ok());
}

#[test]
fn a_block_of_a_low_zone_stays_in_the_zones_that_it_was_asked_for() {
    for order in [0, 1, 5, 9].map(Order::new) {
        for highest in ZoneKind::ALL {
            let machine = frames(&[(0, 4096), (4096, 64 << 8), (1 << 20, (1 << 20) + (32 << 8))]).build();
            let request = AllocRequest::movable().order(order).owner(7).depth(Depth::Emergency);
            let at = machine.alloc_pages(request.highest_zone(highest)).unwrap();
            let limit = [4096, 1 << 20, usize::MAX][highest as usize];
            assert!(at.number() < limit);
            // Again and again: where it moved to is remembered as well.
            let seen = std::cell::Cell::new(at);
            for _ in 0..3 {
                let here = seen.get();
                let follow = support::Answer::new(|page: Move| {
                    assert_eq!((page.from, page.order, page.owner), (here, order, 7));
                    assert!(page.to.number() < limit, "{highest}: {} moved to {}", page.from, page.to);
                    seen.set(page.to);
                    Ok(())
                });
                drop(machine.alloc_contig(order.block(here), &follow, options()).unwrap());
                assert_ne!(seen.get(), here);
            }
            machine.free_pages(seen.get(), order).unwrap();
            machine.verify().unwrap();
        }
    }
}

#[test]
fn a_block_that_may_be_anywhere_leaves_a_low_zone() {
    // All of DMA32 is full of pages that could be anywhere: an area there can still be emptied.
    let machine = frames(&[(0, 64 << 8), (1 << 20, (1 << 20) + (64 << 8))]).no_reserve().build();
    let area = cma_area(&machine, range(32 << 8, 48 << 8));
    let owners = Owners::new();
    let count = owners.fill(&machine, usize::MAX);
    for (word, ..) in owners.all().into_iter().filter(|(_, pfn, _)| pfn.number() >= 1 << 20) {
        owners.free(&machine, word);
    }
    assert!(owners.all().len() < count);
    assert!(area.alloc(&machine, area.range().len(), Order::ZERO, &owners).is_ok());
}

#[test]
fn a_block_without_room_in_its_zones_is_not_moved() {
    let machine = frames(&[(0, 4096), (4096, 64 << 8)]).no_reserve().build();
    let pages = fill(&machine, AllocRequest::movable().highest_zone(ZoneKind::Dma).owner(1));
    let error = machine.alloc_contig(range(100, 101), &support::Easygoing, options()).unwrap_err();
    assert!(matches!(error, ContigError::NoMemory { pfn, .. } if pfn.number() == 100), "{error}");
    assert!(pages.iter().all(|pfn| machine.owner(*pfn, Order::ZERO) == Ok(1)));
}

#[test]
fn the_halves_of_a_block_keep_its_zones() {
    let machine = frames(&[(0, 4096), (4096, 64 << 8)]).build();
    let request = AllocRequest::movable().order(Order::new(3)).highest_zone(ZoneKind::Dma);
    let whole = machine.alloc(request.depth(Depth::Emergency)).unwrap();
    let (low, high) = whole.split().unwrap();
    for half in [low, high] {
        let at = half.range();
        let follow = support::Answer::new(|page: Move| {
            assert!(page.to.number() < 4096, "{} moved to {}", page.from, page.to);
            Err(MigrateError::Busy)
        });
        machine.alloc_contig(at, &follow, options().attempts(1)).unwrap_err();
    }
}

#[test]
fn a_range_of_an_area_is_freed_by_the_area_alone() {
    let machine = mebibytes(64).no_reserve().build();
    let area = cma_area(&machine, range(32 << 8, 48 << 8));
    let got = area.alloc(&machine, 1000, Order::ZERO, &NoMigration).unwrap();
    let inside = PfnRange::with_len(Pfn::new(got.start().number() + 7), 10);
    for part in [got, inside] {
        let error = support::unchanged(&machine, || machine.free_contig(part).unwrap_err());
        assert_eq!(error, FreeError::OfCmaArea { pfn: part.start() });
    }
    // A range beside it that is not the area's: neither call frees both.
    let other =
        machine.alloc_contig(range(got.end().number(), got.end().number() + 100), &NoMigration, options());
    let other = other.unwrap().into_raw();
    let both = PfnRange::new(inside.start(), other.end());
    let error = support::unchanged(&machine, || machine.free_contig(both).unwrap_err());
    assert_eq!(error, FreeError::OfCmaArea { pfn: both.start() });
    assert_eq!(area.free(&machine, both), Err(CmaError::NotOurs { range: both }));
    assert_eq!(area.free(&machine, other), Err(CmaError::NotOurs { range: other }));
    machine.free_contig(other).unwrap();
    // Freed in pieces, the rest is still the area's.
    area.free(&machine, inside).unwrap();
    let rest = PfnRange::new(inside.end(), got.end());
    assert_eq!(machine.free_contig(rest), Err(FreeError::OfCmaArea { pfn: rest.start() }));
    area.free(&machine, PfnRange::new(got.start(), inside.start())).unwrap();
    area.free(&machine, rest).unwrap();
    assert_eq!(area.stats(&machine).used, 0);
    assert_eq!(area.alloc(&machine, 16 << 8, Order::ZERO, &NoMigration), Ok(area.range()));
}

#[test]
fn an_area_takes_nothing_of_another_allocator() {
    let (machine, other) = (mebibytes(64).build(), mebibytes(64).build());
    let area = cma_area(&machine, range(32 << 8, 48 << 8));
    let wrong = Err(CmaError::OtherAllocator { area: area.range() });
    let got = support::unchanged(&other, || {
        assert_eq!(area.alloc(&other, 10, Order::ZERO, &NoMigration), wrong);
        let got = area.alloc(&machine, 10, Order::ZERO, &NoMigration).unwrap();
        assert_eq!(area.free(&other, got), wrong.map(|_| ()));
        got
    });
    // The allocator may move: it is the same one.
    let machine = Box::new(machine);
    area.free(&machine, got).unwrap();
    assert_eq!(area.stats(&machine).used, 0);
}

/// Allocates and frees a movable page under `guard_below`, with what `f` does between the two, and
/// checks that no guard is left.
fn guards_go<G: Geometry>(guard_below: u8, f: impl FnOnce(&Machine<G>, PfnRange, &dyn Fn())) {
    let machine = frames(&[(0, 4096)])
        .tune(|tuning| tuning.guard_below(Order::new(guard_below)))
        .no_reserve()
        .build_as::<G>();
    let free = machine.free_count();
    let pfn = machine.alloc_pages(AllocRequest::movable().owner(1)).unwrap();
    let pageblock = G::PAGEBLOCK_ORDER.block(G::PAGEBLOCK_ORDER.align_down(pfn));
    assert!(machine.verify().unwrap().total().guard >= (1 << guard_below) - 1);
    f(&machine, pageblock, &|| machine.free_pages(pfn, Order::ZERO).unwrap());
    machine.drain_all();
    let census = machine.verify().unwrap().total();
    assert_eq!((census.guard, census.allocated), (0, 0), "guards below {guard_below}");
    assert_eq!(machine.free_count() + census.offline, free, "guards below {guard_below}");
}

fn guards_go_with_their_block<G: Geometry>(guard_below: u8) {
    guards_go::<G>(guard_below, |_, _, free| free());
    guards_go::<G>(guard_below, |machine, pageblock, free| {
        free(); // cached
        let area = cma_area(machine, pageblock);
        assert_eq!(machine.free_cma_count(), area.range().len());
    });
    guards_go::<G>(guard_below, |machine, pageblock, free| {
        let isolated = machine.isolate(pageblock).unwrap();
        free();
        machine.verify().unwrap();
        drop(isolated);
    });
    guards_go::<G>(guard_below, |machine, pageblock, free| {
        free();
        drop(machine.alloc_contig(pageblock, &NoMigration, options()).unwrap());
    });
    guards_go::<G>(guard_below, |machine, pageblock, free| {
        free();
        let (_offline, _) = machine.offline(pageblock, &NoMigration, &NoNotifier, options()).unwrap();
    });
    guards_go::<G>(guard_below, |machine, pageblock, free| {
        free();
        let (offline, _) = machine.offline(pageblock, &NoMigration, &NoNotifier, options()).unwrap();
        machine.online(offline, &NoNotifier).unwrap();
    });
}

#[test]
fn guards_go_with_their_block_whatever_its_pageblock_became() {
    (1..=10).for_each(guards_go_with_their_block::<X86_64>);
    (1..=10).for_each(guards_go_with_their_block::<Wide>);
    (1..=10).for_each(guards_go_with_their_block::<Even>);
    (1..=4).for_each(guards_go_with_their_block::<Spanning>);
}

#[test]
fn pages_that_another_isolation_keeps_isolated_do_not_count_for_the_watermark() {
    let machine = frames(&[(0, 4096)]).min_free(1000).build();
    let options = ContigOptions::default();
    let _most = machine.alloc_contig(range(1000, 3996), &NoMigration, options).unwrap();
    machine.drain_all();
    assert_eq!(machine.free_count(), 1100);
    let held = machine.isolate(range(0, 1)).unwrap();
    let error = machine.alloc_contig(range(256, 264), &NoMigration, options).unwrap_err();
    assert_eq!(error, ContigError::BelowMark { zone: ZoneKind::Dma, left: 1100 - 512, floor: 1000 });
    drop(held);
    let taken = machine.alloc_contig(range(256, 264), &NoMigration, options).unwrap();
    assert_eq!((taken.range().len(), machine.free_count()), (8, 1092));
    machine.verify().unwrap();
}
