//! Memory that is not one piece: maps of real machines, and maps with holes of any size.

use std::mem::MaybeUninit;

use pageblock::{
    AllocRequest, CmaArea, ContigOptions, ContigPlace, Depth, FrameKind, FreeError, Geometry, IsolateError,
    MemoryMap, MemoryUse, Metadata, Order, PageAllocator, Pfn, PfnRange, RangeError, Tuning, ZoneKind,
};
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::test_runner::{Config, TestRunner};

use crate::support::{
    Easygoing, Machine, Threads, bitmap, fill, on_every_geometry, orders, range, unchanged, unit,
};

/// The map of a machine: its entries, by first and last byte (`u` usable, `r` reserved, `a` ACPI
/// data, `n` ACPI NVS, `b` bootloader, `k` kernel or module), and what an allocator has to make of
/// them: the usable frames, and the frames that have records.
struct Map {
    number: u32,
    entries: &'static str,
    usable: usize,
    recorded: usize,
}

const MAPS: [Map; 12] = [
    Map {
        number: 1,
        entries: "u 52000..9efff, r 9fc00..9ffff, r f0000..fffff, u 100000..7ff1afff, \
            b 7ff1b000..7ff1dfff, k 7ff1e000..7ff25fff, b 7ff26000..7ff3ffff, u 7ff40000..7ff40fff, \
            b 7ff41000..7ff42fff, u 7ff43000..7ff5dfff, b 7ff5e000..7ffdefff, r 7ffdf000..7fffffff, \
            b 1000..51fff",
        usable: 523_908,
        recorded: 0x8_0000,
    },
    Map {
        number: 2,
        entries: "u 52000..9efff, u 100000..ff2dfff, b ff2e000..ff31fff, k ff32000..ff35fff, \
            b ff36000..ff43fff, u ff44000..ff62fff, b ff63000..ffdffff, r fd00000000..ffffffffff, \
            b 1000..51fff",
        usable: 65_178,
        recorded: 0x1_0000,
    },
    Map { number: 3, entries: "u 0..9fbff, u 100000..3fffffff", usable: 262_047, recorded: 0x4_0000 },
    Map {
        number: 4,
        entries: "u 0..effff, r f0000..fffff, u 200000..200fffff, r 20100000..bfffffff, \
            r e0000000..ffffffff",
        usable: 131_056,
        recorded: 0x2_0400,
    },
    Map {
        number: 5,
        entries: "u 0..9dfff, r 9e000..fffff, u 100000..21fffff, u 2e1e000..2e1dfff, \
            u 6e17000..25352fff, r 25353000..253d2fff, u 253d3000..2bdfffff, r 2be00000..2c1fffff, \
            u 2c200000..2c3ecfff, r 2c3ed000..2c6eafff, u 2c6eb000..2c6ebfff",
        usable: 160_501,
        recorded: 0x2_c800,
    },
    Map {
        number: 6,
        entries: "u 0..9fbff, r 9fc00..9ffff, r e6000..fffff, u 100000..1fe2ffff, \
            n 1fe30000..1fe4180f, r 1fe41810..1ff2ffff, a 1ff30000..1ff3ffff, n 1ff40000..1ffeffff, \
            r 1fff0000..1fffffff",
        usable: 130_511,
        recorded: 0x2_0000,
    },
    Map {
        number: 7,
        entries: "u 0..9efff, r 9f000..9ffff, r f0000..fffff, u 100000..f78ffff, r f790000..1fffdfff, \
            r fffc0000..ffffffff",
        usable: 63_279,
        recorded: 0xf800,
    },
    Map { number: 8, entries: "u 0..9fffe, u 100000..3fffffff", usable: 262_047, recorded: 0x4_0000 },
    Map {
        number: 9,
        entries: "r 0..fff, u 1000..5ffff, r 60000..67fff, u 68000..9ffff, n a0000..fffff, \
            u 100000..7fffff, r 800000..b57fff, u b58000..7edfffff, r 7ee00000..7effffff, \
            n 7f000000..7f6fffff, r 7f700000..7f7fffff, n 7f800000..8fffffff",
        usable: 518_719,
        recorded: 0x7_f000,
    },
    Map {
        number: 10,
        entries: "u 0..9ffff, u 100000..7fffff, n 800000..80cfff, r 80d000..80ffff, u 810000..810fff, \
            n 811000..8fffff, u 900000..7f4ecfff, r 7f4ed000..7f5ecfff",
        usable: 521_102,
        recorded: 0x7_f800,
    },
    Map {
        number: 15,
        entries: "u 0..9fbff, u 100000..7fffffff, r fd00000000..ffffffffff, \
            u 10000000000..1007fffffff",
        usable: 1_048_479,
        recorded: 0x10_0000,
    },
    Map {
        number: 16,
        entries: "u 0..9fbff, u 100000..7fffffff, r fd00000000..ffffffffff, \
            u 10000000000..1037fffffff",
        usable: 4_194_207,
        recorded: 0x40_0000,
    },
];

