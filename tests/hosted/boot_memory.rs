//! Memory that is in use at boot: kept out by the map, and handed over later with one call.

use std::mem::MaybeUninit;

use pageblock::{
    AllocRequest, ContigError, ContigOptions, ContigPlace, Depth, FrameKind, HandOverError, MapFull,
    MemoryMap, MemoryUse, Metadata, Mobility, NoMigration, NotFree, Obstacle, Order, PageAllocator, Pfn,
    PfnRange, RangeError, Tuning, ZoneKind,
};

use crate::support::{Easygoing, Machine, Threads, Zoned, fill, frames, range, unchanged};

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const ONE_MIB: Pfn = Pfn::containing(MIB);

fn machine(map: &MemoryMap) -> Machine {
    let layout = Metadata::layout(map, 1).unwrap();
    let memory = vec![MaybeUninit::uninit(); layout.size() + layout.align()].leak();
    let metadata = Metadata::new(memory, map, 1).unwrap();
    PageAllocator::new(Threads, map, metadata, Tuning::default().min_free_pages(0)).unwrap()
}

/// All frames that can be had one by one.
fn all(machine: &Machine) -> Vec<Pfn> {
    let mut pages = fill(machine, AllocRequest::movable().depth(Depth::Emergency));
    pages.sort_unstable();
    pages
}

/// Memory without the regions in use; then these are handed over, one call each. Checks that every
/// frame of both is there. Regions are first and last byte, the last one excluded.
fn comes_home(usable: &[(u64, u64)], in_use: &[(u64, u64)]) {
    let regions = || in_use.iter().map(|&(start, end)| PfnRange::inside(start..end));
    let added: usize = regions().map(PfnRange::len).sum();
    // In use from the start, and as a part of what the map calls usable.
    for overlapping in [false, true] {
        let mut map = MemoryMap::new();
        usable.iter().for_each(|&(start, end)| map.add_usable(start..end).unwrap());
        for &(start, end) in in_use {
            if overlapping {
                map.add_usable(start..end).unwrap();
                map.reserve(start..end).unwrap();
            } else {
                map.add_reserved(start..end).unwrap();
            }
        }
        let machine = machine(&map);
        let before = machine.managed_count();
        assert_eq!(machine.free_count(), before);
        machine.verify().unwrap();
        for region in regions() {
            machine.add_memory(region, MemoryUse::Ordinary).unwrap();
            machine.verify().unwrap();
            // And back again.
            machine.reserve(region).unwrap();
            machine.verify().unwrap();
            machine.add_memory(region, MemoryUse::Ordinary).unwrap();
        }
        assert_eq!(machine.managed_count(), before + added, "{in_use:x?}");
        let pages = all(&machine);
        assert_eq!(pages.len(), before + added);
        for region in regions() {
            assert_eq!(pages.iter().filter(|pfn| region.contains(**pfn)).count(), region.len());
        }
    }
}

#[test]
fn a_ramdisk_at_the_top_of_memory_is_handed_over() {
    comes_home(&[(MIB, 196 * MIB)], &[(196 * MIB, 256 * MIB)]);
    comes_home(&[(MIB, 148 * MIB)], &[(148 * MIB, 256 * MIB)]);
}

#[test]
fn regions_anywhere_are_handed_over() {
    // Below all usable memory, between, above, beyond a hole, and in another zone than all of it.
    comes_home(&[(32 * MIB, 64 * MIB)], &[(MIB, 8 * MIB), (12 * MIB, 32 * MIB)]);
    comes_home(&[(MIB, 2 * MIB), (8 * MIB, 9 * MIB)], &[(2 * MIB, 8 * MIB), (9 * MIB, 40 * MIB)]);
    comes_home(&[(64 * MIB, 128 * MIB)], &[(2 * MIB, 3 * MIB)]);
    comes_home(&[(64 * MIB, 128 * MIB)], &[(GIB, GIB + 5 * MIB + 0x1000)]);
    comes_home(&[(4 * GIB - 64 * MIB, 4 * GIB - 32 * MIB)], &[(4 * GIB - 32 * MIB, 4 * GIB + 32 * MIB)]);
}

#[test]
fn a_module_across_a_zone_border_is_handed_over() {
    comes_home(&[(MIB, 256 * MIB)], &[(0x12_0000, 0x1dc_d700)]);
    comes_home(&[(MIB, 8 * MIB), (24 * MIB, 256 * MIB)], &[(8 * MIB, 24 * MIB)]);
    comes_home(&[(0x30_0000, 64 * MIB)], &[(0x12_0000, 0x30_0000), (64 * MIB, 0x523_4567)]);
}

