//! The frame table: a state and a word for each page frame, 12 bytes, in two arrays.
//!
//! The states have an array of their own, sixteen to a cache line, so that the states of a block
//! and of its buddies are mostly in one line. The word of a frame is the two links of a block on a
//! free list, or the owner word of an allocated block. Frames are named by their index in the
//! table. Both arrays are atomics, which are written with access to the list that the block is on
//! or joins (a pcplist or the zone): a race is at worst a wrong number, which
//! [`verify`](crate::PageAllocator::verify) finds, and never undefined behaviour. The page frames
//! themselves are never accessed. Zeroed memory is a table of [`FrameState::TAIL`]s in no block.

#![expect(unsafe_code, reason = "an index that comes from the table needs no second bounds check")]

use core::fmt;
use core::hint::assert_unchecked;

use crate::base::{FrameKind, Order, Pfn, PfnRange};
use crate::records::frame_state::FrameState;
use crate::sync::{AtomicU32, Ordering, PlainU64};

pub(crate) type StateCell = AtomicU32;
/// The stored word of a frame: two links or the owner word, which no reader sees by halves.
pub(crate) type WordCell = PlainU64;

// A `struct page` of Linux has 64 bytes.
#[cfg(not(any(loom, shuttle)))]
const _: () = assert!(size_of::<StateCell>() + size_of::<WordCell>() == 12);

/// The index of a frame in the table, or [`NONE`](Self::NONE).
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct FrameIndex(u32);

impl FrameIndex {
    pub(crate) const NONE: Self = Self(u32::MAX);

    #[inline(always)]
    pub(crate) const fn new(number: u32) -> Self {
        Self(number)
    }

    #[inline(always)]
    pub(crate) const fn number(self) -> u32 {
        self.0
    }

    /// The index of the buddy of the block of this order here. Right because the first frame of a
    /// table is aligned to the largest block.
    #[inline(always)]
    pub(crate) const fn buddy(self, order: Order) -> Self {
        Self(self.0 ^ 1_u32.wrapping_shl(order.get() as u32))
    }

    #[inline(always)]
    pub(crate) const fn up(self, frames: u32) -> Self {
        Self(self.0.wrapping_add(frames))
    }

    /// The largest order of a block that may start here.
    #[inline(always)]
    pub(crate) const fn alignment(self) -> Order {
        Order::new(self.0.trailing_zeros() as u8)
    }

    #[inline(always)]
    pub(crate) const fn is_none(self) -> bool {
        self.0 == Self::NONE.0
    }
}

impl fmt::Debug for FrameIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_none() { f.write_str("-") } else { write!(f, "#{}", self.0) }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Links {
    pub(crate) next: FrameIndex,
    pub(crate) prev: FrameIndex,
}

impl Links {
    #[inline(always)]
    const fn to_word(self) -> u64 {
        self.next.0 as u64 | (self.prev.0 as u64) << 32
    }

    #[inline(always)]
    const fn from_word(word: u64) -> Self {
        Self { next: FrameIndex(word as u32), prev: FrameIndex((word >> 32) as u32) }
    }
}

/// The records of all frames from `base` on.
#[derive(Debug)]
pub(crate) struct FrameTable<'m> {
    states: &'m [StateCell],
    words: &'m [WordCell],
    base: Pfn,
}

/// The record of one frame: references to its state and its word.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FrameRecord<'m> {
    state: &'m StateCell,
    word: &'m WordCell,
}

impl FrameRecord<'_> {
    #[inline(always)]
    pub(crate) fn state(&self) -> FrameState {
        read(Some(self.state))
    }

    #[inline(always)]
    pub(crate) fn set_state(&self, state: FrameState) {
        self.state.store(state.to_bits(), Ordering::Release);
    }

    #[inline(always)]
    pub(crate) fn exchange(&self, from: FrameState, to: FrameState) -> Result<(), FrameState> {
        exchange(Some(self.state), from, to)
    }

    /// Makes the frame the head of an allocated block. Writes the word only if `owner` is not 0.
    #[inline(always)]
    pub(crate) fn set_allocated(&self, state: FrameState, owner: u64) {
        let mut state = state;
        if owner != 0 {
            self.word.store(owner, Ordering::Relaxed);
            state = state.with_owner_word();
        }
        self.set_state(state);
    }
}

impl<'m> FrameTable<'m> {
    /// `base` is the first frame. There must be as many words as states, and fewer than `u32::MAX`
    /// (16 TiB of frames).
    pub(crate) fn new(states: &'m [StateCell], words: &'m [WordCell], base: Pfn) -> Self {
        assert!(states.len() < FrameIndex::NONE.0 as usize && states.len() == words.len());
        Self { states, words, base }
    }

