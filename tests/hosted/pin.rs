//! Contiguous allocations that a device accesses, on every geometry: nothing takes their frames,
//! and whoever wants them gets the first of them with the reason *pinned*.

use std::cell::Cell;

use pageblock::{
    AllocRequest, CmaError, ContigError, ContigOptions, ContigPlace, FrameKind, FreeError, Geometry,
    HotplugError, IsolateError, NoMigration, NoNotifier, Obstacle, Order, Pfn, PfnRange, PinError,
    RangeError,
};

use crate::support::{
    Machine, Watcher, cma_area, frames, normal, on_every_geometry, part, snapshot, unchanged, unit,
    watch_holds,
};

fn options() -> ContigOptions {
    ContigOptions::default()
}

fn a_pinned_range_is_named_by_whoever_wants_its_frames<G: Geometry>() {
    let machine = normal::<G>(6).build_as::<G>();
    let pageblock = G::PAGEBLOCK_ORDER.pages();
    let block = part::<G>(unit::<G>(), unit::<G>());
    let buffer = PfnRange::with_len(Pfn::new(block.start().number() + pageblock / 2), pageblock / 2 + 1);
    let taken = machine.alloc_contig(buffer, &NoMigration, options()).unwrap();
    let unmovable = |reason| IsolateError::Unmovable { pfn: buffer.start(), reason };
    assert_eq!(machine.isolate(block).unwrap_err(), unmovable(Obstacle::Contig));

    machine.pin_range(buffer).unwrap();
    let pinned = unmovable(Obstacle::Pinned);
    assert!(pinned.to_string().ends_with("cannot be migrated: pinned, because a device accesses it"));
    unchanged(&machine, || {
        assert_eq!(machine.isolate(block).unwrap_err(), pinned);
        assert_eq!(machine.isolate(buffer).unwrap_err(), pinned);
        let contig = ContigError::Isolate(pinned);
        assert_eq!(machine.alloc_contig(block, &NoMigration, options()).unwrap_err(), contig);
        let offline = machine.offline(block, &NoMigration, &NoNotifier, options()).unwrap_err();
        assert_eq!(offline, HotplugError::Contig(contig));
        let mut told = Vec::new();
        let _ = machine.offline_dry_run(block, |not_free| told.push((not_free.pfn, not_free.reason)));
        assert_eq!(told[0], (buffer.start(), Obstacle::Pinned));
        // A search goes on above it.
        let below = buffer.end();
        let place = ContigPlace::anywhere().below(below);
        let other = machine.alloc_contig_pages(pageblock, place, &NoMigration, options()).unwrap();
        assert!(!other.range().contains(buffer.start()) && other.range().end() <= below);
    });

    let refused = Err(FreeError::Pinned { pfn: buffer.start() });
    let before = machine.refused_frees();
    let state = snapshot(&machine);
    assert_eq!(machine.free_contig(buffer), refused);
    assert_eq!(machine.free_range(buffer), refused);
    assert_eq!(machine.free_contig(PfnRange::with_len(buffer.start(), 1)), refused);
    assert_eq!(machine.refused_frees(), before + 3);
    assert_eq!(snapshot(&machine), state);
    machine.verify().unwrap();

    machine.unpin_range(buffer).unwrap();
    assert_eq!(machine.isolate(block).unwrap_err(), unmovable(Obstacle::Contig));
    drop(taken);
    assert_eq!(machine.free_count(), 6 * unit::<G>());
    drop(machine.isolate(block).unwrap());
}

fn a_range_of_an_area_is_pinned_and_gone_around<G: Geometry>() {
    let machine = normal::<G>(8).build_as::<G>();
    let area = cma_area(&machine, part::<G>(unit::<G>(), 2 * unit::<G>()));
    let buffer = area.alloc(&machine, 3, Order::ZERO, &NoMigration).unwrap();
    machine.pin_range(buffer).unwrap();
    let pinned = FreeError::Pinned { pfn: buffer.start() };
    assert_eq!(area.free(&machine, buffer), Err(CmaError::Free(pinned)));
    assert_eq!(machine.free_range(buffer), Err(pinned));
    let other = area.alloc(&machine, unit::<G>(), Order::ZERO, &NoMigration).unwrap();
    assert!(other.start() >= buffer.end());
    machine.unpin_range(buffer).unwrap();
    // It is the area's still.
    assert_eq!(machine.free_range(buffer), Err(FreeError::OfCmaArea { pfn: buffer.start() }));
    area.free(&machine, buffer).unwrap();
    area.free(&machine, other).unwrap();
    assert_eq!(area.stats(&machine).used, 0);
    machine.verify().unwrap();
}

