//! CMA areas, on every geometry: only movable pages use them, and contiguous ranges come from them.

use std::sync::atomic::{AtomicUsize, Ordering};

use pageblock::{
    AllocRequest, CmaArea, CmaError, CmaStats, ContigError, Depth, Geometry, Migrate, MigrateError, Mobility,
    Move, NoMigration, Obstacle, Order, PAGE_SIZE, Pfn, PfnRange, ZoneKind,
};

use crate::support::{
    Answer, Machine, Owners, Threads, bitmap, cma_area, fill, normal, on_every_geometry, part, scope,
    snapshot, unchanged, unit,
};

/// A machine of 8 units whose second and third are a CMA area.
fn machine_with_area<G: Geometry>() -> (Machine<G>, CmaArea<'static>) {
    let machine = normal::<G>(8).cpus(4).build_as::<G>();
    let area = cma_area(&machine, part::<G>(unit::<G>(), 2 * unit::<G>()));
    (machine, area)
}

fn only_movable_requests_use_the_area<G: Geometry>() {
    for mobility in [Mobility::Unmovable, Mobility::Reclaimable, Mobility::Movable] {
        let (machine, area) = machine_with_area::<G>();
        for depth in [Depth::Normal, Depth::Atomic, Depth::Emergency] {
            let pages = fill(&machine, AllocRequest::new(Order::ZERO, mobility).depth(depth));
            let inside = pages.iter().filter(|pfn| area.range().contains(**pfn)).count();
            if mobility != Mobility::Movable {
                assert_eq!((inside, machine.free_cma_count()), (0, area.range().len()));
            } else if depth == Depth::Normal {
                assert_eq!((inside, machine.free_cma_count()), (area.range().len(), 0));
            }
        }
    }
}

fn making_an_area_changes_the_type_and_no_count<G: Geometry>() {
    let machine = normal::<G>(4).build_as::<G>();
    let area = cma_area(&machine, part::<G>(unit::<G>(), unit::<G>()));
    assert_eq!((machine.free_count(), machine.free_cma_count()), (4 * unit::<G>(), unit::<G>()));
    let stats = area.stats(&machine);
    assert_eq!((stats.pages, stats.used, stats.longest), (unit::<G>(), 0, unit::<G>()));
    machine.verify().unwrap();
}

/// Isolations that have been made, and pageblocks that have been isolated.
fn isolations<G: Geometry>(machine: &Machine<G>) -> (u64, u64) {
    let stat = machine.vmstat();
    let count = |name| stat.total().counts().chain(stat.machine.counts()).find(|(other, _)| *other == name);
    (count("isolate").unwrap().1, count("pageblock_isolate").unwrap().1)
}

fn an_area_of_free_memory_isolates_no_pageblock<G: Geometry>() {
    let machine = normal::<G>(8).build_as::<G>();
    // From the middle of a largest block to the middle of another.
    let half = G::PAGEBLOCK_ORDER.pages();
    let area = cma_area(&machine, part::<G>(half, 6 * unit::<G>()));
    assert_eq!((machine.free_count(), machine.free_cma_count()), (8 * unit::<G>(), area.range().len()));
    // No block is a whole pageblock if that is larger than the largest order.
    let pageblocks = (area.range().len() / half) as u64;
    let isolated = if G::MAX_ORDER < G::PAGEBLOCK_ORDER { (1, pageblocks) } else { (0, 0) };
    assert_eq!(isolations(&machine), isolated);
    machine.verify().unwrap();
    let range = area.alloc(&machine, area.range().len(), Order::ZERO, &NoMigration).unwrap();
    assert_eq!(range, area.range());
}

fn an_area_of_cached_pages_isolates_them<G: Geometry>() {
    let machine = normal::<G>(4).build_as::<G>();
    let held = fill(&machine, AllocRequest::movable());
    for pfn in held {
        machine.free_pages(pfn, Order::ZERO).unwrap();
    }
    let area = cma_area(&machine, part::<G>(0, 4 * unit::<G>()));
    machine.drain_all();
    assert_eq!((machine.free_cma_count(), isolations(&machine).0), (area.range().len(), 1));
    machine.verify().unwrap();
}