    /// A number that no other table has while this one exists: the address of its records.
    pub(crate) fn identity(&self) -> usize {
        self.states.as_ptr().addr()
    }

    pub(crate) fn span(&self) -> PfnRange {
        PfnRange::with_len(self.base, self.states.len())
    }

    /// The index of `pfn`; `None` if it has no record.
    #[inline(always)]
    pub(crate) fn checked_index_of(&self, pfn: Pfn) -> Option<FrameIndex> {
        let number = pfn.number().wrapping_sub(self.base.number());
        // SAFETY: `new` checked the size.
        unsafe { assert_unchecked(self.states.len() < FrameIndex::NONE.0 as usize) };
        (number < self.states.len()).then_some(FrameIndex(number as u32))
    }

    /// The index of `pfn`, which must have a record.
    #[inline(always)]
    pub(crate) fn index_of(&self, pfn: Pfn) -> FrameIndex {
        FrameIndex(pfn.number().wrapping_sub(self.base.number()) as u32)
    }

    #[inline(always)]
    pub(crate) fn pfn(&self, index: FrameIndex) -> Pfn {
        Pfn::new(self.base.number().wrapping_add(index.0 as usize))
    }

    #[inline(always)]
    fn cell(&self, pfn: Pfn) -> Option<&StateCell> {
        self.states.get(pfn.number().wrapping_sub(self.base.number()))
    }

    #[inline(always)]
    fn word_of(&self, pfn: Pfn) -> Option<&WordCell> {
        self.words.get(pfn.number().wrapping_sub(self.base.number()))
    }

    #[inline(always)]
    fn word(&self, index: FrameIndex) -> Option<&WordCell> {
        self.words.get(index.0 as usize)
    }

    /// The state of a frame; [`FrameState::HOLE`] if it has no record.
    #[inline(always)]
    pub(crate) fn state(&self, pfn: Pfn) -> FrameState {
        read(self.cell(pfn))
    }

    #[inline(always)]
    pub(crate) fn state_at(&self, index: FrameIndex) -> FrameState {
        read(self.states.get(index.0 as usize))
    }

    /// Stores the state of a frame that no other CPU may change now.
    #[inline(always)]
    pub(crate) fn set_state(&self, pfn: Pfn, state: FrameState) {
        write(self.cell(pfn), state);
    }

    #[inline(always)]
    pub(crate) fn set_state_at(&self, index: FrameIndex, state: FrameState) {
        write(self.states.get(index.0 as usize), state);
    }

    pub(crate) fn fill(&self, range: PfnRange, state: FrameState) {
        let range = range.intersection(self.span());
        let (start, end) = (range.start().offset_from(self.base), range.end().offset_from(self.base));
        for cell in self.states.get(start..end).unwrap_or(&[]) {
            write(Some(cell), state);
        }
    }

    /// Changes a state from `from` to `to`, atomically. On failure returns the state that it is.
    /// For states that the owner and a migration, or two frees, may change at the same time.
    #[inline(always)]
    pub(crate) fn exchange(&self, pfn: Pfn, from: FrameState, to: FrameState) -> Result<(), FrameState> {
        exchange(self.cell(pfn), from, to)
    }

    #[inline(always)]
    pub(crate) fn links(&self, index: FrameIndex) -> Links {
        self.word(index).map_or(Links { next: FrameIndex::NONE, prev: FrameIndex::NONE }, |word| {
            Links::from_word(word.load(Ordering::Relaxed))
        })
    }

    #[inline(always)]
    pub(crate) fn set_links(&self, index: FrameIndex, links: Links) {
        if let Some(word) = self.word(index) {
            word.store(links.to_word(), Ordering::Relaxed);
        }
    }

    #[inline(always)]
    pub(crate) fn next(&self, index: FrameIndex) -> FrameIndex {
        self.links(index).next
    }

    #[inline(always)]
    pub(crate) fn set_next(&self, index: FrameIndex, next: FrameIndex) {
        if let Some(word) = self.word(index) {
            let links = Links::from_word(word.load(Ordering::Relaxed));
            word.store(Links { next, ..links }.to_word(), Ordering::Relaxed);
        }
    }

    #[inline(always)]
    pub(crate) fn set_prev(&self, index: FrameIndex, prev: FrameIndex) {
        if let Some(word) = self.word(index) {
            let links = Links::from_word(word.load(Ordering::Relaxed));
            word.store(Links { prev, ..links }.to_word(), Ordering::Relaxed);
        }
    }

