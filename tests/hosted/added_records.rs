//! Records that are made late, for memory that the machine did not have at boot.

#![expect(unsafe_code, reason = "the records are in memory that the machine of numbers has not")]

use std::collections::HashSet;
use std::mem::MaybeUninit;
use std::thread;

use pageblock::{
    AllocRequest, CmaArea, ContigOptions, ContigPlace, Depth, FreeError, Geometry, HandOverError, MemoryUse,
    Metadata, NoNotifier, Order, Pfn, PfnRange, RangeError, RecordsError, X86_64, ZoneKind,
};

use crate::sparse::{machine, sites, usable};
use crate::support::{Easygoing, Machine, bitmap, fill, on_every_geometry, range, unchanged, unit};

/// Makes the records of `range` in other memory, and adds it.
fn plug<G: Geometry>(machine: &Machine<G>, range: PfnRange) {
    let layout = machine.records_layout(range).unwrap();
    let memory = vec![MaybeUninit::uninit(); layout.size() + layout.align()].leak();
    machine.add_records(range, memory).unwrap();
    machine.add_memory(range, MemoryUse::Ordinary).unwrap();
}

/// A machine with a few units of memory at the bottom of zone Normal, and the lowest frame after.
fn small<G: Geometry>() -> (Machine<G>, usize) {
    let (start, end) = (G::DMA32_END, G::DMA32_END.number() + 4 * unit::<G>());
    (machine(&usable(&[(start.start_address(), Pfn::new(end).start_address())])), end)
}

/// A part of the memory of a machine: so many units of it, from a number of units above `from` on.
fn units<G: Geometry>(from: usize, above: usize, len: usize) -> PfnRange {
    PfnRange::with_len(Pfn::new(from + above * unit::<G>()), len * unit::<G>())
}

fn added_memory_is_like_any_other<G: Geometry>() {
    let (machine, end) = small::<G>();
    let boot = machine.free_count();
    let far = units::<G>(end, 1 << 20, 6);
    let pfn = far.start();
    assert_eq!(machine.free_pages(pfn, Order::ZERO), Err(FreeError::Foreign { pfn }));
    let error = unchanged(&machine, || machine.add_memory(far, MemoryUse::Ordinary).unwrap_err());
    assert_eq!(error, HandOverError::Range(RangeError::Foreign { pfn }));
    plug(&machine, far);
    assert_eq!((machine.free_count(), machine.span().end()), (boot + far.len(), far.end()));
    machine.verify().unwrap();

    // Every frame of it is handed out once, single and in blocks, and goes back.
    for order in [Order::ZERO, G::PAGEBLOCK_ORDER.min(G::MAX_ORDER), G::MAX_ORDER] {
        let blocks = fill(&machine, AllocRequest::movable().order(order).depth(Depth::Emergency));
        let distinct: HashSet<_> = blocks.iter().collect();
        assert_eq!(distinct.len() << order.get(), boot + far.len());
        machine.verify().unwrap();
        for pfn in blocks {
            machine.set_owner(pfn, order, 7).unwrap();
            assert_eq!(machine.owner(pfn, order), Ok(7));
            machine.free_pages(pfn, order).unwrap();
            assert!(machine.free_pages(pfn, order).is_err(), "a double free");
        }
        machine.drain_all();
        machine.verify().unwrap();
        assert!(machine.audit().is_exact());
        assert_eq!(machine.free_count(), boot + far.len());
    }

    // Isolation, contiguous ranges, CMA, offline.
    let pageblock = G::PAGEBLOCK_ORDER.pages();
    for start in [far.start().number() + 1, far.end().number() - pageblock - 1] {
        let part = PfnRange::with_len(Pfn::new(start), pageblock);
        let isolated = machine.isolate(part).unwrap();
        for frame in [part.start(), Pfn::new(part.end().number() - 1)] {
            assert!(machine.isolate(PfnRange::with_len(frame, 1)).is_err(), "{frame} is isolated already");
        }
        machine.verify().unwrap();
        drop(isolated);
    }
    let options = ContigOptions::default();
    let contig = machine.alloc_contig_pages(far.len(), ContigPlace::default(), &Easygoing, options).unwrap();
    assert_eq!(contig.range(), far, "the memory of boot is too short");
    machine.verify().unwrap();
    drop(contig);
    for _ in 0..10 {
        let (offline, _) = machine.offline(far, &Easygoing, &NoNotifier, options).unwrap();
        assert_eq!(machine.managed_count(), boot);
        machine.verify().unwrap();
        machine.online(offline, &NoNotifier).unwrap();
    }
    let area = CmaArea::reserve(&machine, far.len(), ZoneKind::Normal, bitmap(far.len())).unwrap();
    assert_eq!(area.range(), far);
    let taken = area.alloc(&machine, pageblock, Order::ZERO, &Easygoing).unwrap();
    machine.verify().unwrap();
    area.free(&machine, taken).unwrap();
    assert_eq!(machine.free_count(), boot + far.len());
    machine.verify().unwrap();
}

