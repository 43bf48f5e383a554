//! What contiguous memory costs, and what it may take: places, migrations, watermarks and zones.

mod support;

use std::collections::BTreeSet;
use std::thread;

use pageblock::{
    AllocRequest, CmaArea, CmaError, ContigError, ContigOptions, ContigPlace, IsolateError, Migrate,
    MigrateError, Move, NoMigration, NoNotifier, Obstacle, Order, Pfn, PfnRange,
};
use support::{Machine, Meeting, Owners, Threads, cma_area, fill, mebibytes, range};

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
        // What was moved above the pinned page stays moved: only the alignment is moved for nothing.
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
    let shy = support::Answer(|page: Move| {
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
    let pinned = support::Answer(|page: Move| {
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