fn an_area_that_is_not_made_changes_no_type<G: Geometry>() {
    let machine = normal::<G>(8).build_as::<G>();
    let held = fill(&machine, AllocRequest::movable());
    let last = *held.iter().max().unwrap();
    for pfn in held.into_iter().filter(|pfn| *pfn != last) {
        machine.free_pages(pfn, Order::ZERO).unwrap();
    }
    machine.drain_all();
    let (all, words) = (part::<G>(0, 8 * unit::<G>()), bitmap(8 * unit::<G>()));
    let error = unchanged(&machine, || CmaArea::new(&machine, all, words).unwrap_err());
    assert!(matches!(error, CmaError::NotFree(not_free) if not_free.pfn == last), "{error}");
    let area = cma_area(&machine, part::<G>(6 * unit::<G>(), unit::<G>()));
    let pfn = area.range().start();
    let words = bitmap(8 * unit::<G>());
    let error = unchanged(&machine, || CmaArea::new(&machine, all, words).unwrap_err());
    assert_eq!(error, CmaError::Taken { pfn });
    // A pageblock of another type than movable is converted by the isolation.
    let unmovable = machine.alloc_pages(AllocRequest::unmovable()).unwrap();
    machine.free_pages(unmovable, Order::ZERO).unwrap();
    machine.drain_all();
    let free = part::<G>(0, 6 * unit::<G>());
    let area = cma_area(&machine, free);
    assert_eq!(area.alloc(&machine, free.len(), Order::ZERO, &NoMigration), Ok(free));
}

/// CPUs make areas of the same free pageblocks at the same time: one succeeds. Where they isolate,
/// because no block is a whole pageblock, all may be refused.
fn of_areas_that_overlap_one_is_made<G: Geometry + Send + Sync>() {
    for _ in 0..50 {
        let machine = normal::<G>(8).cpus(4).build_as::<G>();
        let made = AtomicUsize::new(0);
        scope(|scope| {
            for cpu in 0..4 {
                let (machine, made) = (&machine, &made);
                scope.spawn(move || {
                    Threads::become_cpu(cpu);
                    let frames = part::<G>(cpu * unit::<G>(), 5 * unit::<G>());
                    match CmaArea::new(machine, frames, bitmap(frames.len())) {
                        Ok(_) => _ = made.fetch_add(1, Ordering::Relaxed),
                        Err(CmaError::Taken { .. }) => {}
                        Err(error) => assert!(G::MAX_ORDER < G::PAGEBLOCK_ORDER, "{error}"),
                    }
                });
            }
        });
        let made = made.into_inner();
        assert_eq!(machine.free_cma_count(), made * 5 * unit::<G>());
        assert!(made == 1 || made == 0 && G::MAX_ORDER < G::PAGEBLOCK_ORDER, "{made}");
        machine.verify().unwrap();
    }
}

fn a_range_starts_at_the_wanted_alignment<G: Geometry>() {
    // The alignment counts from frame 0, not from the start of the area.
    let machine = normal::<G>(8).build_as::<G>();
    let pageblock = G::PAGEBLOCK_ORDER.pages();
    let area = cma_area(&machine, part::<G>(pageblock, 6 * unit::<G>()));
    for n in 0..=G::MAX_ORDER.get() {
        let align = Order::new(n);
        let first = area.alloc(&machine, 1, Order::ZERO, &NoMigration).unwrap();
        let range = area.alloc(&machine, align.pages() + 1, align, &NoMigration).unwrap();
        assert!(align.is_aligned(range.start()), "{range} for {align}");
        area.free(&machine, first).unwrap();
        area.free(&machine, range).unwrap();
    }
    assert_eq!(area.stats(&machine).used, 0);
}