/// The walks go from piece to piece, and what is allocated in an added one has a site as any other.
fn walks_find_what_is_in_added_memory<G: Geometry>() {
    let (machine, end) = small::<G>();
    let pieces = [units::<G>(end, 1 << 20, 2), units::<G>(end, 1 << 10, 3)];
    pieces.into_iter().for_each(|range| plug(&machine, range));
    assert_eq!(machine.pageblocks().map(|pageblock| pageblock.free).sum::<usize>(), machine.free_count());
    assert!(machine.pageblocks().all(|pageblock| pageblock.free == pageblock.range.len()));
    let mut blocks = fill(&machine, AllocRequest::movable().depth(Depth::Emergency).owner(3));
    machine.drain_all();
    blocks.extend(fill(&machine, AllocRequest::movable().depth(Depth::Emergency).owner(3)));
    blocks.sort_unstable();
    assert_eq!((blocks.len(), machine.free_count()), (9 * unit::<G>(), 0));
    assert!(machine.allocated_blocks().map(|block| block.pfn).eq(blocks.iter().copied()));
    for block in machine.allocated_blocks() {
        assert_eq!((block.owner, block.site.location().is_some()), (3, cfg!(feature = "page_owner")));
    }
    assert!(machine.pageblocks().all(|pageblock| pageblock.allocated == pageblock.range.len()));
    assert_eq!(machine.set_range_owner(pieces[0], 4), Ok(()));
    assert_eq!(machine.census_by_owner::<2>().pages_of(4), pieces[0].len());
    let between = PfnRange::new(pieces[1].start(), pieces[0].end());
    let hole = pieces[1].end();
    assert_eq!(machine.set_range_owner(between, 5), Err(FreeError::Foreign { pfn: hole }));
    // Every pageblock has free pages before one of them is free as a whole.
    for half in [0, 1] {
        let pages = blocks.iter().filter(|page| page.number() % 2 == half);
        pages.for_each(|page| machine.free_pages(*page, Order::ZERO).unwrap());
        let (cached, before) = (machine.meminfo().cached, machine.vmstat().total().drain_pages);
        machine.drain_all();
        assert_eq!(machine.vmstat().total().drain_pages - before, cached as u64);
        machine.verify().unwrap();
    }
    assert_eq!(machine.free_count(), blocks.len());
}

fn memory_is_added_in_any_order_and_may_touch<G: Geometry>() {
    let (machine, end) = small::<G>();
    let boot = machine.free_count();
    let order = [5, 2, 7, 3, 4, 0, 6, 1];
    for (number, above) in order.into_iter().enumerate() {
        plug(&machine, units::<G>(end, above, 1));
        machine.verify().unwrap();
        assert_eq!(machine.free_count(), boot + (number + 1) * unit::<G>());
    }
    // All of it is one piece now, with that of boot.
    let all = PfnRange::new(machine.span().start(), machine.span().end());
    assert_eq!(all.len(), machine.free_count());
    let contig = machine.alloc_contig(all, &Easygoing, ContigOptions::default()).unwrap();
    machine.verify().unwrap();
    drop(contig);
    assert!(machine.audit().is_exact());
}