fn a_handle_that_is_dropped_does_not_free_what_a_device_accesses<G: Geometry>() {
    let machine = normal::<G>(2).build_as::<G>();
    let taken = machine.alloc_contig(part::<G>(1, 5), &NoMigration, options()).unwrap();
    let range = taken.range();
    machine.pin_range(range).unwrap();
    drop(taken);
    assert_eq!((machine.allocated_count(), machine.refused_frees()), (5, 1));
    machine.unpin_range(range).unwrap();
    machine.free_range(range).unwrap();
    assert_eq!(machine.allocated_count(), 0);
}

fn pins_are_refused_without_a_change<G: Geometry>() {
    let machine = normal::<G>(4).build_as::<G>();
    // Two ranges side by side, the first of several blocks, over a border of pageblocks.
    let pageblock = G::PAGEBLOCK_ORDER.pages();
    let first = part::<G>(pageblock - 1, pageblock + 2);
    let second = PfnRange::with_len(first.end(), 1);
    let both = PfnRange::new(first.start(), second.end());
    let one = machine.alloc_contig(first, &NoMigration, options()).unwrap();
    let two = machine.alloc_contig(second, &NoMigration, options()).unwrap();
    machine.pin_range(second).unwrap();
    unchanged(&machine, || {
        let pfn = second.start();
        assert_eq!(machine.pin_range(both), Err(PinError::Pinned { pfn }));
        assert_eq!(machine.pin_range(second), Err(PinError::Pinned { pfn }));
        let pfn = first.start();
        assert_eq!(machine.unpin_range(both), Err(PinError::NotPinned { pfn }));
        // The block behind the border has a whole pageblock.
        let head = Pfn::new(pfn.number() + 1);
        for range in
            [PfnRange::with_len(head, pageblock - 1), PfnRange::new(Pfn::new(head.number() + 1), first.end())]
        {
            let error = machine.pin_range(range).unwrap_err();
            let PinError::PartOfBlock { head, range: given } = error else { panic!("{error}") };
            assert!(given == range && first.contains(head), "{error}");
        }
        let beyond = PfnRange::new(first.start(), Pfn::new(both.end().number() + 1));
        let kind = FrameKind::Free;
        assert!(matches!(machine.pin_range(beyond), Err(PinError::Pinned { .. })));
        let free = PfnRange::with_len(both.end(), 1);
        assert!(matches!(machine.pin_range(free), Err(PinError::NotContig { kind: k, .. }) if k == kind));
        let range = PfnRange::with_len(first.start(), 0);
        assert_eq!(machine.pin_range(range), Err(PinError::Range(RangeError::Empty { range })));
        assert!(matches!(
            machine.pin_range(PfnRange::with_len(Pfn::new(usize::MAX >> 13), 1)),
            Err(PinError::Range(RangeError::Foreign { .. }))
        ));
    });
    // Another range of the same pageblock is free to go.
    drop(one);
    machine.unpin_range(second).unwrap();
    drop(two);
    assert_eq!(machine.free_count(), 4 * unit::<G>());
    machine.verify().unwrap();
}

fn a_block_of_several_pageblocks_is_pinned_as_a_whole<G: Geometry>() {
    let machine = normal::<G>(2).build_as::<G>();
    let block = part::<G>(0, unit::<G>());
    let taken = machine.alloc_contig(block, &NoMigration, options()).unwrap();
    machine.pin_range(block).unwrap();
    assert_eq!(machine.pin_range(block), Err(PinError::Pinned { pfn: block.start() }));
    assert_eq!(machine.free_contig(block), Err(FreeError::Pinned { pfn: block.start() }));
    machine.unpin_range(block).unwrap();
    assert_eq!(machine.unpin_range(block), Err(PinError::NotPinned { pfn: block.start() }));
    drop(taken);
    assert_eq!(machine.free_count(), 2 * unit::<G>());
}

