//! Page frame numbers and half-open ranges of them.
//!
//! The crate names physical memory by [`Pfn`] and [`PfnRange`]. Byte addresses appear only in the
//! memory map, in the metadata, in calls that say so, and in the adapters to other crates.
//!
//! Names say how bytes become frames. `containing` and `covering` round outward: the result
//! includes all that was given. `inside` rounds inward: what was given includes the result.
//! `contains` and `covers` compare frames with frames and round nothing.

use core::fmt;
use core::ops::Range;

/// The size of a page frame in bytes: 4096.
pub const PAGE_SIZE: u64 = 1 << PAGE_SHIFT;
const PAGE_SHIFT: u32 = 12;

/// A page frame number: a physical address divided by [`PAGE_SIZE`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct Pfn(usize);

impl Pfn {
    /// The frame with this number.
    #[must_use]
    pub const fn new(number: usize) -> Self {
        Self(number)
    }

    /// The frame that holds the byte at physical address `address`: rounds down.
    #[must_use]
    pub const fn containing(address: u64) -> Self {
        Self((address >> PAGE_SHIFT) as usize)
    }

    /// The frame number.
    #[must_use]
    pub const fn number(self) -> usize {
        self.0
    }

    /// The physical address of the frame's first byte.
    #[must_use]
    pub const fn start_address(self) -> u64 {
        (self.0 as u64) << PAGE_SHIFT
    }

    /// The frame `pages` frames above this one; `None` on overflow.
    #[must_use]
    pub const fn checked_add(self, pages: usize) -> Option<Self> {
        match self.0.checked_add(pages) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// The frame `pages` frames above this one; saturates on overflow.
    #[must_use]
    pub(crate) const fn up(self, pages: usize) -> Self {
        Self(self.0.saturating_add(pages))
    }

    /// The distance in frames from `base` up to this frame; 0 if this frame is below `base`.
    #[must_use]
    pub(crate) const fn offset_from(self, base: Self) -> usize {
        self.0.saturating_sub(base.0)
    }
}

impl fmt::Debug for Pfn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pfn({:#x})", self.0)
    }
}

impl fmt::Display for Pfn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pfn {:#x}", self.0)
    }
}

/// A half-open range of page frames: it includes `start` and excludes `end`.
///
/// A range of bytes becomes a range of frames in one of two ways. Reserve what
/// [`covering`](Self::covering) returns, and give away what [`inside`](Self::inside) returns:
///
/// | | rounds | for bytes that are | `0x1001..0x4fff` |
/// |---|---|---|---|
/// | [`PfnRange::covering`] | outward, to every frame that has one of the bytes | in use | 1..5 |
/// | [`PfnRange::inside`] | inward, to the frames of which every byte is included | usable | 2..4 |
///
/// [`Pfn::containing`] and [`Order::covering`](crate::Order::covering) round outward too.
/// [`contains`](Self::contains) and [`covers`](Self::covers) compare whole frames.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PfnRange {
    start: Pfn,
    end: Pfn,
}

impl PfnRange {
    /// The frames from `start` up to, but not including, `end`; empty if `end` is below `start`.
    #[must_use]
    pub const fn new(start: Pfn, end: Pfn) -> Self {
        let end = if end.0 < start.0 { start } else { end };
        Self { start, end }
    }

    /// The `pages` frames from `start` on; fewer if the last frame number would overflow.
    #[must_use]
    pub const fn with_len(start: Pfn, pages: usize) -> Self {
        Self::new(start, start.up(pages))
    }

    /// The frames of which a half-open range of physical addresses includes a byte: rounds outward.
    ///
    /// This is the form for memory that is in use. A range without a byte has no frame.
    ///
    /// ```
    /// use pageblock::{Pfn, PfnRange};
    ///
    /// let tables = PfnRange::covering(0x0b00_0010..0x0b00_2010);
    /// assert_eq!(tables, PfnRange::with_len(Pfn::new(0xb000), 3));
    /// ```
    #[must_use]
    pub const fn covering(bytes: Range<u64>) -> Self {
        let start = Pfn::containing(bytes.start);
        if bytes.end <= bytes.start {
            return Self::new(start, start);
        }
        Self::new(start, Pfn::new(bytes.end.div_ceil(PAGE_SIZE) as usize))
    }

    /// The frames whose bytes are all in a half-open range of physical addresses: rounds inward.
    ///
    /// This is the form for memory that may be used. For memory that is in use see
    /// [`covering`](Self::covering).
    ///
    /// ```
    /// use pageblock::{Pfn, PfnRange};
    ///
    /// assert_eq!(PfnRange::inside(0x1001..0x4fff), PfnRange::new(Pfn::new(2), Pfn::new(4)));
    /// ```
    #[must_use]
    pub const fn inside(bytes: Range<u64>) -> Self {
        Self::new(Pfn::new(bytes.start.div_ceil(PAGE_SIZE) as usize), Pfn::containing(bytes.end))
    }

    /// The physical addresses of the range, in bytes.
    ///
    /// The range of the highest frames ends at `u64::MAX`, which leaves out its last byte.
    ///
    /// ```
    /// use pageblock::{Pfn, PfnRange};
    ///
    /// assert_eq!(PfnRange::with_len(Pfn::new(2), 3).bytes(), 0x2000..0x5000);
    /// ```
    #[must_use]
    pub const fn bytes(self) -> Range<u64> {
        let end =
            if self.end.0 > (u64::MAX >> PAGE_SHIFT) as usize { u64::MAX } else { self.end.start_address() };
        self.start.start_address()..end
    }

    /// The physical address of the first byte.
    #[must_use]
    pub const fn start_address(self) -> u64 {
        self.start.start_address()
    }

