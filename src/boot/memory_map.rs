//! The memory map: which bytes are memory, and which of these are reserved.
//!
//! Boot protocols differ in the order, overlap and granularity of their regions, and in what they
//! call usable. A [`MemoryMap`] takes half-open byte ranges in any order, keeps them sorted and
//! merged, and returns whole usable frames. Usable memory is rounded inward after merging, reserved
//! memory outward. A frame that is both is reserved.

use core::ops::Range;

use crate::base::{InitError, MapFull, PAGE_SIZE, Pfn, PfnRange};

/// A sorted set of at most `N` disjoint, non-adjacent byte ranges.
#[derive(Clone, Debug)]
struct RangeSet<const N: usize> {
    ranges: [(u64, u64); N],
    len: usize,
}

impl<const N: usize> RangeSet<N> {
    const fn new() -> Self {
        Self { ranges: [(0, 0); N], len: 0 }
    }

    fn as_slice(&self) -> &[(u64, u64)] {
        self.ranges.get(..self.len).unwrap_or(&[])
    }

    fn insert(&mut self, start: u64, end: u64) -> Result<(), MapFull> {
        if start >= end {
            return Ok(());
        }
        // The new range merges with the ranges first..last, which overlap it or are adjacent.
        let first = self.as_slice().partition_point(|range| range.1 < start);
        let last = self.as_slice().partition_point(|range| range.0 <= end);
        if first == last {
            if self.len == N {
                return Err(MapFull { capacity: N });
            }
            self.ranges.copy_within(first..self.len, first + 1);
            self.ranges[first] = (start, end);
            self.len += 1;
            return Ok(());
        }
        let merged = (start.min(self.ranges[first].0), end.max(self.ranges[last - 1].1));
        self.ranges[first] = merged;
        self.ranges.copy_within(last..self.len, first + 1);
        self.len -= last - first - 1;
        Ok(())
    }
}

/// Usable and reserved memory: up to `N` separate ranges of each, in 32 bytes for each of `N`.
///
/// ```
/// use pageblock::MemoryMap;
///
/// let mut map = MemoryMap::new();
/// map.add_usable(0x10_0000..0x800_0000)?;
/// map.add_usable(0x0..0x9_fc00)?;
/// map.reserve(0x20_0000..0x2f_1234)?; // the kernel image
/// assert_eq!(map.usable_frames(), 0x9f + 0x100 + (0x8000 - 0x2f2));
/// # Ok::<(), pageblock::MapFull>(())
/// ```
#[derive(Clone, Debug)]
pub struct MemoryMap<const N: usize = 256> {
    usable: RangeSet<N>,
    reserved: RangeSet<N>,
}

impl<const N: usize> Default for MemoryMap<N> {
    fn default() -> Self {
        Self::with_capacity()
    }
}

impl MemoryMap {
    /// A map without memory, for up to 256 separate ranges of each kind.
    #[must_use]
    pub const fn new() -> Self {
        Self::with_capacity()
    }

    /// A map of usable byte ranges, which must be in ascending order and disjoint.
    ///
    /// # Errors
    ///
    /// As [`add_sorted`](Self::add_sorted).
    pub fn from_sorted(usable: impl IntoIterator<Item = Range<u64>>) -> Result<Self, InitError> {
        let mut map = Self::new();
        map.add_sorted(usable)?;
        Ok(map)
    }
}

impl<const N: usize> MemoryMap<N> {
    /// A map without memory, for up to `N` separate ranges of each kind.
    #[must_use]
    pub const fn with_capacity() -> Self {
        Self { usable: RangeSet::new(), reserved: RangeSet::new() }
    }

    /// Adds a usable range of physical addresses, in bytes. Empty and backward ranges add nothing.
    ///
    /// All usable ranges together are rounded inward, as [`PfnRange::inside`] does: a frame is
    /// usable if all of its bytes are.
    ///
    /// # Errors
    ///
    /// [`MapFull`]; the map is unchanged then.
    pub fn add_usable(&mut self, bytes: Range<u64>) -> Result<(), MapFull> {
        self.usable.insert(bytes.start, bytes.end)
    }