on_every_geometry! {
    a_block_of_several_pageblocks_is_pinned_as_a_whole,
    a_pinned_range_is_named_by_whoever_wants_its_frames,
    a_range_of_an_area_is_pinned_and_gone_around,
    a_handle_that_is_dropped_does_not_free_what_a_device_accesses,
    pins_are_refused_without_a_change,
}

/// Does something before the second lock hold.
struct Meanwhile<F>(F, Cell<usize>);

impl<F: Fn()> Watcher for Meanwhile<F> {
    fn begins(&self) {
        self.1.set(self.1.get() + 1);
        if self.1.get() == 2 {
            (self.0)();
        }
    }

    fn ended(&self) {}
}

/// Does something before the second lock hold of this thread from now on.
fn before_the_second_hold(what: impl Fn() + 'static) {
    watch_holds(Box::leak(Box::new(Meanwhile(what, Cell::new(0)))));
}

#[test]
fn a_pin_that_another_cpu_was_faster_with_pins_nothing() {
    let machine: &'static Machine = Box::leak(Box::new(frames(&[(0x1000, 0x2000)]).build()));
    // Two pageblocks that are no block together.
    let [first, second] = [0x1200, 0x1400].map(|start| PfnRange::with_len(Pfn::new(start), 512));
    let both = PfnRange::new(first.start(), second.end());
    let taken = machine.alloc_contig(both, &NoMigration, options()).unwrap();
    before_the_second_hold(move || machine.pin_range(second).unwrap());
    assert_eq!(machine.pin_range(both), Err(PinError::Pinned { pfn: second.start() }));
    assert_eq!(machine.unpin_range(first), Err(PinError::NotPinned { pfn: first.start() }));
    machine.unpin_range(second).unwrap();
    drop(taken);
    machine.verify().unwrap();
}

/// Other code, which does not own it, pins or frees the second pageblock of a range while the range
/// is freed: the first is free then, and the error has the frame where it ended.
#[test]
fn a_free_ends_where_other_code_pins_or_frees_meanwhile() {
    let machine: &'static Machine = Box::leak(Box::new(frames(&[(0x1000, 0x2000)]).build()));
    let [first, second] = [0x1200, 0x1400].map(|start| PfnRange::with_len(Pfn::new(start), 512));
    let both = PfnRange::new(first.start(), second.end());
    for (contig, pins) in [(true, true), (true, false), (false, true), (false, false)] {
        let _ = machine.alloc_contig(both, &NoMigration, options()).unwrap().into_raw();
        let before = machine.refused_frees();
        before_the_second_hold(move || {
            if pins { machine.pin_range(second).unwrap() } else { machine.free_contig(second).unwrap() }
        });
        let error = if contig { machine.free_contig(both) } else { machine.free_range(both) }.unwrap_err();
        let pfn = second.start();
        let expected = if pins {
            FreeError::Pinned { pfn }
        } else {
            FreeError::NotContig { pfn, kind: FrameKind::Free }
        };
        assert_eq!(error, expected, "contig: {contig}");
        assert_eq!(machine.refused_frees() - before, 1);
        assert_eq!(machine.allocated_count(), if pins { second.len() } else { 0 });
        if pins {
            machine.unpin_range(second).unwrap();
            machine.free_range(second).unwrap();
        }
        machine.verify().unwrap();
        assert_eq!(machine.free_count(), machine.managed_count());
    }
}

#[test]
fn a_block_that_is_no_contiguous_allocation_is_not_pinned() {
    let machine = frames(&[(0x1000, 0x2000)]).build();
    let page = machine.alloc_pages(AllocRequest::unmovable()).unwrap();
    let error = machine.pin_range(PfnRange::with_len(page, 1)).unwrap_err();
    assert_eq!(error, PinError::NotContig { pfn: page, kind: FrameKind::Allocated });
    assert_eq!(error.to_string(), format!("{page} is in no contiguous allocation: it is allocated"));
}