fn records_live_in_the_memory_that_they_are_for<G: Geometry>() {
    let (machine, end) = small::<G>();
    let boot = machine.free_count();
    let far = PfnRange::with_len(Pfn::new((end + (1 << 30)).next_multiple_of(1 << 20)), 64 << 10);
    // The memory, as this program has it.
    let memory = vec![0xff_u8; (far.len() + 1) * 4096].leak();
    let start = memory.as_mut_ptr().expose_provenance().next_multiple_of(4096) as u64;
    let offset = start.wrapping_sub(far.start().start_address());
    let layout = machine.records_layout(far).unwrap();
    // SAFETY: all frames of the range are in the buffer, which has no other user.
    let taken = unsafe { machine.add_records_at_offset(far, offset) }.unwrap();
    assert_eq!((taken.end(), taken.len()), (far.end(), layout.size().div_ceil(4096)));
    machine.verify().unwrap();
    let error =
        unchanged(&machine, || machine.add_memory(units::<G>(end, 1, 1), MemoryUse::Ordinary).unwrap_err());
    assert!(matches!(error, HandOverError::Range(RangeError::Foreign { .. })), "{error}");
    let rest = PfnRange::new(far.start(), taken.start());
    machine.add_memory(rest, MemoryUse::Ordinary).unwrap();
    assert_eq!(machine.free_count(), boot + rest.len());
    machine.verify().unwrap();
    let request = AllocRequest::movable().depth(Depth::Emergency);
    let blocks = fill(&machine, request);
    assert!(!blocks.iter().any(|pfn| taken.contains(*pfn)));
    assert_eq!(blocks.len(), boot + rest.len());
    // The owner of every page writes it. The records survive that.
    for pfn in blocks.iter().filter(|pfn| far.contains(**pfn)) {
        let at = pfn.start_address().wrapping_add(offset) as usize;
        // SAFETY: the page is in the buffer, and is allocated.
        unsafe { core::ptr::with_exposed_provenance_mut::<u8>(at).write_bytes(0xaa, 4096) };
    }
    for pfn in blocks {
        machine.free_pages(pfn, Order::ZERO).unwrap();
    }
    machine.verify().unwrap();
}

on_every_geometry!(
    added_memory_is_like_any_other,
    walks_find_what_is_in_added_memory,
    memory_is_added_in_any_order_and_may_touch,
    records_live_in_the_memory_that_they_are_for,
);

#[test]
fn a_page_of_added_memory_is_cached_for_its_own_zone() {
    // Both zones have memory at boot, or they would have no pcplists.
    let machine = machine::<X86_64>(&usable(&[(1 << 30, 5 << 28), (8 << 30, 33 << 28)]));
    let border = X86_64::DMA32_END.number();
    let added = range(border - 8 * 512, border + 8 * 512);
    plug(&machine, added);
    let request = AllocRequest::movable().depth(Depth::Emergency);
    let pages = fill(&machine, request).len() + machine.meminfo().cached;
    assert_eq!((pages, machine.free_count()), (machine.managed_count(), 0));
    machine.drain_all();
    let low = request.highest_zone(ZoneKind::Dma32);
    for page in added.iter().step_by(512) {
        machine.free_pages(page, Order::ZERO).unwrap();
        let found = machine.alloc_pages(low);
        assert_eq!(found.is_ok(), page.number() < border, "{page}");
        assert_eq!(found.or_else(|_| machine.alloc_pages(request)), Ok(page));
    }
}