/// Sizes, limits and alignments in bytes, with a limit inside of the area.
fn a_buffer_of_a_device_ends_below_its_limit<G: Geometry>() {
    let (machine, area) = machine_with_area::<G>();
    let unit_bytes = unit::<G>() as u64 * PAGE_SIZE;
    let middle = area.range().start_address() + unit_bytes;
    let alloc =
        |bytes: u64, below, align| area.alloc_dma(&machine, bytes as usize, below, align, &NoMigration);
    // A limit within a frame is rounded down, and a size up.
    let first = alloc(unit_bytes - PAGE_SIZE + 1, middle + 1, 1).unwrap();
    assert_eq!(first, PfnRange::with_len(area.range().start(), unit::<G>()));
    let below = Pfn::containing(middle);
    assert_eq!(alloc(1, middle, 1), Err(CmaError::FullBelow { pages: 1, below }));
    let beyond = CmaError::BeyondLimit { pages: unit::<G>() + 1, area: area.range(), below };
    assert_eq!(alloc(unit_bytes + 1, middle, 1), Err(beyond));
    let start = area.range().start();
    let beyond = CmaError::BeyondLimit { pages: 1, area: area.range(), below: start };
    assert_eq!(alloc(1, start.start_address(), 1), Err(beyond));
    // A limit above the area is none.
    let second = alloc(2 * PAGE_SIZE, u64::MAX, 2 * PAGE_SIZE).unwrap();
    assert_eq!(second.start_address() % (2 * PAGE_SIZE), 0);
    assert!(second.start() >= below);
    area.free(&machine, first).unwrap();
    area.free(&machine, second).unwrap();
    // More than the area has, and what is no size and no alignment.
    let (pages, longest) = (2 * unit::<G>() + 1, 2 * unit::<G>());
    assert_eq!(alloc(2 * unit_bytes + 1, u64::MAX, 1), Err(CmaError::Full { pages, longest }));
    assert_eq!(alloc(0, u64::MAX, 1), Err(CmaError::Empty));
    assert_eq!(alloc(0, 0, 1), Err(CmaError::Empty));
    for bytes in [0, 3, 4095] {
        assert_eq!(alloc(1, u64::MAX, bytes), Err(CmaError::BadAlignment { bytes }));
    }
    assert_eq!(area.stats(&machine).used, 0);
    machine.verify().unwrap();
}

fn an_area_is_handed_out_to_its_last_page<G: Geometry>() {
    let (machine, area) = machine_with_area::<G>();
    let pages = area.range().len();
    unchanged(&machine, || {
        let mut ranges = Vec::new();
        let mut left = pages;
        while left > 0 {
            let len = 3.min(left);
            let range = area.alloc(&machine, len, Order::ZERO, &NoMigration).unwrap();
            assert!(area.range().covers(range));
            assert!(!ranges.iter().any(|other: &PfnRange| other.overlaps(range)));
            ranges.push(range);
            left -= len;
        }
        let full = CmaError::Full { pages: 1, longest: 0 };
        assert_eq!(area.alloc(&machine, 1, Order::ZERO, &NoMigration), Err(full));
        assert_eq!((machine.free_cma_count(), area.stats(&machine).used), (0, pages));
        for range in ranges {
            area.free(&machine, range).unwrap();
        }
    });
    assert_eq!(area.stats(&machine).longest, pages);
}