fn parse(entries: &str) -> MemoryMap {
    let mut map = MemoryMap::new();
    for entry in entries.split(", ") {
        let (kind, bytes) = entry.trim().split_once(' ').unwrap();
        let (first, last) = bytes.split_once("..").unwrap();
        let [first, last] = [first, last].map(|number| u64::from_str_radix(number, 16).unwrap());
        let bytes = first..last + 1;
        if "ubk".contains(kind) {
            map.add_usable(bytes.clone()).unwrap();
        }
        if kind != "u" {
            map.reserve(bytes).unwrap();
        }
    }
    map
}

/// A map with this usable memory, in bytes.
pub(crate) fn usable(ranges: &[(u64, u64)]) -> MemoryMap {
    let mut map = MemoryMap::new();
    for &(start, end) in ranges {
        map.add_usable(start..end).unwrap();
    }
    map
}

/// A machine with its records in other memory, no watermarks, and one CPU.
pub(crate) fn machine<G: Geometry>(map: &MemoryMap) -> Machine<G> {
    let layout = Metadata::<G>::layout_with_geometry(map, 1).unwrap();
    let memory = vec![MaybeUninit::uninit(); layout.size() + layout.align()].leak();
    let metadata = Metadata::with_geometry(memory, map, 1).unwrap();
    PageAllocator::new(Threads, map, metadata, Tuning::default().min_free_pages(0)).unwrap()
}

/// Allocates all memory, the largest blocks first, and checks that the blocks are exactly the
/// usable frames of the map. Then frees it, after which everything must be as it was.
fn every_frame_is_handed_out_once<G: Geometry>(map: &MemoryMap, machine: &Machine<G>) {
    machine.verify().unwrap();
    assert!(machine.audit().is_exact());
    assert_eq!((machine.free_count(), machine.managed_count()), (map.usable_frames(), map.usable_frames()));
    let mut blocks = Vec::new();
    for order in orders::<G>().rev() {
        // Emergency requests may take the lowmem reserves.
        let request = AllocRequest::movable().order(order).depth(Depth::Emergency);
        blocks.extend(fill(machine, request).into_iter().map(|pfn| order.block(pfn)));
    }
    blocks.sort_by_key(|block| block.start());
    machine.verify().unwrap();
    let mut next = blocks.iter().copied().peekable();
    for region in map.usable() {
        let mut at = region.start();
        while at < region.end() {
            let block = next.next().unwrap_or_else(|| panic!("{at} is not handed out"));
            assert_eq!(block.start(), at, "the block after the one that ends at {at}");
            at = block.end();
        }
        assert_eq!(at, region.end());
    }
    assert_eq!(next.peek(), None, "memory that is not in the map");
    for block in blocks {
        machine.free_pages(block.start(), Order::covering(block.len())).unwrap();
    }
    machine.drain_all();
    assert_eq!(machine.free_count(), map.usable_frames());
    machine.verify().unwrap();
    assert!(machine.audit().is_exact());
}

/// The size of the sites of so many frames, which only the feature `page_owner` has.
pub(crate) fn sites(frames: usize) -> usize {
    if cfg!(feature = "page_owner") { frames * 8 } else { 0 }
}

#[test]
fn twelve_real_maps_boot_with_the_records_of_their_memory() {
    for Map { number, entries, usable, recorded } in MAPS {
        let map = parse(entries);
        assert_eq!(map.usable_frames(), usable, "map {number}");
        let bytes = Metadata::layout(&map, 1).unwrap().size();
        // A word, a state and a bit for a frame; 72 bytes and two bits a frame for a pageblock. The
        // zones, the pcplists of a CPU and the exchange are at most 149 KiB.
        let records = recorded * 12 + recorded / 8 + recorded / 512 * 72 + recorded / 4 + sites(recorded);
        let rest = bytes.checked_sub(records).unwrap_or_else(|| panic!("map {number}: {bytes} bytes"));
        assert!(rest < 149 << 10, "map {number}: {bytes} bytes, of which {rest} are not for frames");
        every_frame_is_handed_out_once(&map, &machine::<pageblock::X86_64>(&map));
    }
}

#[test]
fn memory_behind_a_terabyte_of_nothing_costs_thirteen_megabytes() {
    let moved = parse(MAPS[10].entries);
    let bytes = Metadata::layout(&moved, 1).unwrap().size() - sites(MAPS[10].recorded);
    assert!((13_000_000..13_500_000).contains(&bytes), "{bytes} bytes for 4 GiB in two halves");
}