    /// Reserves a range of physical addresses, in bytes, before or after it is added as usable.
    ///
    /// It is rounded outward, as [`PfnRange::covering`] does: a frame is reserved if one of its
    /// bytes is. Empty and backward ranges reserve nothing.
    ///
    /// # Errors
    ///
    /// [`MapFull`]; the map is unchanged then.
    pub fn reserve(&mut self, bytes: Range<u64>) -> Result<(), MapFull> {
        self.reserved.insert(bytes.start, bytes.end)
    }

    /// Adds usable byte ranges, which must be in ascending order and disjoint.
    ///
    /// # Errors
    ///
    /// [`InitError::Unsorted`] or [`InitError::Overlap`] with the index of the range,
    /// [`InitError::MapFull`], or [`InitError::EmptyMap`] if the map then has no usable frame. The
    /// ranges before the one in error have been added.
    pub fn add_sorted(&mut self, usable: impl IntoIterator<Item = Range<u64>>) -> Result<(), InitError> {
        let mut last: Option<Range<u64>> = None;
        for (index, bytes) in usable.into_iter().enumerate() {
            if let Some(last) = last {
                if bytes.start < last.start {
                    return Err(InitError::Unsorted { index });
                }
                if bytes.start < last.end {
                    return Err(InitError::Overlap { index });
                }
            }
            self.add_usable(bytes.clone())?;
            last = Some(bytes);
        }
        if self.span().is_none() { Err(InitError::EmptyMap) } else { Ok(()) }
    }

    /// The usable frames, as ranges in ascending order.
    pub fn usable(&self) -> impl Iterator<Item = PfnRange> {
        self.usable.as_slice().iter().flat_map(move |&(start, end)| {
            let mut at = frame_up(start);
            let end = frame_down(end);
            let mut reserved = self.reserved.as_slice().iter();
            core::iter::from_fn(move || {
                while at < end {
                    let Some(&(taken, free)) = reserved.next() else {
                        let rest = PfnRange::new(at, end);
                        at = end;
                        return Some(rest);
                    };
                    let (taken, free) = (frame_down(taken), frame_up(free));
                    if free <= at {
                        continue;
                    }
                    let piece = PfnRange::new(at, taken.min(end));
                    at = at.max(free);
                    if !piece.is_empty() {
                        return Some(piece);
                    }
                }
                None
            })
        })
    }

    /// The reserved frames that are memory, at least in part.
    pub(crate) fn reserved(&self) -> impl Iterator<Item = PfnRange> {
        self.reserved.as_slice().iter().flat_map(move |&(start, end)| {
            let reserved = PfnRange::new(frame_down(start), frame_up(end));
            self.usable
                .as_slice()
                .iter()
                .map(move |&(start, end)| {
                    reserved.intersection(PfnRange::new(frame_down(start), frame_up(end)))
                })
                .filter(|range| !range.is_empty())
        })
    }

    /// The number of usable frames.
    #[must_use]
    pub fn usable_frames(&self) -> usize {
        self.usable().map(PfnRange::len).sum()
    }

    /// The range from the first usable frame to the last, including holes; `None` if there is none.
    #[must_use]
    pub fn span(&self) -> Option<PfnRange> {
        let mut usable = self.usable();
        let first = usable.next()?;
        let last = usable.last().unwrap_or(first);
        Some(PfnRange::new(first.start(), last.end()))
    }
}

fn frame_down(address: u64) -> Pfn {
    Pfn::containing(address)
}

fn frame_up(address: u64) -> Pfn {
    match address.checked_add(PAGE_SIZE - 1) {
        Some(address) => Pfn::containing(address),
        None => Pfn::containing(u64::MAX).up(1),
    }
}

#[cfg(test)]
mod tests {
    use super::MemoryMap;
    use crate::base::{InitError, MapFull};