#[test]
fn a_range_across_zone_borders_is_reserved_all_or_nothing() {
    // Zones end at frames 1024 and 4096.
    let machine = frames(&[(0, 8192)]).no_reserve().build_as::<Zoned>();
    let wanted = range(1000, 5000);
    for zone in ZoneKind::ALL {
        // A page in use, in each of the zones.
        let place = [range(1010, 1011), range(2000, 2001), range(4999, 5000)][zone as usize];
        let held = machine.alloc_contig(place, &Easygoing, ContigOptions::default()).unwrap();
        let error = unchanged(&machine, || machine.reserve(wanted).unwrap_err());
        assert_eq!(error, HandOverError::NotFree(NotFree { pfn: place.start(), reason: Obstacle::Contig }));
        drop(held);
    }
    machine.reserve(wanted).unwrap();
    machine.verify().unwrap();
    assert_eq!(machine.managed_count(), 8192 - wanted.len());
    let (pfn, kind) = (wanted.start(), FrameKind::Reserved);
    let error = unchanged(&machine, || machine.reserve(range(999, 1001)).unwrap_err());
    assert_eq!(error, HandOverError::Range(RangeError::NotManaged { pfn, kind }));
    // Added again with a part that is managed: nothing is.
    let error =
        unchanged(&machine, || machine.add_memory(range(1000, 5001), MemoryUse::Ordinary).unwrap_err());
    assert_eq!(error, HandOverError::Managed { pfn: Pfn::new(5000), kind: FrameKind::Free });
    machine.add_memory(wanted, MemoryUse::Ordinary).unwrap();
    machine.verify().unwrap();
    assert_eq!(machine.managed_count(), 8192);
    assert_eq!(machine.free_count(), 8192);
    // Movable-only memory may cross zones, too.
    machine.reserve(range(512, 4608)).unwrap();
    machine.add_memory(range(512, 4608), MemoryUse::MovableOnly).unwrap();
    machine.verify().unwrap();
    assert_eq!(machine.zoneinfo().zones.map(|zone| zone.movable_only), [512, 3072, 512]);
}

/// An entry of a UEFI memory map.
struct Descriptor {
    ty: u32,
    phys_start: u64,
    page_count: u64,
}

/// The loop of the guide for UEFI.
fn from_uefi(descriptors: &[Descriptor]) -> Result<MemoryMap, MapFull> {
    let mut map = MemoryMap::new();
    for memory in descriptors {
        let bytes = memory.phys_start..memory.phys_start + memory.page_count * 4096;
        match memory.ty {
            3 | 4 | 7 => map.add_usable(bytes)?,
            1 | 2 | 9 => map.add_reserved(bytes)?,
            _ => {}
        }
    }
    map.reserve_first_mebibyte();
    Ok(map)
}

/// A map that begins with boot services at 0, as those of EDK II do.
fn boot_services_at_0() -> MemoryMap {
    let memory = |ty, phys_start, page_count| Descriptor { ty, phys_start, page_count };
    from_uefi(&[
        memory(3, 0, 1),
        memory(7, 0x1000, 0x9f),
        memory(7, 0x10_0000, 0x700),
        memory(10, 0x80_0000, 8),
        memory(7, 0x80_8000, 8),
        memory(4, 0x90_0000, 0xc00),
        memory(2, 0x150_0000, 0x400),
        memory(7, 0x190_0000, 0x2000),
    ])
    .unwrap()
}

#[test]
fn frame_0_and_the_first_mebibyte_are_never_handed_out() {
    let machine = machine(&boot_services_at_0());
    assert!(machine.span().start() <= ONE_MIB);
    for below in [Pfn::new(1), Pfn::new(0xa0), ONE_MIB] {
        let place = ContigPlace::default().below(below);
        let error = machine.alloc_contig_pages(1, place, &NoMigration, ContigOptions::default()).unwrap_err();
        assert_eq!(error, ContigError::NoPlace { pages: 1 });
    }
    for zone in ZoneKind::ALL {
        for mobility in [Mobility::Unmovable, Mobility::Movable, Mobility::Reclaimable] {
            let request = AllocRequest::new(Order::ZERO, mobility).highest_zone(zone);
            let pages = fill(&machine, request.depth(Depth::Emergency));
            assert!(!pages.is_empty() && pages.iter().all(|pfn| *pfn >= ONE_MIB));
            pages.into_iter().for_each(|pfn| machine.free_pages(pfn, Order::ZERO).unwrap());
        }
    }
    let lowest =
        machine.alloc_contig_pages(1, ContigPlace::default().below(Pfn::new(0x200)), &NoMigration, {
            ContigOptions::default()
        });
    assert_eq!(lowest.unwrap().range().start(), ONE_MIB);
}

#[test]
fn low_memory_for_a_trampoline_is_given_by_address() {
    // From the map, before the allocator is made.
    let mut map = boot_services_at_0();
    let trampoline = map.reserve_below(1, ONE_MIB).unwrap();
    let second = map.reserve_below(2, Pfn::containing(0x8000)).unwrap();
    assert_eq!((trampoline, second), (range(0x9f, 0xa0), range(6, 8)));
    let machine = machine(&map);
    machine.verify().unwrap();
    assert!(all(&machine).iter().all(|pfn| *pfn >= ONE_MIB));
    // From the allocator, at a given place that the map has kept back.
    let place = range(8, 10);
    let error = machine.alloc_contig(place, &NoMigration, ContigOptions::default()).unwrap_err();
    assert!(error.to_string().contains("not managed"), "{error}");
    machine.add_memory(place, MemoryUse::Ordinary).unwrap();
    let depth = ContigOptions::default().depth(Depth::Emergency);
    let frames = machine.alloc_contig(place, &NoMigration, depth).unwrap();
    assert_eq!(frames.range(), place);
    machine.verify().unwrap();
    // When the other CPUs have started, both go the same way back.
    drop(frames);
    machine.reserve(place).unwrap();
    machine.add_memory(trampoline, MemoryUse::Ordinary).unwrap();
    machine.verify().unwrap();
}