fn movable_pages_make_room<G: Geometry>() {
    let (machine, area) = machine_with_area::<G>();
    let owners = Owners::new();
    // Less is left than the area holds, so that its pages have nowhere to go.
    assert_eq!(owners.fill(&machine, 7 * unit::<G>()), 7 * unit::<G>());
    let error = area.alloc(&machine, 2 * unit::<G>(), Order::ZERO, &owners).unwrap_err();
    assert!(matches!(error, CmaError::Busy(ContigError::NoMemory { .. })), "{error}");
    assert_eq!(owners.all().len(), 7 * unit::<G>());
    for word in 1..=2 * unit::<G>() as u64 {
        owners.free(&machine, word);
    }
    let range = area.alloc(&machine, 2 * unit::<G>(), Order::ZERO, &owners).unwrap();
    assert_eq!(range, area.range());
    assert!(owners.all().iter().all(|(_, pfn, _)| !range.contains(*pfn)));
    let stats = area.stats(&machine);
    assert_eq!((stats.succeeded, stats.failed, stats.used), (1, 1, range.len()));
    machine.verify().unwrap();
    owners.free_all(&machine);
    area.free(&machine, range).unwrap();
    machine.drain_all();
    assert_eq!(machine.free_count(), 8 * unit::<G>());
    assert_eq!(machine.free_cma_count(), area.range().len());
}

fn a_pinned_page_is_gone_around<G: Geometry>() {
    let (machine, area) = machine_with_area::<G>();
    let pages = fill(&machine, AllocRequest::movable().owner(1));
    let pinned = area.range().start();
    for pfn in pages.into_iter().filter(|pfn| *pfn != pinned) {
        machine.free_pages(pfn, Order::ZERO).unwrap();
    }
    machine.drain_all();
    let range = area.alloc(&machine, 2, Order::ZERO, &NoMigration).unwrap();
    assert_eq!(range.start().number(), pinned.number() + 1, "the next place will do");
    let stats = area.stats(&machine);
    assert_eq!((stats.succeeded, stats.failed, stats.busy), (1, 0, 1));
    let error = area.alloc(&machine, area.range().len(), Order::ZERO, &NoMigration).unwrap_err();
    assert!(matches!(error, CmaError::Full { longest, .. } if longest < area.range().len()));
    area.free(&machine, range).unwrap();
    let error = area.alloc(&machine, area.range().len(), Order::ZERO, &NoMigration).unwrap_err();
    let reason = Obstacle::NotMigrated(MigrateError::Pinned);
    assert_eq!(error, CmaError::Busy(ContigError::Busy { pfn: pinned, reason, attempts: 5 }));
    machine.free_pages(pinned, Order::ZERO).unwrap();
    assert!(area.alloc(&machine, area.range().len(), Order::ZERO, &NoMigration).is_ok());
}

fn a_failed_allocation_claims_nothing<G: Geometry>() {
    let (machine, area) = machine_with_area::<G>();
    let pinned = fill(&machine, AllocRequest::movable().owner(1));
    assert_eq!(pinned.len(), 8 * unit::<G>());
    machine.free_pages(pinned[0], Order::ZERO).unwrap();
    machine.drain_all();
    let before = area.stats(&machine);
    unchanged(&machine, || {
        area.alloc(&machine, 2 * unit::<G>(), Order::ZERO, &Answer::new(|_: Move| Err(MigrateError::Busy)))
            .unwrap_err();
        machine.drain_all();
    });
    let after = area.stats(&machine);
    assert_eq!((after.used, after.longest), (before.used, before.longest));
}

fn a_range_is_released_in_parts<G: Geometry>() {
    let (machine, area) = machine_with_area::<G>();
    let range = area.alloc(&machine, unit::<G>() + 1, Order::ZERO, &NoMigration).unwrap();
    let (first, rest) = (PfnRange::with_len(range.start(), 1), range.start().number() + 1);
    let rest = PfnRange::with_len(Pfn::new(rest), unit::<G>());
    area.free(&machine, rest).unwrap();
    assert_eq!(area.stats(&machine).used, 1);
    assert_eq!(area.free(&machine, range), Err(CmaError::NotOurs { range }), "not all of it any more");
    area.free(&machine, first).unwrap();
    let stats = area.stats(&machine);
    assert_eq!((stats.used, stats.freed_pages), (0, range.len()));
    assert_eq!(machine.free_cma_count(), area.range().len());
}