#[test]
fn a_small_region_near_sixty_four_gibibytes_keeps_its_pages() {
    let map = usable(&[(0, 0xa_0000), (0x10_3f00_0000, 0x10_4f00_0000)]);
    // Both regions, widened to whole units.
    let bytes = Metadata::layout(&map, 1).unwrap().size() - sites(65 << 10);
    let records = bytes.div_ceil(4096);
    assert!(records < 260, "{records} pages of records for 65,696 pages");
    every_frame_is_handed_out_once(&map, &machine::<pageblock::X86_64>(&map));
}

#[test]
fn memory_may_be_anywhere_below_two_to_the_fifty_second() {
    let top = 1_u64 << 52;
    for ranges in [
        vec![(70 << 40, (70 << 40) + (64 << 30))],
        vec![(top - (64 << 20), top)],
        vec![(1 << 20, 64 << 20), (24 << 40, (24 << 40) + (32 << 20)), (top - (64 << 20), top - 4096)],
    ] {
        let map = usable(&ranges);
        let bytes = Metadata::layout(&map, 1).unwrap().size();
        let frames = map.usable_frames();
        assert!(bytes < frames * 13 + sites(frames) + (160 << 10), "{bytes} bytes for {frames} frames");
        every_frame_is_handed_out_once(&map, &machine::<pageblock::X86_64>(&map));
    }
}

#[test]
fn frames_of_a_large_hole_are_outside_every_zone() {
    let map = usable(&[(0, 64 << 20), (1 << 40, (1 << 40) + (64 << 20))]);
    let machine = machine::<pageblock::X86_64>(&map);
    let low_end = Pfn::containing(64 << 20);
    for pfn in [low_end, Pfn::containing(1 << 39), Pfn::new(Pfn::containing(1 << 40).number() - 1)] {
        assert_eq!(machine.free_pages(pfn, Order::ZERO), Err(FreeError::Foreign { pfn }));
        assert_eq!(machine.owner(pfn, Order::ZERO), Err(FreeError::Foreign { pfn }));
        let across = PfnRange::new(Pfn::new(pfn.number() - 1), pfn.checked_add(1).unwrap());
        let error = unchanged(&machine, || machine.isolate(across).unwrap_err());
        assert!(matches!(error, IsolateError::Range(RangeError::Foreign { .. })), "{error}");
        assert!(unchanged(&machine, || machine.add_memory(across, MemoryUse::Ordinary)).is_err());
    }
    // All frames of the hole at once, and with memory on both sides.
    let all = PfnRange::new(Pfn::new(0), machine.span().end());
    let error = machine.isolate(all).unwrap_err();
    assert_eq!(error, IsolateError::Range(RangeError::Foreign { pfn: low_end }));
}

/// Two pieces of memory with a hole of a terabyte between them, in one zone.
fn two_pieces<G: Geometry>(units: usize) -> (PfnRange, PfnRange, MemoryMap) {
    let low = PfnRange::with_len(G::DMA32_END, units * unit::<G>());
    let high = PfnRange::with_len(Pfn::new(low.start().number() + (1 << 28)), 2 * units * unit::<G>());
    let bytes = |range: PfnRange| (range.start().start_address(), range.end().start_address());
    (low, high, usable(&[bytes(low), bytes(high)]))
}

fn no_contiguous_range_crosses_a_hole<G: Geometry>() {
    let (low, high, map) = two_pieces::<G>(2);
    let machine = machine::<G>(&map);
    every_frame_is_handed_out_once(&map, &machine);
    let anywhere = |pages| {
        machine.alloc_contig_pages(pages, ContigPlace::default(), &Easygoing, ContigOptions::default())
    };
    let (first, second) = (anywhere(low.len()).unwrap(), anywhere(high.len()).unwrap());
    assert_eq!((first.range(), second.range()), (low, high), "the lowest place that has room");
    machine.verify().unwrap();
    drop((first, second));
    assert!(anywhere(high.len() + 1).is_err(), "no piece is so long");
    assert_eq!(machine.free_count(), map.usable_frames());
    machine.verify().unwrap();
}

