//! Memory that nobody has used yet: free and counted, though its records have not been touched.

#![expect(unsafe_code, reason = "promises that memory is zeroed, and looks which of it still is")]

use std::collections::HashSet;
use std::mem::MaybeUninit;

use pageblock::{
    AllocRequest, FrameKind, FreeKind, Geometry, HandOverError, InitError, MemoryMap, Metadata, MigrateType,
    NoMigration, Order, PageAllocator, RangeError, Tuning, X86_64,
};

use crate::support::{Machine, Threads, cma_area, fill, frames, normal, on_every_geometry, part, unit};

#[test]
fn initialisation_leaves_the_records_of_usable_frames_alone() {
    let mut map = MemoryMap::new();
    map.add_usable(0x1000..0x9_f000).unwrap();
    map.add_usable(0x10_0000..1 << 30).unwrap();
    let layout = Metadata::layout(&map, 4).unwrap();
    let mut memory = vec![MaybeUninit::new(0_u8); layout.size() + layout.align()];
    {
        // SAFETY: all of it is zero.
        let metadata = unsafe { Metadata::new_zeroed(&mut memory, &map, 4) }.unwrap();
        let machine = PageAllocator::<_, X86_64>::new(Threads, &map, metadata, Tuning::default()).unwrap();
        assert_eq!(machine.free_count(), map.usable_frames());
        assert!(machine.audit().is_exact());
    }
    // SAFETY: every byte was initialised before, and the allocator writes whole values of plain
    // integers.
    let touched =
        memory.chunks(4096).filter(|page| page.iter().any(|byte| unsafe { byte.assume_init() } != 0));
    let (touched, pages) = (touched.count(), memory.len() / 4096);
    // Those of pageblocks and pcplists.
    assert!(touched * 16 < pages, "{touched} of {pages} pages of records were written");
}

#[test]
fn zeroed_and_other_memory_make_the_same_machine() {
    let mut map = MemoryMap::new();
    map.add_usable(0x3000..0x72_3000).unwrap();
    map.add_usable(0x112_0000..0x2ff_f000).unwrap();
    map.reserve(0x15_0000..0x15_1234).unwrap();
    let layout = Metadata::layout(&map, 2).unwrap();
    let len = layout.size() + layout.align();
    let build = |metadata: Result<Metadata<'static>, InitError>| {
        PageAllocator::<_, X86_64>::new(Threads, &map, metadata.unwrap(), Tuning::default()).unwrap()
    };
    // SAFETY: all of it is zero.
    let zeroed = build(unsafe { Metadata::new_zeroed(vec![MaybeUninit::new(0); len].leak(), &map, 2) });
    let others = [0, 0x5a, 0xff].map(|byte| build(Metadata::from_bytes(vec![byte; len].leak(), &map, 2)));
    let filled_before = build(Metadata::new(vec![MaybeUninit::new(0xa5); len].leak(), &map, 2));
    for other in others.iter().chain([&filled_before]) {
        assert_eq!(zeroed.verify().unwrap(), other.verify().unwrap());
        assert_eq!(zeroed.buddyinfo(), other.buddyinfo());
    }
    let all = fill(&zeroed, AllocRequest::movable());
    for other in others.iter().chain([&filled_before]) {
        assert_eq!(all, fill(other, AllocRequest::movable()));
    }
}

fn fresh_memory_is_counted_and_shown_as_free<G: Geometry>() {
    let machine = normal::<G>(4).build_as::<G>();
    let pages = 4 * unit::<G>();
    assert_eq!((machine.free_count(), machine.verify().unwrap().total().free), (pages, pages));
    assert!(machine.audit().is_exact());
    let movable = FreeKind::Listed(MigrateType::Movable);
    let blocks: usize = machine.buddyinfo().zones.iter().map(|zone| zone.count(movable, G::MAX_ORDER)).sum();
    assert_eq!(blocks * G::MAX_ORDER.pages(), pages);
}