#[test]
fn a_hot_add_window_costs_nothing_until_memory_is_plugged() {
    let map = usable(&[(0, 0x9_fc00), (1 << 20, 2 << 30)]);
    let machine = machine::<X86_64>(&map);
    let bytes = Metadata::layout(&map, 1).unwrap().size() - sites(1 << 19);
    assert!(bytes < 7 << 20, "{bytes} bytes for 2 GiB");
    let free = machine.free_count();
    // Slots of 64 MiB anywhere up to 64 TiB.
    let mut plugged = 0;
    for terabyte in [1_u64, 17, 64, 3, 40] {
        let slot = PfnRange::inside((terabyte << 40) - (64 << 20)..terabyte << 40);
        plug(&machine, slot);
        plugged += slot.len();
        assert_eq!(machine.free_count(), free + plugged);
    }
    machine.verify().unwrap();
    // Plugged pages are cached like others.
    let pages = fill(&machine, AllocRequest::movable());
    pages.into_iter().for_each(|pfn| machine.free_pages(pfn, Order::ZERO).unwrap());
    assert!(machine.zoneinfo().zones[2].cached > 0);
    machine.verify().unwrap();
}

#[test]
fn ranges_that_cannot_have_records_are_refused_by_name() {
    let (machine, end) = small::<X86_64>();
    let layout = |range| unchanged(&machine, || machine.records_layout(range).unwrap_err());
    let nothing = range(end, end);
    assert_eq!(layout(nothing), RecordsError::Empty { range: nothing });
    let boot = range(end - 10, end);
    assert_eq!(layout(boot), RecordsError::Recorded { pfn: boot.start() });
    plug(&machine, units::<X86_64>(end, 2, 1));
    let around = range(end, end + 4096);
    assert_eq!(layout(around), RecordsError::Recorded { pfn: Pfn::new(end + 2048) });
    // What has records at its ends is no error: only the rest gets new ones.
    let overlapping = range(end - 10, end + 2048 + 10);
    plug(&machine, range(end, end + 2048));
    assert_eq!(layout(overlapping), RecordsError::Recorded { pfn: overlapping.start() });
    let huge = PfnRange::with_len(Pfn::new(1 << 36), 1 << 32);
    assert!(matches!(layout(huge), RecordsError::TooLarge { frames, limit } if frames > limit));
    let far = range(1 << 30, (1 << 30) + 1024);
    let needed = machine.records_layout(far).unwrap();
    let memory = vec![MaybeUninit::uninit(); needed.size() - 1].leak();
    let error = unchanged(&machine, || machine.add_records(far, memory).unwrap_err());
    assert!(matches!(error, RecordsError::MemoryTooSmall { given, needed } if given < needed), "{error}");
    // SAFETY: the range is shorter than its records, so that no memory is used.
    let error = unsafe { machine.add_records_at_offset(range(1 << 30, (1 << 30) + 2), 0) }.unwrap_err();
    assert_eq!(error, RecordsError::MemoryTooSmall { given: 8192, needed: needed.size() });
    machine.verify().unwrap();
}

#[test]
fn memory_is_added_while_other_cpus_use_the_allocator() {
    let (machine, end) = small::<X86_64>();
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for round in 0..300 {
                    let order = Order::new((round % 4) as u8 + 4);
                    for pfn in fill(&machine, AllocRequest::movable().order(order)) {
                        assert_eq!(machine.owner(pfn, order), Ok(0));
                        machine.free_pages(pfn, order).unwrap();
                    }
                    // A guess at a frame that may be added at this moment.
                    let guess = Pfn::new(end + round % 40 * 4096);
                    assert!(machine.owner(guess, Order::new(10)).is_err());
                }
            });
        }
        for slot in 0..40 {
            plug(&machine, PfnRange::with_len(Pfn::new(end + slot * 4096), 1024));
        }
    });
    machine.drain_all();
    assert_eq!(machine.free_count(), 4 * 1024 + 40 * 1024);
    machine.verify().unwrap();
}