fn every_range_operation_works_in_each_piece<G: Geometry>() {
    let (low, high, map) = two_pieces::<G>(3);
    let machine = machine::<G>(&map);
    let pageblock = G::PAGEBLOCK_ORDER.pages();
    for piece in [low, high] {
        let taken = PfnRange::with_len(piece.start(), pageblock);
        let isolated = machine.isolate(PfnRange::with_len(piece.start(), pageblock + 1)).unwrap();
        assert!(machine.isolate(taken).is_err(), "isolated already");
        assert_eq!(machine.isolated_count(), 2 * pageblock);
        machine.verify().unwrap();
        drop(isolated);
        let options = ContigOptions::default();
        let contig = machine.alloc_contig(taken, &Easygoing, options).unwrap();
        machine.verify().unwrap();
        drop(contig);
        let (offline, _) = machine.offline(taken, &Easygoing, &pageblock::NoNotifier, options).unwrap();
        assert_eq!(machine.managed_count(), map.usable_frames() - pageblock);
        machine.verify().unwrap();
        machine.online(offline, &pageblock::NoNotifier).unwrap();
        machine.reserve(taken).unwrap();
        machine.verify().unwrap();
        machine.add_memory(taken, MemoryUse::Ordinary).unwrap();
        machine.verify().unwrap();
        assert_eq!(machine.free_count(), map.usable_frames());
    }
    // The highest free pageblocks, then the next piece.
    let area = |pages| CmaArea::reserve(&machine, pages, ZoneKind::Normal, bitmap(pages)).unwrap();
    assert_eq!(area(high.len()).range(), high);
    assert_eq!(area(low.len()).range(), low);
    machine.verify().unwrap();
    assert!(machine.audit().is_exact());
}

/// A piece of memory: how far above the one before, and how long, in frames.
fn pieces() -> impl Strategy<Value = Vec<(usize, usize)>> {
    let hole = prop_oneof![
        3 => 0..64_usize,
        2 => 0..20_000_usize,
        2 => (1_usize << 15)..(1 << 16),
        2 => (1_usize << 20)..(1 << 34),
        1 => Just(1 << 15),
        1 => Just((1 << 15) - 1),
    ];
    let len = prop_oneof![3 => 1..40_usize, 2 => 1..3000_usize, 1 => Just(1024)];
    proptest::collection::vec((hole, len), 1..12)
}

/// Random pieces of memory, of which some are reserved.
fn random_maps_with_far_holes<G: Geometry>() {
    let config = Config { cases: 40, failure_persistence: None, ..Config::default() };
    let strategy = (pieces(), any::<u16>());
    TestRunner::new(config)
        .run(&strategy, |(pieces, reserved)| {
            let (mut map, mut at, mut frames) = (MemoryMap::new(), 0, 0);
            let byte = |frame: usize| Pfn::new(frame).start_address();
            let mut holes = Vec::new();
            for (number, (hole, len)) in pieces.into_iter().enumerate() {
                holes.push(range(at, at + hole));
                at += hole;
                map.add_usable(byte(at)..byte(at + len)).unwrap();
                if number > 0 && reserved >> number & 1 == 1 {
                    map.reserve(byte(at)..byte(at + len)).unwrap();
                } else {
                    frames += len;
                }
                at += len;
            }
            let machine = machine::<G>(&map);
            assert_eq!(map.usable_frames(), frames);
            every_frame_is_handed_out_once(&map, &machine);
            for hole in holes.into_iter().filter(|hole| !hole.is_empty()) {
                let ends = [hole.start(), Pfn::new(hole.end().number() - 1)];
                for pfn in ends {
                    let error = machine.free_pages(pfn, Order::ZERO).unwrap_err();
                    let expected = [FreeError::Hole { pfn }, FreeError::Foreign { pfn }];
                    assert!(expected.contains(&error), "{error}");
                }
                if hole.len() >= (1 << 15) + 2 * unit::<G>() {
                    let pfn = Pfn::new(hole.start().number() + hole.len() / 2);
                    assert_eq!(machine.free_pages(pfn, Order::ZERO), Err(FreeError::Foreign { pfn }));
                }
            }
            Ok(())
        })
        .unwrap();
}

on_every_geometry!(
    no_contiguous_range_crosses_a_hole,
    every_range_operation_works_in_each_piece,
    random_maps_with_far_holes,
);

#[test]
fn reserved_memory_has_records_and_can_be_added() {
    let mut map = usable(&[(1 << 20, 64 << 20), (1 << 40, (1 << 40) + (64 << 20))]);
    let module = (1 << 40) + (60 << 20)..(1 << 40) + (64 << 20);
    map.reserve(module.clone()).unwrap();
    let machine = machine::<pageblock::X86_64>(&map);
    let pfn = Pfn::containing(module.start);
    let kind = FrameKind::Reserved;
    assert_eq!(machine.free_pages(pfn, Order::ZERO), Err(FreeError::NotManaged { pfn, kind }));
    machine.add_memory(PfnRange::inside(module), MemoryUse::Ordinary).unwrap();
    assert_eq!(machine.free_count(), map.usable_frames() + 1024);
    machine.verify().unwrap();
}
