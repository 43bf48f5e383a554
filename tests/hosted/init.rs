//! From a memory map to an allocator, and memory that changes hands later.

use std::collections::HashSet;
use std::mem::MaybeUninit;

use pageblock::{
    AllocRequest, FrameKind, FreeError, Geometry, HandOverError, InitError, Mark, MemoryMap, MemoryUse,
    Metadata, NotFree, Obstacle, Order, PageAllocator, Pfn, PfnRange, RangeError, Tuning,
};

use crate::support::{
    self, Machine, Threads, base, fill, frames, normal, on_every_geometry, part, range, unchanged, unit,
};

/// A machine with a hole of an odd size: frames up to `unit + 1`, and from `2 * unit + 3` on.
fn with_hole<G: Geometry>() -> Machine<G> {
    let (base, unit) = (base::<G>(), unit::<G>());
    frames(&[(base, base + unit + 1), (base + 2 * unit + 3, base + 4 * unit)]).no_reserve().build_as::<G>()
}

fn holes_are_never_handed_out<G: Geometry>() {
    let machine = with_hole::<G>();
    let usable = 3 * unit::<G>() - 2;
    assert_eq!((machine.free_count(), machine.managed_count()), (usable, usable));
    machine.verify().unwrap();
    let pages: HashSet<Pfn> = fill(&machine, AllocRequest::movable()).into_iter().collect();
    assert_eq!(pages.len(), usable);
    let hole = part::<G>(unit::<G>() + 1, unit::<G>() + 2);
    assert!(hole.iter().all(|pfn| !pages.contains(&pfn)));
    for pfn in hole.iter() {
        assert_eq!(machine.free_pages(pfn, Order::ZERO), Err(FreeError::Hole { pfn }));
    }
}

fn memory_may_start_and_end_anywhere<G: Geometry>() {
    for (start, len) in [(0, 1), (1, 1), (unit::<G>() - 1, 2), (3, unit::<G>()), (1, 3 * unit::<G>() - 2)] {
        let start = base::<G>() + start;
        let machine = frames(&[(start, start + len)]).no_reserve().build_as::<G>();
        machine.verify().unwrap();
        let pages = fill(&machine, AllocRequest::unmovable());
        assert_eq!(pages.len(), len, "{len} frames from {start}");
        assert!(pages.iter().all(|pfn| (start..start + len).contains(&pfn.number())));
        pages.into_iter().for_each(|pfn| machine.free_pages(pfn, Order::ZERO).unwrap());
        machine.drain_all();
        assert_eq!(machine.free_count(), len);
        machine.verify().unwrap();
    }
}

fn frames_reserved_in_the_map_are_kept_out<G: Geometry>() {
    let first = base::<G>() + 1;
    let machine = normal::<G>(2).reserve(first, first + unit::<G>()).build_as::<G>();
    assert_eq!(machine.managed_count(), unit::<G>());
    let pages = fill(&machine, AllocRequest::movable());
    assert!(!pages.iter().any(|pfn| (first..first + unit::<G>()).contains(&pfn.number())));
    let pfn = Pfn::new(first);
    let error = machine.free_pages(pfn, Order::ZERO).unwrap_err();
    assert_eq!(error, FreeError::NotManaged { pfn, kind: FrameKind::Reserved });
}

fn frames_can_be_reserved_later<G: Geometry>() {
    let machine = normal::<G>(4).build_as::<G>();
    let taken = part::<G>(unit::<G>() - 1, unit::<G>() + 2);
    machine.reserve(taken).unwrap();
    machine.verify().unwrap();
    let left = 3 * unit::<G>() - 2;
    assert_eq!((machine.free_count(), machine.managed_count()), (left, left));
    assert_eq!(fill(&machine, AllocRequest::movable()).len(), left);
    // What is reserved is no longer there to be reserved, or isolated.
    let (pfn, kind) = (taken.start(), FrameKind::Reserved);
    let error = HandOverError::Range(RangeError::NotManaged { pfn, kind });
    assert_eq!(unchanged(&machine, || machine.reserve(taken)), Err(error));
}

fn only_free_frames_can_be_reserved<G: Geometry>() {
    let machine = normal::<G>(4).build_as::<G>();
    let pfn = machine.alloc_pages(AllocRequest::movable()).unwrap();
    machine.drain_all();
    let wanted = PfnRange::with_len(Order::new(2).align_down(pfn), 4);
    let error = unchanged(&machine, || machine.reserve(wanted).unwrap_err());
    assert!(
        matches!(error, HandOverError::NotFree(NotFree { pfn: at, reason }) if at == pfn
        && matches!(reason, Obstacle::NotMigrated(_))),
        "{error}"
    );
    let isolated = machine.isolate(part::<G>(2 * unit::<G>(), 1)).unwrap();
    let error = machine.reserve(part::<G>(2 * unit::<G>(), 1)).unwrap_err();
    assert!(matches!(error, HandOverError::NotFree(_)), "{error}");
    drop(isolated);
}

fn cached_frames_can_be_reserved<G: Geometry>() {
    let machine = normal::<G>(4).build_as::<G>();
    let pfn = machine.alloc_pages(AllocRequest::movable()).unwrap();
    machine.free_pages(pfn, Order::ZERO).unwrap();
    assert!(support::cached(&machine) > 0);
    machine.reserve(part::<G>(0, 4 * unit::<G>())).unwrap();
    assert_eq!((machine.free_count(), machine.managed_count()), (0, 0));
    machine.verify().unwrap();
}