    /// The first frame.
    #[must_use]
    pub const fn start(self) -> Pfn {
        self.start
    }

    /// The frame after the last one.
    #[must_use]
    pub const fn end(self) -> Pfn {
        self.end
    }

    /// The number of frames in the range.
    #[must_use]
    pub const fn len(self) -> usize {
        self.end.0 - self.start.0
    }

    /// Whether the range has no frame.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.start.0 == self.end.0
    }

    /// Whether the range includes `pfn`.
    #[must_use]
    pub const fn contains(self, pfn: Pfn) -> bool {
        self.start.0 <= pfn.0 && pfn.0 < self.end.0
    }

    /// Whether the range includes every frame of `other`; nothing is rounded. An empty `other` is
    /// always covered.
    #[must_use]
    pub const fn covers(self, other: Self) -> bool {
        other.is_empty() || (self.start.0 <= other.start.0 && other.end.0 <= self.end.0)
    }

    /// Whether the two ranges share a frame.
    #[must_use]
    pub const fn overlaps(self, other: Self) -> bool {
        let start = if self.start.0 > other.start.0 { self.start.0 } else { other.start.0 };
        let end = if self.end.0 < other.end.0 { self.end.0 } else { other.end.0 };
        start < end
    }

    /// The frames that are in both ranges.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        let start = if self.start.0 > other.start.0 { self.start } else { other.start };
        let end = if self.end.0 < other.end.0 { self.end } else { other.end };
        Self::new(start, end)
    }

    /// The frames in ascending order.
    pub fn iter(self) -> impl DoubleEndedIterator<Item = Pfn> + Clone {
        (self.start.0..self.end.0).map(Pfn)
    }
}

impl fmt::Debug for PfnRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PfnRange({:#x}..{:#x})", self.start.0, self.end.0)
    }
}

impl fmt::Display for PfnRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pfn {:#x}..{:#x}", self.start.0, self.end.0)
    }
}

#[cfg(test)]
mod tests {
    use super::{Pfn, PfnRange};

    fn range(start: usize, end: usize) -> PfnRange {
        PfnRange::new(Pfn::new(start), Pfn::new(end))
    }

    #[test]
    fn addresses_and_numbers_convert_both_ways() {
        assert_eq!(Pfn::containing(0x1fff), Pfn::new(1));
        assert_eq!(Pfn::new(3).start_address(), 0x3000);
        assert_eq!(Pfn::containing(Pfn::new(77).start_address()), Pfn::new(77));
    }

    #[test]
    fn the_end_of_a_range_is_excluded() {
        assert!(range(1, 3).contains(Pfn::new(2)));
        assert!(!range(1, 3).contains(Pfn::new(3)));
        assert!(!range(1, 3).overlaps(range(3, 5)));
        assert!(range(1, 4).overlaps(range(3, 5)));
    }

    #[test]
    fn a_backward_range_is_empty() {
        assert!(range(5, 3).is_empty());
        assert_eq!(range(5, 3).len(), 0);
    }

    #[test]
    fn intersection_and_cover_agree() {
        assert_eq!(range(0, 10).intersection(range(4, 20)), range(4, 10));
        assert!(range(0, 10).covers(range(4, 10)));
        assert!(!range(0, 10).covers(range(4, 11)));
        assert!(range(0, 1).covers(range(9, 9)));
    }

    #[test]
    fn bytes_in_use_round_outward_and_usable_ones_inward() {
        type Case = (core::ops::Range<u64>, (usize, usize), (usize, usize));
        let table: [Case; 8] = [
            (0x0b00_0010..0x0b00_2010, (0xb000, 0xb003), (0xb001, 0xb002)),
            (0x1000..0x3000, (1, 3), (1, 3)),
            (0x1001..0x1002, (1, 2), (2, 2)),
            (0x1fff..0x2001, (1, 3), (2, 2)),
            (0x1800..0x1800, (1, 1), (2, 2)),
            (core::ops::Range { start: 0x3000, end: 0x1000 }, (3, 3), (3, 3)),
            (0..1, (0, 1), (0, 0)),
            (u64::MAX - 1..u64::MAX, ((1 << 52) - 1, 1 << 52), (1 << 52, 1 << 52)),
        ];
        for (bytes, outward, inward) in table {
            assert_eq!(PfnRange::covering(bytes.clone()), range(outward.0, outward.1), "{bytes:x?}");
            assert_eq!(PfnRange::inside(bytes.clone()), range(inward.0, inward.1), "{bytes:x?}");
            assert!(PfnRange::covering(bytes.clone()).covers(PfnRange::inside(bytes)));
        }
        let (start, end) = (0x3000, 0x1000); // backward
        assert!(PfnRange::covering(start..end).is_empty() && PfnRange::inside(start..end).is_empty());
    }

    #[test]
    fn frames_become_bytes_and_frames_again() {
        for frames in [range(0, 1), range(7, 7), range(5, 1 << 40), range((1 << 52) - 2, (1 << 52) - 1)] {
            assert_eq!(PfnRange::covering(frames.bytes()), frames);
            assert_eq!(PfnRange::inside(frames.bytes()), frames);
            assert_eq!(frames.bytes().start, frames.start_address());
        }
        assert_eq!(PfnRange::covering(range(3, 1 << 52).bytes()), range(3, 1 << 52));
        assert_eq!(range(3, usize::MAX).bytes(), 0x3000..u64::MAX);
    }

    #[test]
    fn frame_numbers_saturate_on_overflow() {
        assert_eq!(Pfn::new(usize::MAX).checked_add(1), None);
        assert_eq!(PfnRange::with_len(Pfn::new(usize::MAX - 1), 5).len(), 1);
    }
}