    fn frames<const N: usize>(map: &MemoryMap<N>) -> Vec<(usize, usize)> {
        map.usable().map(|range| (range.start().number(), range.end().number())).collect()
    }

    fn map(usable: &[(u64, u64)], reserved: &[(u64, u64)]) -> MemoryMap {
        let mut map = MemoryMap::new();
        for &(start, end) in usable {
            map.add_usable(start..end).unwrap();
        }
        for &(start, end) in reserved {
            map.reserve(start..end).unwrap();
        }
        map
    }

    #[test]
    fn ranges_may_be_unsorted_and_overlap() {
        let tidy = map(&[(0x1000, 0x5000), (0x8000, 0x9000)], &[]);
        let messy = map(&[(0x8000, 0x9000), (0x2000, 0x5000), (0x1000, 0x3000), (0x2000, 0x2000)], &[]);
        assert_eq!(frames(&tidy), [(1, 5), (8, 9)]);
        assert_eq!(frames(&messy), frames(&tidy));
    }

    #[test]
    fn usable_rounds_inward_after_merging() {
        assert_eq!(frames(&map(&[(0x1001, 0x1800), (0x1800, 0x3fff)], &[])), [(2, 3)]);
        assert_eq!(frames(&map(&[(0x1000, 0x1800), (0x1800, 0x3000)], &[])), [(1, 3)]);
        assert_eq!(frames(&map(&[(0x1001, 0x1fff)], &[])), []);
    }

    #[test]
    fn reserved_rounds_outward_and_overrides_usable() {
        assert_eq!(frames(&map(&[(0x0, 0x8000)], &[(0x2fff, 0x4001)])), [(0, 2), (5, 8)]);
        assert_eq!(frames(&map(&[(0x0, 0x8000)], &[(0x0, 0x8000)])), []);
        assert_eq!(frames(&map(&[(0x4000, 0x8000)], &[(0x0, 0x5000), (0x7800, 0x9000)])), [(5, 7)]);
        assert_eq!(frames(&map(&[(0x0, 0x2000), (0x4000, 0x6000)], &[(0x1000, 0x5000)])), [(0, 1), (5, 6)]);
    }

    #[test]
    fn zero_length_and_backward_ranges_add_nothing() {
        let map = map(&[(0x1000, 0x1000), (0x5000, 0x1000)], &[(0x9000, 0x8000)]);
        assert_eq!(map.span(), None);
    }

    #[test]
    fn the_top_of_the_address_space_does_not_overflow() {
        let map = map(&[(u64::MAX - 0x2fff, u64::MAX)], &[(u64::MAX - 0xfff, u64::MAX)]);
        assert_eq!(map.usable_frames(), 2);
    }

    #[test]
    fn three_hundred_tiny_adjacent_regions_become_one() {
        let mut map: MemoryMap<4> = MemoryMap::with_capacity();
        for n in (0..300_u64).rev() {
            map.add_usable(n * 0x800..(n + 1) * 0x800).unwrap();
        }
        assert_eq!(frames(&map), [(0, 150)]);
    }

    #[test]
    fn three_hundred_separate_regions_need_a_capacity_of_three_hundred() {
        fn fill<const N: usize>() -> Result<MemoryMap<N>, MapFull> {
            let mut map = MemoryMap::with_capacity();
            // Every second frame, from both ends inward: no ranges merge, and they are unsorted.
            for n in (0..150_u64).flat_map(|n| [n, 299 - n]) {
                map.add_usable(n * 0x2000..n * 0x2000 + 0x1000)?;
                map.reserve(n * 0x2000 + 0x1800..n * 0x2000 + 0x1900)?;
            }
            Ok(map)
        }
        let map = fill::<300>().unwrap();
        assert_eq!((map.usable_frames(), map.usable().count()), (300, 300));
        assert_eq!(map.span().map(|span| (span.start().number(), span.end().number())), Some((0, 599)));
        assert_eq!(fill::<299>().err(), Some(MapFull { capacity: 299 }));
    }