fn holes_and_reserved_frames_can_be_handed_over<G: Geometry>() {
    let machine = with_hole::<G>();
    let hole = part::<G>(unit::<G>() + 1, unit::<G>() + 2);
    // In two parts, the second one first.
    let (low, high) =
        (PfnRange::with_len(hole.start(), 1), range(hole.start().number() + 1, hole.end().number()));
    for part in [high, low] {
        let before = machine.managed_count();
        machine.add_memory(part, MemoryUse::Ordinary).unwrap();
        machine.verify().unwrap();
        assert_eq!(machine.managed_count(), before + part.len());
    }
    assert_eq!(machine.free_count(), 4 * unit::<G>());
    let largest = fill(&machine, AllocRequest::movable().order(G::MAX_ORDER));
    assert_eq!(largest.len() * G::MAX_ORDER.pages(), 4 * unit::<G>(), "it merges with its neighbours");
    let error = unchanged(&machine, || machine.add_memory(hole, MemoryUse::Ordinary).unwrap_err());
    assert!(matches!(error, HandOverError::Managed { pfn, .. } if pfn == hole.start()), "{error}");
}

fn memory_handed_over_in_an_isolated_pageblock_is_not_free_yet<G: Geometry>() {
    let machine = with_hole::<G>();
    let free = machine.free_count();
    let last = PfnRange::with_len(Pfn::new(base::<G>() + unit::<G>()), 1);
    let isolated = machine.isolate(last).unwrap();
    let next = PfnRange::with_len(last.end(), 1);
    machine.add_memory(next, MemoryUse::Ordinary).unwrap();
    machine.verify().unwrap();
    assert_eq!((machine.free_count(), machine.isolated_count()), (free - 1, 2));
    drop(isolated);
    assert_eq!(machine.free_count(), free + 1);
    machine.verify().unwrap();
}

on_every_geometry!(
    holes_are_never_handed_out,
    memory_may_start_and_end_anywhere,
    frames_reserved_in_the_map_are_kept_out,
    frames_can_be_reserved_later,
    only_free_frames_can_be_reserved,
    cached_frames_can_be_reserved,
    holes_and_reserved_frames_can_be_handed_over,
    memory_handed_over_in_an_isolated_pageblock_is_not_free_yet,
);

#[test]
fn marks_follow_the_memory_that_there_is() {
    let machine = frames(&[(0, 1024), (2048, 4096)]).build();
    let min = |machine: &Machine| machine.zoneinfo().zones[0].watermarks.get(Mark::Min);
    let before = min(&machine);
    machine.add_memory(range(1024, 2048), MemoryUse::Ordinary).unwrap();
    let more = min(&machine);
    assert!(more > before, "{before} pages, then {more}");
    machine.reserve(range(1024, 2048)).unwrap();
    assert_eq!(min(&machine), before);
}

#[test]
fn a_messy_map_gives_the_machine_that_a_tidy_one_gives() {
    let tidy = frames(&[(0, 300), (700, 1500)]).build();
    let messy = frames(&[(900, 1500), (0, 100), (100, 300), (50, 250), (700, 901), (800, 800)]).build();
    assert_eq!(tidy.buddyinfo(), messy.buddyinfo());
    assert_eq!(tidy.span(), messy.span());
}

#[test]
fn metadata_for_another_map_is_refused() {
    let mut small = MemoryMap::new();
    small.add_usable(0..4 << 20).unwrap();
    let mut large = small.clone();
    large.add_usable(8 << 20..16 << 20).unwrap();
    let layout = Metadata::layout(&small, 1).unwrap();
    let memory = vec![MaybeUninit::uninit(); layout.size() + layout.align()].leak();
    let metadata = Metadata::new(memory, &small, 1).unwrap();
    let error = PageAllocator::new(Threads, &large, metadata, Tuning::default()).unwrap_err();
    assert!(matches!(error, InitError::MetadataTooSmall { given, needed } if given < needed), "{error}");
}

#[test]
fn metadata_for_a_larger_map_will_do() {
    let mut small = MemoryMap::new();
    small.add_usable(1 << 20..4 << 20).unwrap();
    let mut large = small.clone();
    large.add_usable(8 << 20..16 << 20).unwrap();
    let layout = Metadata::layout(&large, 1).unwrap();
    let memory = vec![MaybeUninit::uninit(); layout.size() + layout.align()].leak();
    let metadata = Metadata::new(memory, &large, 1).unwrap();
    let machine = PageAllocator::new(Threads, &small, metadata, Tuning::default()).unwrap();
    assert_eq!(machine.managed_count(), 768);
    machine.add_memory(range(2048, 4096), MemoryUse::Ordinary).unwrap();
    assert_eq!(machine.managed_count(), 768 + 2048);
    machine.verify().unwrap();
}

#[test]
fn an_empty_map_gives_no_allocator() {
    let mut memory = MemoryMap::<4>::with_capacity();
    let layout = Metadata::layout(&memory, 1);
    assert_eq!(layout, Err(InitError::EmptyMap));
    memory.add_usable(0..1 << 20).unwrap();
    let space = vec![MaybeUninit::uninit(); 1 << 20].leak();
    let metadata = Metadata::new(space, &memory, 1).unwrap();
    memory.reserve(0..1 << 20).unwrap();
    let error = PageAllocator::new(Threads, &memory, metadata, Tuning::default()).unwrap_err();
    assert_eq!(error, InitError::EmptyMap);
}
