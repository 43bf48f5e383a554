//! Allocators that cannot be built.

use pageblock::{InitError, MapFull, MemoryMap, Metadata};

#[test]
fn without_cpus_or_memory() {
    let mut map: MemoryMap<4> = MemoryMap::with_capacity();
    assert_eq!(Metadata::layout(&map, 1).unwrap_err(), InitError::EmptyMap);
    map.add_usable(0..1 << 20).unwrap();
    assert_eq!(Metadata::layout(&map, 0).unwrap_err(), InitError::NoCpus);
}

#[test]
fn with_a_map_that_breaks_its_promise() {
    let sorted = |ranges: &[(u64, u64)]| {
        let mut map = MemoryMap::<2>::with_capacity();
        map.add_sorted(ranges.iter().map(|&(start, end)| start..end)).unwrap_err()
    };
    assert_eq!(sorted(&[]), InitError::EmptyMap);
    assert_eq!(sorted(&[(8 << 20, 9 << 20), (0, 1 << 20)]), InitError::Unsorted { index: 1 });
    assert_eq!(sorted(&[(0, 2 << 20), (1 << 20, 3 << 20)]), InitError::Overlap { index: 1 });
    let full = sorted(&[(0, 1 << 12), (2 << 12, 3 << 12), (4 << 12, 5 << 12)]);
    assert_eq!(full, InitError::MapFull(MapFull { capacity: 2 }));
}

#[test]
fn over_more_frames_than_can_be_named() {
    let mut map: MemoryMap<4> = MemoryMap::with_capacity();
    map.add_usable(0..1 << 12).unwrap();
    map.add_usable(1 << 50..(1 << 50) + 4096).unwrap();
    assert!(Metadata::layout(&map, 1).is_ok(), "a large span, but little memory");
    for part in 1..=2 {
        map.add_usable(part << 44..(part << 44) + (1 << 43)).unwrap();
    }
    let error = Metadata::layout(&map, 1).unwrap_err();
    let frames = (1 << 32) + 2048;
    assert_eq!(error, InitError::TooLarge { frames, limit: u32::MAX as usize - 1 });
}