fn every_page_of_it_can_be_had_once<G: Geometry>() {
    for request in [AllocRequest::movable(), AllocRequest::unmovable(), AllocRequest::reclaimable()] {
        let machine = normal::<G>(3).build_as::<G>();
        let pages = fill(&machine, request);
        assert_eq!(pages.iter().collect::<HashSet<_>>().len(), 3 * unit::<G>());
        assert_eq!(machine.free_count(), 0);
        machine.verify().unwrap();
        pages.into_iter().for_each(|pfn| machine.free_pages(pfn, Order::ZERO).unwrap());
        machine.drain_all();
        assert_eq!(machine.verify().unwrap().total().free, 3 * unit::<G>());
    }
}

fn a_part_of_it_can_be_isolated_wherever_it_lies<G: Geometry>() {
    let (units, unit) = (6, unit::<G>());
    for (offset, len) in [(0, 1), (unit, unit), (2 * unit - 1, 2), (5 * unit, unit), (0, 6 * unit)] {
        let machine = normal::<G>(units).build_as::<G>();
        let isolated = machine.isolate(part::<G>(offset, len)).unwrap();
        assert!(machine.free_count() <= units * unit - len);
        machine.verify().unwrap();
        drop(isolated);
        assert_eq!(machine.free_count(), units * unit);
        machine.verify().unwrap();
    }
}

fn more_pieces_than_there_are_places_for_are_listed<G: Geometry>() {
    let (units, unit) = (80, unit::<G>());
    let machine = normal::<G>(units).build_as::<G>();
    let mut ranges = Vec::new();
    for n in (1..units).step_by(2) {
        let range = part::<G>(n * unit, unit);
        ranges.push(machine.alloc_contig(range, &NoMigration, Default::default()).unwrap().into_raw());
        assert!(machine.audit().is_exact());
    }
    assert_eq!(machine.free_count(), units / 2 * unit);
    machine.verify().unwrap();
    ranges.into_iter().for_each(|range| machine.free_contig(range).unwrap());
    machine.drain_all();
    assert_eq!(machine.verify().unwrap().total().free, units * unit);
}

fn it_can_be_reserved_and_made_an_area_of<G: Geometry>() {
    let (unit, machine) = (unit::<G>(), normal::<G>(4).build_as::<G>());
    machine.reserve(part::<G>(unit + 1, 1)).unwrap();
    machine.verify().unwrap();
    let pfn = part::<G>(unit + 1, 1).start();
    let twice = RangeError::NotManaged { pfn, kind: FrameKind::Reserved };
    assert_eq!(machine.reserve(part::<G>(unit, 2)), Err(HandOverError::Range(twice)));
    let area = cma_area(&machine, part::<G>(2 * unit, unit));
    assert_eq!(machine.free_cma_count(), unit);
    let range = area.alloc(&machine, unit, Order::ZERO, &NoMigration).unwrap();
    machine.verify().unwrap();
    area.free(&machine, range).unwrap();
    assert_eq!(machine.free_count(), 4 * unit - 1);
    machine.verify().unwrap();
}

fn freeing_what_was_never_allocated_is_refused<G: Geometry>() {
    let machine: Machine<G> = normal::<G>(2).build_as::<G>();
    for pfn in part::<G>(0, 2 * unit::<G>()).iter() {
        machine.free_pages(pfn, Order::ZERO).unwrap_err();
    }
    machine.verify().unwrap();
}

/// Memory that fills no largest block is listed at once, and what lies around the blocks as well.
#[test]
fn odd_ends_are_listed_and_whole_blocks_are_fresh() {
    let machine = frames(&[(3, 700), (1500, 4 * 1024 + 17)]).no_reserve().build();
    let pages = 697 + 4 * 1024 + 17 - 1500;
    assert_eq!(machine.verify().unwrap().total().free, pages);
    assert_eq!(fill(&machine, AllocRequest::movable()).len(), pages);
}

on_every_geometry!(
    fresh_memory_is_counted_and_shown_as_free,
    every_page_of_it_can_be_had_once,
    a_part_of_it_can_be_isolated_wherever_it_lies,
    more_pieces_than_there_are_places_for_are_listed,
    it_can_be_reserved_and_made_an_area_of,
    freeing_what_was_never_allocated_is_refused,
);
