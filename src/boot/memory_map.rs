//! The memory map: which bytes are memory, and which of these are reserved.
//!
//! Boot protocols differ in the order, overlap and granularity of their regions, and in what they
//! call usable. A [`MemoryMap`] takes half-open byte ranges in any order, keeps them sorted and
//! merged, and returns whole usable frames. Usable memory is rounded inward after merging, reserved
//! memory outward. A frame that is both is reserved.

use core::ops::Range;

use crate::base::{InitError, MapFull, Order, PAGE_SIZE, Pfn, PfnRange};

/// The first frame above the first mebibyte.
const FIRST_MEBIBYTE_END: Pfn = Pfn::containing(0x10_0000);

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

    /// Whether [`insert`](Self::insert) has an entry for this range.
    fn has_room(&self, start: u64, end: u64) -> bool {
        let merges = self.as_slice().iter().any(|range| range.0 <= end && start <= range.1);
        start >= end || merges || self.len < N
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
    /// Memory, in use or not.
    usable: RangeSet<N>,
    reserved: RangeSet<N>,
    /// All frames below this are kept out.
    lowest: Pfn,
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
        // Made by the compiler, so that no build has copies of its parts on the stack.
        const { Self { usable: RangeSet::new(), reserved: RangeSet::new(), lowest: Pfn::new(0) } }
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

    /// Adds a range of physical addresses, in bytes, that is memory but in use: for a ramdisk, or
    /// for memory of the bootloader.
    ///
    /// As [`add_usable`](Self::add_usable) and [`reserve`](Self::reserve) in one. The frames get
    /// records, wherever they are, so that
    /// [`PageAllocator::add_memory`](crate::PageAllocator::add_memory) can take them over later.
    ///
    /// # Errors
    ///
    /// [`MapFull`]; the map is unchanged then.
    pub fn add_reserved(&mut self, bytes: Range<u64>) -> Result<(), MapFull> {
        if !self.usable.has_room(bytes.start, bytes.end) || !self.reserved.has_room(bytes.start, bytes.end) {
            return Err(MapFull { capacity: N });
        }
        self.add_usable(bytes.clone())?;
        self.reserve(bytes)
    }

    /// Reserves the first mebibyte: frame 0, real-mode memory, and where firmware writes.
    ///
    /// Linux keeps it from its page allocator on every x86 machine. Code that must be there, as the
    /// code that other CPUs start in, gets frames of it with
    /// [`reserve_below`](Self::reserve_below), before or after this.
    pub fn reserve_first_mebibyte(&mut self) {
        self.lowest = FIRST_MEBIBYTE_END;
    }

    /// Reserves `pages` frames that end at or below `limit`, the highest such frames that are
    /// usable, and returns them. They may be in the first mebibyte, but not frame 0.
    ///
    /// For the code that other CPUs start in, for instance, which must be below 1 MiB
    /// (`memblock_phys_alloc_range` in Linux).
    ///
    /// ```
    /// use pageblock::{MemoryMap, Pfn};
    ///
    /// let mut map = MemoryMap::new();
    /// map.add_usable(0x0..0x9_fc00)?;
    /// map.add_usable(0x10_0000..0x800_0000)?;
    /// map.reserve_first_mebibyte();
    /// let trampoline = map.reserve_below(1, Pfn::containing(0x10_0000))?;
    /// assert_eq!(trampoline.start().start_address(), 0x9_e000);
    /// # Ok::<(), pageblock::InitError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`InitError::NoRoomBelow`]; [`InitError::MapFull`]. The map is unchanged then.
    pub fn reserve_below(&mut self, pages: usize, limit: Pfn) -> Result<PfnRange, InitError> {
        let window = PfnRange::new(Pfn::new(1), limit);
        let parts = self.usable_from(Pfn::new(0)).map(|range| range.intersection(window));
        let part = parts.filter(|part| pages > 0 && part.len() >= pages).last();
        let end = part.ok_or(InitError::NoRoomBelow { pages, limit })?.end();
        let taken = PfnRange::new(Pfn::new(end.number() - pages), end);
        self.reserve(taken.start().start_address()..taken.end().start_address())?;
        Ok(taken)
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
        self.usable_from(self.lowest)
    }

    fn usable_from(&self, lowest: Pfn) -> impl Iterator<Item = PfnRange> {
        self.usable.as_slice().iter().flat_map(move |&(start, end)| {
            let mut at = frame_up(start).max(lowest);
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
        let reserved = self.reserved.as_slice().iter();
        let ranges = reserved.map(|&(start, end)| PfnRange::new(frame_down(start), frame_up(end)));
        ranges.chain([PfnRange::new(Pfn::new(0), self.lowest)]).flat_map(move |reserved| {
            self.usable
                .as_slice()
                .iter()
                .map(move |&(start, end)| {
                    reserved.intersection(PfnRange::new(frame_down(start), frame_up(end)))
                })
                .filter(|range| !range.is_empty())
        })
    }

    /// The memory, usable or reserved, as runs in ascending order that consist of whole blocks of
    /// order `unit`. A hole of fewer than `bridged` frames is part of the run around it. Ranges are
    /// rounded inward to frames first: what has no whole frame of memory has no record.
    pub(crate) fn memory(&self, unit: Order, bridged: usize) -> impl Iterator<Item = PfnRange> {
        let whole = move |&(start, end): &(u64, u64)| {
            let (start, end) = (frame_up(start), frame_down(end));
            (start < end).then(|| PfnRange::new(unit.align_down(start), unit.align_up(end)))
        };
        let mut ranges = self.usable.as_slice().iter().filter_map(whole).peekable();
        core::iter::from_fn(move || {
            let mut run = ranges.next()?;
            while let Some(next) = ranges.next_if(|next| next.start().offset_from(run.end()) < bridged) {
                run = PfnRange::new(run.start(), next.end());
            }
            Some(run)
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
    use core::ops::Range;

    use super::MemoryMap;
    use crate::base::{InitError, MapFull, Order, Pfn};

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
    fn sorted_ranges_may_touch_and_two_with_the_same_start_overlap() {
        let add = |ranges: [Range<u64>; 2]| MemoryMap::<4>::with_capacity().add_sorted(ranges);
        assert_eq!(add([0x1000..0x2000, 0x2000..0x3000]), Ok(()));
        assert_eq!(add([0x1000..0x2000, 0x1000..0x3000]), Err(InitError::Overlap { index: 1 }));
        assert_eq!(add([0x1000..0x2000, 0x0000..0x3000]), Err(InitError::Unsorted { index: 1 }));
    }

    #[test]
    fn a_run_of_memory_bridges_holes_that_are_smaller_than_asked_and_begins_with_a_whole_frame() {
        // Holes of four and of eight frames, and in the end a frame of which a byte is missing.
        let ranges = [(0, 0x4000), (0x8000, 0xc000), (0x1_4000, 0x1_7fff), (0x4_0000, 0x4_0fff)];
        let map = map(&ranges, &[]);
        let runs = |bridged| {
            let runs = map.memory(Order::new(2), bridged);
            runs.map(|run| (run.start().number(), run.end().number())).collect::<Vec<_>>()
        };
        assert_eq!(runs(4), [(0, 4), (8, 12), (20, 24)]);
        assert_eq!(runs(5), [(0, 12), (20, 24)]);
        assert_eq!(runs(8), [(0, 12), (20, 24)]);
        assert_eq!(runs(9), [(0, 24)]);
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

    #[test]
    fn reserved_memory_is_in_the_span_of_the_records_and_holes_are_not() {
        let span = |map: &MemoryMap| {
            let memory = map.memory(Order::ZERO, usize::MAX).next();
            memory.map(|span| (span.start().number(), span.end().number()))
        };
        let mut map = map(&[(0x1000, 0x4000), (0x8000, 0xa000)], &[(0x0, 0x2000), (0x9000, 0x20000)]);
        assert_eq!(map.span().map(|span| (span.start().number(), span.end().number())), Some((2, 9)));
        assert_eq!(span(&map), Some((1, 10)));
        map.add_reserved(0x30000..0x32001).unwrap();
        assert_eq!((span(&map), map.usable_frames()), (Some((1, 0x32)), 3));
        map.reserve(0..0x1_0000_0000).unwrap();
        assert_eq!((span(&map), map.span()), (Some((1, 0x32)), None));
    }

    #[test]
    fn a_full_map_refuses_a_reserved_range_and_is_unchanged() {
        let mut map: MemoryMap<2> = MemoryMap::with_capacity();
        map.add_usable(0x0..0x1000).unwrap();
        map.reserve(0x8000..0x9000).unwrap();
        map.reserve(0xa000..0xb000).unwrap();
        let before = (map.usable.as_slice().to_vec(), map.reserved.as_slice().to_vec());
        assert_eq!(map.add_reserved(0x4000..0x5000), Err(MapFull { capacity: 2 }));
        assert_eq!((map.usable.as_slice().to_vec(), map.reserved.as_slice().to_vec()), before);
        map.add_reserved(0x9000..0xa000).unwrap();
        assert_eq!(map.reserved.as_slice(), [(0x8000, 0xb000)]);
        assert_eq!(map.add_reserved(0x4000..0x5000), Err(MapFull { capacity: 2 }));
        map.add_reserved(0x5000..0x5000).unwrap();
    }

    #[test]
    fn low_memory_is_kept_out_and_given_by_address_only() {
        let mut map = map(&[(0x0, 0x9_fc00), (0x10_0000, 0x20_0000)], &[(0x9_c000, 0x9_d000)]);
        map.reserve_first_mebibyte();
        assert_eq!(frames(&map), [(0x100, 0x200)]);
        let mut below = |pages, limit| {
            map.reserve_below(pages, Pfn::containing(limit))
                .map(|range| (range.start().number(), range.end().number()))
        };
        assert_eq!(below(1, 0x10_0000), Ok((0x9e, 0x9f)));
        assert_eq!(below(2, 0x10_0000), Ok((0x9a, 0x9c)), "above it is one frame only");
        assert_eq!(below(1, 0x10_0000), Ok((0x9d, 0x9e)));
        assert_eq!(below(1, 0x8000), Ok((0x7, 0x8)));
        assert_eq!(below(6, 0x8000), Ok((0x1, 0x7)));
        let none = |pages, limit| Err(InitError::NoRoomBelow { pages, limit: Pfn::containing(limit) });
        assert_eq!(below(1, 0x8000), none(1, 0x8000), "frame 0 is left");
        assert_eq!(below(0, 0x10_0000), none(0, 0x10_0000));
        assert_eq!(below(0x200, 0x20_0000), none(0x200, 0x20_0000));
        assert_eq!(below(0x10, 0x18_0000), Ok((0x170, 0x180)));
        assert_eq!(frames(&map), [(0x100, 0x170), (0x180, 0x200)]);
    }
}
