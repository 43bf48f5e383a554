//! CMA areas that cannot be, and what is asked of areas in vain.

use pageblock::{
    AllocRequest, CmaArea, CmaError, ContigOptions, FreeError, NoMigration, Order, Pfn, PfnRange, RangeError,
    ZoneKind,
};

use super::{PAGE, machine};
use crate::support::{Machine, Zoned, bitmap, cma_area, range, unchanged};

fn new(machine: &Machine<Zoned>, wanted: PfnRange, words: usize) -> CmaError {
    unchanged(machine, || CmaArea::new(machine, wanted, &mut bitmap(1 << 20)[..words]).unwrap_err())
}

#[test]
fn that_are_not_whole_pageblocks() {
    let machine = machine();
    for wanted in [range(4096, 4100), range(4100, 4128), range(4097, 4129), range(4096, 4096)] {
        let pageblock = Order::new(5);
        assert_eq!(new(&machine, wanted, 9999), CmaError::Unaligned { range: wanted, pageblock });
    }
}

#[test]
fn that_overlap_another_area() {
    let machine = machine();
    let _area = cma_area(&machine, range(4096, 4160));
    let taken = CmaError::Taken { pfn: Pfn::new(4128) };
    assert_eq!(new(&machine, range(4128, 4192), 12), taken);
}

#[test]
fn whose_bitmap_is_too_small() {
    let error = new(&machine(), range(4096, 4096 + 160), 11);
    assert_eq!(error, CmaError::BitmapTooSmall { given: 11, needed: 12 });
}

#[test]
fn that_reach_over_the_end_of_memory_or_a_zone() {
    let foreign = RangeError::Foreign { pfn: Pfn::new(8192) };
    let machine = machine();
    assert_eq!(new(&machine, range(8160, 8224), 12), CmaError::Isolate(foreign.into()));
    let wanted = range(992, 1056);
    let crosses = RangeError::CrossesZones { range: wanted, border: Pfn::new(1024) };
    assert_eq!(new(&machine, wanted, 12), CmaError::Isolate(crosses.into()));
}

#[test]
fn whose_frames_are_in_use() {
    let machine = machine();
    let pfn = machine.alloc_pages(AllocRequest::movable().highest_zone(ZoneKind::Dma)).unwrap();
    machine.drain_all();
    let wanted = PfnRange::with_len(Order::new(5).align_down(pfn), 32);
    let error = new(&machine, wanted, 12);
    assert!(matches!(error, CmaError::NotFree(not_free) if not_free.pfn == pfn), "{error}");
}

#[test]
fn larger_than_memory() {
    let machine = machine();
    let reserve = |pages, zone| {
        unchanged(&machine, || CmaArea::reserve(&machine, pages, zone, bitmap(1 << 20)).unwrap_err())
    };
    // The largest stretch of whole pageblocks below the reserved frames, or above them.
    let no_room = CmaError::NoRoom { pages: 1 << 14, longest: 8192 - 5024 };
    assert_eq!(reserve(1 << 14, ZoneKind::Normal), no_room);
    assert_eq!(reserve(1056, ZoneKind::Dma), CmaError::NoRoom { pages: 1056, longest: 1024 });
    assert!(matches!(reserve(usize::MAX, ZoneKind::Normal), CmaError::NoRoom { .. }));
    assert_eq!(reserve(0, ZoneKind::Normal), CmaError::Empty);
}

#[test]
fn asked_for_nothing_or_too_much() {
    let machine = machine();
    let area = cma_area(&machine, range(4096, 4160));
    let alloc = |pages, align| {
        unchanged(&machine, || area.alloc(&machine, pages, Order::new(align), &NoMigration).unwrap_err())
    };
    assert_eq!(alloc(0, 0), CmaError::Empty);
    assert_eq!(alloc(65, 0), CmaError::Full { pages: 65, longest: 64 });
    assert_eq!(alloc(usize::MAX, 0), CmaError::Full { pages: usize::MAX, longest: 64 });
    assert_eq!(alloc(1, 13), CmaError::Full { pages: 1, longest: 64 }, "no such alignment in the area");
    assert_eq!(alloc(1, 40), CmaError::Full { pages: 1, longest: 64 });
    let (align, max) = (Order::new(255), Order::new(40));
    assert_eq!(alloc(1, 255), CmaError::AlignTooLarge { align, max });
    assert_eq!(area.stats(&machine).failed, 6);
}

#[test]
fn given_back_what_is_not_theirs() {
    let machine = machine();
    let area = cma_area(&machine, range(4096, 4160));
    let taken = area.alloc(&machine, 10, PAGE, &NoMigration).unwrap();
    let other = machine.alloc_contig(range(6000, 6010), &NoMigration, ContigOptions::default()).unwrap();
    let wrong = [
        other.range(),
        range(taken.start().number(), taken.end().number() + 1),
        range(taken.start().number() - 1, taken.end().number()),
        range(4150, 4160),
        range(4100, 4100),
        range(0, 10),
        range(4096, 9000),
    ];
    for range in wrong {
        let result = unchanged(&machine, || area.free(&machine, range));
        assert_eq!(result, Err(CmaError::NotOurs { range }));
    }
    let error = unchanged(&machine, || machine.free_contig(taken).unwrap_err());
    assert_eq!(error, FreeError::OfCmaArea { pfn: taken.start() });
    area.free(&machine, taken).unwrap();
    assert_eq!(area.free(&machine, taken), Err(CmaError::NotOurs { range: taken }));
}