    #[test]
    fn usable_frames_of_a_table_of_maps() {
        const TOP: u64 = u64::MAX - 0xfff; // the last frame's first byte
        const LAST: usize = (TOP >> 12) as usize;
        type Ranges = &'static [(u64, u64)];
        type Frames = &'static [(usize, usize)];
        // Usable bytes, reserved bytes, and the usable frames.
        let table: [(&str, Ranges, Ranges, Frames); 12] = [
            ("nothing", &[], &[(0, 0x1000)], &[]),
            ("zero length", &[(0x3000, 0x3000)], &[], &[]),
            ("zero length inside another", &[(0, 0x4000), (0x2000, 0x2000)], &[(0x1000, 0x1000)], &[(0, 4)]),
            ("one byte short of a frame", &[(0x1000, 0x1fff)], &[], &[]),
            ("twice the same", &[(0, 0x4000), (0, 0x4000)], &[], &[(0, 4)]),
            ("one inside the other", &[(0, 0x8000), (0x2000, 0x3000)], &[], &[(0, 8)]),
            ("many bridged by one", &[(0, 0x1000), (0x4000, 0x5000), (0x800, 0x4800)], &[], &[(0, 5)]),
            ("a hole of a byte", &[(0, 0x2fff), (0x3000, 0x5000)], &[], &[(0, 2), (3, 5)]),
            ("reserved at both ends", &[(0x1000, 0x6000)], &[(0, 0x1001), (0x5fff, 0x6000)], &[(2, 5)]),
            ("one reserved byte on a border", &[(0, 0x4000)], &[(0x1fff, 0x2001)], &[(0, 1), (3, 4)]),
            ("the last frame is cut by its last byte", &[(TOP - 0x1000, u64::MAX)], &[], &[(LAST - 1, LAST)]),
            ("all of it, reserved at the top", &[(0, u64::MAX)], &[(0x1000, u64::MAX)], &[(0, 1)]),
        ];
        for (name, usable, reserved, expected) in table {
            assert_eq!(frames(&map(usable, reserved)), expected, "{name}");
        }
    }

    #[test]
    fn a_full_map_refuses_a_range_and_is_unchanged() {
        let mut map: MemoryMap<2> = MemoryMap::with_capacity();
        map.add_usable(0x0..0x1000).unwrap();
        map.add_usable(0x2000..0x3000).unwrap();
        assert_eq!(map.add_usable(0x4000..0x5000), Err(MapFull { capacity: 2 }));
        assert_eq!(frames(&map), [(0, 1), (2, 3)]);
        map.add_usable(0x1000..0x2000).unwrap();
        assert_eq!(frames(&map), [(0, 3)]);
    }

    #[test]
    fn a_sorted_map_must_be_sorted_and_disjoint() {
        let sorted = |ranges: &[(u64, u64)]| {
            MemoryMap::from_sorted(ranges.iter().map(|&(start, end)| start..end))
                .map(|map| map.usable_frames())
        };
        assert_eq!(sorted(&[(0x1000, 0x2000), (0x3000, 0x5000)]), Ok(3));
        assert_eq!(sorted(&[]), Err(InitError::EmptyMap));
        assert_eq!(sorted(&[(0x1100, 0x1200)]), Err(InitError::EmptyMap));
        assert_eq!(sorted(&[(0x3000, 0x5000), (0x1000, 0x2000)]), Err(InitError::Unsorted { index: 1 }));
        assert_eq!(sorted(&[(0x1000, 0x3000), (0x2000, 0x4000)]), Err(InitError::Overlap { index: 1 }));
    }

    #[test]
    fn only_memory_counts_as_reserved() {
        let map = map(&[(0x1000, 0x4000)], &[(0x3000, 0x9000)]);
        let reserved: Vec<_> =
            map.reserved().map(|range| (range.start().number(), range.end().number())).collect();
        assert_eq!(reserved, [(3, 4)]);
    }
}