    /// The owner word of an allocated block or of one in a contiguous allocation; 0 if it has none.
    pub(crate) fn owner(&self, pfn: Pfn) -> u64 {
        if !self.state(pfn).has_owner_word() {
            return 0;
        }
        self.word_of(pfn).map_or(0, |word| word.load(Ordering::Relaxed))
    }

    /// Sets the owner word of a block that is allocated, also in a contiguous allocation. Its
    /// migration state may change meanwhile.
    pub(crate) fn set_owner(&self, pfn: Pfn, owner: u64) {
        let (Some(cell), Some(word)) = (self.cell(pfn), self.word_of(pfn)) else {
            return;
        };
        word.store(owner, Ordering::Relaxed);
        loop {
            let state = read(Some(cell));
            let in_use = matches!(state.kind(), FrameKind::Allocated | FrameKind::Contig);
            if state.has_owner_word() || !in_use {
                return;
            }
            let (from, to) = (state.to_bits(), state.with_owner_word().to_bits());
            if cell.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire).is_ok() {
                return;
            }
        }
    }

    /// As [`set_owner`](Self::set_owner), for every block of `range`, which are whole blocks.
    pub(crate) fn set_owner_of_range(&self, range: PfnRange, owner: u64) {
        let mut pfn = range.start();
        while pfn < range.end() {
            self.set_owner(pfn, owner);
            pfn = pfn.up(self.state(pfn).pages());
        }
    }

    pub(crate) fn set_allocated(&self, index: FrameIndex, state: FrameState, owner: u64) {
        if let (Some(state_cell), Some(word)) = (self.states.get(index.0 as usize), self.word(index)) {
            FrameRecord { state: state_cell, word }.set_allocated(state, owner);
        }
    }

    /// The record of a frame; `None` if the index is out of bounds.
    #[inline(always)]
    pub(crate) fn record(&self, index: FrameIndex) -> Option<FrameRecord<'m>> {
        // SAFETY: the index is in bounds.
        ((index.0 as usize) < self.states.len()).then(|| unsafe { self.record_unchecked(index) })
    }

    /// The record of a frame, without a bounds check.
    ///
    /// # Safety
    ///
    /// `index` must come from this table.
    #[inline(always)]
    pub(crate) unsafe fn record_unchecked(&self, index: FrameIndex) -> FrameRecord<'m> {
        let at = index.0 as usize;
        debug_assert!(at < self.states.len());
        // SAFETY: an index that comes from this table is in bounds.
        let state = unsafe { self.states.get_unchecked(at) };
        // SAFETY: `new` checked that there are as many words as states.
        let word = unsafe { self.words.get_unchecked(at) };
        FrameRecord { state, word }
    }

    /// The head of the block that includes `pfn`, and its state; `None` if it is in no block.
    ///
    /// Exact for blocks that the caller's locks protect, otherwise possibly out of date. Reads the
    /// state of one frame for each order up to `max`.
    pub(crate) fn head_of(&self, pfn: Pfn, max: Order) -> Option<(Pfn, FrameState)> {
        let mut tried = None;
        for order in Order::ZERO.up_to(max) {
            let head = order.align_down(pfn);
            if tried == Some(head) {
                continue;
            }
            tried = Some(head);
            let state = self.state(head);
            match state.kind() {
                FrameKind::Tail => {}
                kind if kind.is_head() && state.order().block(head).contains(pfn) => {
                    return Some((head, state));
                }
                _ => return None,
            }
        }
        None
    }
}

#[inline(always)]
fn read(cell: Option<&StateCell>) -> FrameState {
    match cell {
        // Acquire pairs with the Release of the stores: the owner word is not older than the state.
        Some(cell) => FrameState::from_bits(cell.load(Ordering::Acquire)),
        None => FrameState::HOLE,
    }
}

#[inline(always)]
fn write(cell: Option<&StateCell>, state: FrameState) {
    if let Some(cell) = cell {
        cell.store(state.to_bits(), Ordering::Release);
    }
}

#[inline(always)]
fn exchange(cell: Option<&StateCell>, from: FrameState, to: FrameState) -> Result<(), FrameState> {
    let Some(cell) = cell else {
        return Err(FrameState::HOLE);
    };
    cell.compare_exchange(from.to_bits(), to.to_bits(), Ordering::AcqRel, Ordering::Acquire)
        .map(|_| ())
        .map_err(FrameState::from_bits)
}

#[cfg(all(test, not(loom)))]
pub(crate) mod testing {
    use crate::base::Pfn;
    use crate::records::frame_table::{FrameTable, StateCell, WordCell};