fn areas_are_reserved_from_free_memory_and_do_not_overlap<G: Geometry>() {
    let machine = normal::<G>(8).build_as::<G>();
    let reserve = |pages| CmaArea::reserve(&machine, pages, ZoneKind::Normal, bitmap(8 * unit::<G>()));
    let first = reserve(2 * unit::<G>()).unwrap();
    let second = reserve(unit::<G>() + 1).unwrap();
    assert!(!first.range().overlaps(second.range()), "{} and {}", first.range(), second.range());
    assert_eq!(first.range().end(), machine.span().end(), "the highest there is");
    assert_eq!(machine.free_cma_count(), first.range().len() + second.range().len());
    machine.verify().unwrap();
}

fn released_pages_serve_movable_requests_again<G: Geometry>() {
    let (machine, area) = machine_with_area::<G>();
    let before = snapshot(&machine);
    for _ in 0..5 {
        let range = area.alloc(&machine, area.range().len(), Order::ZERO, &NoMigration).unwrap();
        area.free(&machine, range).unwrap();
    }
    assert_eq!(snapshot(&machine), before);
    let stats: CmaStats = area.stats(&machine);
    assert_eq!((stats.succeeded, stats.freed_pages), (5, 5 * area.range().len()));
    assert_eq!(fill(&machine, AllocRequest::movable()).len(), 8 * unit::<G>());
}

fn four_cpus_share_an_area_without_busy_errors<G: Geometry + Send + Sync>() {
    let (machine, area) = machine_with_area::<G>();
    let quarter = area.range().len() / 4;
    scope(|scope| {
        for cpu in 0..4 {
            let (machine, area) = (&machine, &area);
            scope.spawn(move || {
                Threads::become_cpu(cpu);
                for _ in 0..200 {
                    let range = area.alloc(machine, quarter, Order::ZERO, &NoMigration).unwrap();
                    area.free(machine, range).unwrap();
                }
            });
        }
    });
    let stats = area.stats(&machine);
    assert_eq!((stats.succeeded, stats.failed, stats.busy, stats.used), (800, 0, 0, 0));
    machine.verify().unwrap();
    assert_eq!(machine.free_cma_count(), area.range().len());
}

/// Looks at the area's bitmap while a range is being emptied: its lock must not be held then.
struct Looks<'a, G: Geometry>(&'a Machine<G>, &'a CmaArea<'static>, &'a Owners);

impl<G: Geometry> Migrate for Looks<'_, G> {
    fn migrate(&self, page: Move) -> Result<(), MigrateError> {
        assert!(self.1.stats(self.0).used > 0);
        self.2.migrate(page)
    }
}

fn the_bitmap_is_not_locked_while_pages_move<G: Geometry>() {
    let (machine, area) = machine_with_area::<G>();
    let owners = Owners::new();
    owners.fill(&machine, 8 * unit::<G>());
    for word in 1..=4 * unit::<G>() as u64 {
        owners.free(&machine, word);
    }
    let before = owners.moves().len();
    let range = area.alloc(&machine, 2 * unit::<G>(), Order::ZERO, &Looks(&machine, &area, &owners)).unwrap();
    assert_eq!(range, area.range());
    assert_eq!(area.stats(&machine).migrated_pages, owners.moves().len() - before);
}

on_every_geometry!(
    only_movable_requests_use_the_area,
    making_an_area_changes_the_type_and_no_count,
    an_area_of_free_memory_isolates_no_pageblock,
    an_area_of_cached_pages_isolates_them,
    an_area_that_is_not_made_changes_no_type,
    of_areas_that_overlap_one_is_made,
    a_range_starts_at_the_wanted_alignment,
    a_buffer_of_a_device_ends_below_its_limit,
    an_area_is_handed_out_to_its_last_page,
    movable_pages_make_room,
    a_pinned_page_is_gone_around,
    a_failed_allocation_claims_nothing,
    a_range_is_released_in_parts,
    areas_are_reserved_from_free_memory_and_do_not_overlap,
    released_pages_serve_movable_requests_again,
    four_cpus_share_an_area_without_busy_errors,
    the_bitmap_is_not_locked_while_pages_move,
);