    pub(crate) struct Arrays {
        states: Vec<StateCell>,
        words: Vec<WordCell>,
    }

    impl Arrays {
        pub(crate) fn new(frames: usize) -> Self {
            Self {
                states: (0..frames).map(|_| StateCell::new(0)).collect(),
                words: (0..frames).map(|_| WordCell::new(0)).collect(),
            }
        }

        pub(crate) fn table(&self, base: usize) -> FrameTable<'_> {
            FrameTable::new(&self.states, &self.words, Pfn::new(base))
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::testing::Arrays;
    use super::{FrameIndex, Links};
    use crate::base::{FreeKind, MigrateType, Mobility, Order, Pfn, PfnRange};
    use crate::records::frame_state::FrameState;

    #[test]
    fn frames_outside_the_table_are_holes() {
        let arrays = Arrays::new(4);
        let table = arrays.table(100);
        assert_eq!(table.state(Pfn::new(99)), FrameState::HOLE);
        assert_eq!(table.state(Pfn::new(104)), FrameState::HOLE);
        table.set_state(Pfn::new(104), FrameState::TAIL);
        assert_eq!(table.exchange(Pfn::new(3), FrameState::HOLE, FrameState::TAIL), Err(FrameState::HOLE));
        assert_eq!(
            (table.checked_index_of(Pfn::new(99)), table.checked_index_of(Pfn::new(104))),
            (None, None)
        );
    }

    #[test]
    fn a_pfn_and_its_index_name_the_same_record() {
        let arrays = Arrays::new(4);
        let table = arrays.table(100);
        let index = table.checked_index_of(Pfn::new(103)).unwrap();
        assert_eq!((index, index.number(), table.pfn(index)), (FrameIndex::new(3), 3, Pfn::new(103)));
        table.set_state_at(index, FrameState::RESERVED);
        assert_eq!(table.state(Pfn::new(103)), FrameState::RESERVED);
        table.set_state_at(index, FrameState::TAIL);
        assert_eq!(table.state_at(index), FrameState::TAIL);
        table.set_state(Pfn::new(103), FrameState::allocated(Order::ZERO, Mobility::Movable));
        table.set_owner(Pfn::new(103), u64::MAX - 1);
        assert_eq!(table.owner(Pfn::new(103)), u64::MAX - 1);
    }

    #[test]
    fn one_link_changes_without_the_other() {
        let arrays = Arrays::new(4);
        let table = arrays.table(0);
        let [at, next, prev] = [1, 2, 3].map(FrameIndex::new);
        table.set_links(at, Links { next, prev: FrameIndex::NONE });
        table.set_prev(at, prev);
        assert_eq!(table.links(at), Links { next, prev });
        table.set_next(at, FrameIndex::NONE);
        assert_eq!(table.links(at), Links { next: FrameIndex::NONE, prev });
    }

    #[test]
    fn a_fill_is_clipped_to_the_table() {
        let arrays = Arrays::new(4);
        let table = arrays.table(100);
        table.fill(PfnRange::new(Pfn::new(0), Pfn::new(101)), FrameState::HOLE);
        table.fill(PfnRange::new(Pfn::new(103), Pfn::new(900)), FrameState::RESERVED);
        let states: Vec<_> = (100..104).map(|n| table.state(Pfn::new(n))).collect();
        assert_eq!(states, [FrameState::HOLE, FrameState::TAIL, FrameState::TAIL, FrameState::RESERVED]);
    }

    #[test]
    fn the_head_is_found_from_any_frame_of_the_block() {
        let arrays = Arrays::new(16);
        let table = arrays.table(0);
        table.fill(PfnRange::new(Pfn::new(0), Pfn::new(8)), FrameState::HOLE);
        let state = FrameState::free(Order::new(3), FreeKind::Listed(MigrateType::Movable));
        table.set_state(Pfn::new(8), state);
        for n in 8..16 {
            assert_eq!(table.head_of(Pfn::new(n), Order::new(3)), Some((Pfn::new(8), state)));
        }
        assert_eq!(table.head_of(Pfn::new(7), Order::new(3)), None);
    }

    #[test]
    fn an_exchange_fails_if_the_state_is_another() {
        let arrays = Arrays::new(1);
        let table = arrays.table(0);
        let allocated = FrameState::allocated(Order::ZERO, Mobility::Movable);
        table.set_state(Pfn::new(0), allocated);
        let cached = FrameState::cached(Order::ZERO, 0);
        assert_eq!(table.exchange(Pfn::new(0), allocated, cached), Ok(()));
        assert_eq!(table.exchange(Pfn::new(0), allocated, cached), Err(cached));
    }
}
