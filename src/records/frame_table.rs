//! The frame table: a state and a word for each page frame, 12 bytes, in two arrays.
//!
//! The states have an array of their own, sixteen to a cache line, so that the states of a block
//! and of its buddies are mostly in one line. The word of a frame is the two links of a block on a
//! free list, or the owner word of an allocated block. Frames are named by their index in the
//! table. Both arrays are atomics, which are written with access to the list that the block is on
//! or joins (a pcplist or the zone): a race is at worst a wrong number, which
//! [`verify`](crate::PageAllocator::verify) finds, and never undefined behaviour. The page frames
//! themselves are never accessed. Zeroed memory is a table of [`FrameState::TAIL`]s in no block; a
//! frame whose pageblock is [unwritten](crate::records::Unwritten) is one whatever its record has.
//! A word is written before it is read: a state says whether there is one.
//!
//! Only frames of the [extents](crate::records::Extents) have a record. All others are holes.

#![expect(unsafe_code, reason = "an index of the front needs no second bounds check")]

use core::ops::Range;

use crate::base::{FrameKind, Order, Pfn, PfnRange};
use crate::records::cells::{StateCell, WordCell};
use crate::records::extent::Extent;
use crate::records::extents::Extents;
use crate::records::frame_index::FrameIndex;
use crate::records::frame_state::FrameState;
use crate::records::unwritten::Unwritten;
use crate::sync::Ordering;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Links {
    pub(crate) next: FrameIndex,
    pub(crate) prev: FrameIndex,
}

impl Links {
    #[inline(always)]
    const fn to_word(self) -> u64 {
        self.next.number() as u64 | (self.prev.number() as u64) << 32
    }

    #[inline(always)]
    const fn from_word(word: u64) -> Self {
        Self { next: FrameIndex::new(word as u32), prev: FrameIndex::new((word >> 32) as u32) }
    }
}

/// The records of all frames of the extents.
#[derive(Debug)]
pub(crate) struct FrameTable<'m> {
    states: &'m [StateCell],
    words: &'m [WordCell],
    extents: Extents<'m>,
    unwritten: Unwritten<'m>,
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
    /// There must be a state and a word for each frame of the extents. The states are zero, or
    /// their pageblock is `unwritten`.
    pub(crate) fn new(
        states: &'m [StateCell],
        words: &'m [WordCell],
        extents: Extents<'m>,
        unwritten: Unwritten<'m>,
    ) -> Self {
        assert!(states.len() == words.len() && states.len() == extents.boot_len());
        Self { states, words, extents, unwritten }
    }

    /// A number that no other table has while this one exists: the address of its records.
    pub(crate) fn identity(&self) -> usize {
        self.states.as_ptr().addr()
    }

    /// Which pageblocks have not been written.
    pub(super) fn unwritten(&self) -> Unwritten<'m> {
        self.unwritten
    }

    /// Which frames have records.
    pub(crate) fn extents(&self) -> Extents<'m> {
        self.extents
    }

    /// The index of `pfn`; `None` if it has no record.
    #[inline(always)]
    pub(crate) fn checked_index_of(&self, pfn: Pfn) -> Option<FrameIndex> {
        self.extents.index_of(pfn)
    }

    /// The index of `pfn`, which must have a record.
    #[inline(always)]
    pub(crate) fn index_of(&self, pfn: Pfn) -> FrameIndex {
        self.extents.index_of(pfn).unwrap_or(FrameIndex::NONE)
    }

    #[inline(always)]
    pub(crate) fn pfn(&self, index: FrameIndex) -> Pfn {
        self.extents.pfn(index)
    }

    /// The state of a frame; `None` if it has no record, or its pageblock is unwritten.
    #[inline(always)]
    fn cell(&self, pfn: Pfn) -> Option<&'m StateCell> {
        let index = self.extents.index_of(pfn)?;
        if self.unwritten.has(index) { None } else { self.cell_at(index) }
    }

    #[inline(always)]
    fn cell_at(&self, index: FrameIndex) -> Option<&'m StateCell> {
        match self.states.get(index.number() as usize) {
            None => self.extents.added_state(index),
            found => found,
        }
    }

    #[inline(always)]
    fn word_of(&self, pfn: Pfn) -> Option<&'m WordCell> {
        self.word(self.extents.index_of(pfn)?)
    }

    #[inline(always)]
    fn word(&self, index: FrameIndex) -> Option<&'m WordCell> {
        match self.words.get(index.number() as usize) {
            None => self.extents.added_word(index),
            found => found,
        }
    }

    /// The state of a frame; [`FrameState::HOLE`] if it has no record.
    #[inline(always)]
    pub(crate) fn state(&self, pfn: Pfn) -> FrameState {
        self.extents.index_of(pfn).map_or(FrameState::HOLE, |index| self.state_at(index))
    }

    /// As [`state`](Self::state), of the frame with that index.
    #[inline(always)]
    pub(crate) fn state_at(&self, index: FrameIndex) -> FrameState {
        if self.unwritten.has(index) { FrameState::TAIL } else { self.written_state_at(index) }
    }

    /// The state of a frame whose pageblock has been written, as that of any frame which was
    /// allocated since boot.
    #[inline(always)]
    pub(crate) fn written_state_at(&self, index: FrameIndex) -> FrameState {
        debug_assert!(!self.unwritten.has(index), "{index:?}");
        match self.states.get(index.number() as usize) {
            Some(cell) => read(Some(cell)),
            None => read(self.extents.added_state(index)),
        }
    }

    /// Stores the state of a frame that no other CPU may change now, in a pageblock that has been
    /// [written](crate::records::Unwritten).
    #[inline(always)]
    pub(crate) fn set_state(&self, pfn: Pfn, state: FrameState) {
        if let Some(index) = self.extents.index_of(pfn) {
            self.set_state_at(index, state);
        }
    }

    /// As [`set_state`](Self::set_state), of the frame with that index.
    #[inline(always)]
    pub(crate) fn set_state_at(&self, index: FrameIndex, state: FrameState) {
        debug_assert!(!self.unwritten.has(index), "{index:?}");
        match self.states.get(index.number() as usize) {
            Some(cell) => write(Some(cell), state),
            None => write(self.extents.added_state(index), state),
        }
    }

    /// Makes the frames of an unwritten pageblock, which have these indices, tails.
    pub(super) fn write(&self, indices: Range<usize>) {
        for cell in self.states.get(indices).unwrap_or(&[]) {
            write(Some(cell), FrameState::TAIL);
        }
    }

    /// Stores the state of every frame of `range` that has a record. Their pageblocks have been
    /// written.
    pub(crate) fn fill(&self, range: PfnRange, state: FrameState) {
        for part in self.extents.parts(range) {
            debug_assert!(!self.unwritten.has(part.first()), "{part:?}");
            for cell in self.states_of(part) {
                write(Some(cell), state);
            }
        }
    }

    /// The first frame of `range` whose state is as `wanted`. Frames without records are left out.
    pub(crate) fn first_where(&self, range: PfnRange, wanted: impl Fn(FrameState) -> bool) -> Option<Pfn> {
        self.extents.parts(range).find_map(|part| {
            let states = self.states_of(part);
            let mut at = 0;
            // Pageblock by pageblock, because each is written as a whole.
            while at < states.len() {
                let index = part.first().up(at as u32);
                let end = at.saturating_add(self.unwritten.rest_of_pageblock(index)).min(states.len());
                let found = if self.unwritten.has(index) {
                    wanted(FrameState::TAIL).then_some(0)
                } else {
                    states.get(at..end)?.iter().position(|cell| wanted(read(Some(cell))))
                };
                if let Some(found) = found {
                    return Some(part.frames().start().up(at + found));
                }
                at = end;
            }
            None
        })
    }

    /// The number of frames at the end of `range`, which is in one pageblock, whose states are all
    /// as `wanted`; 0 if the pageblock is unwritten, or has frames without records.
    pub(crate) fn count_at_end(&self, range: PfnRange, wanted: impl Fn(FrameState) -> bool) -> usize {
        let Some(part) = self.extents.parts(range).next().filter(|part| part.frames() == range) else {
            return 0;
        };
        if self.unwritten.has(part.first()) {
            return 0;
        }
        self.states_of(part).iter().rev().take_while(|cell| wanted(read(Some(cell)))).count()
    }

    pub(super) fn states_of(&self, part: Extent) -> &'m [StateCell] {
        let first = part.first().number() as usize;
        match self.states.get(first..first + part.frames().len()) {
            Some(states) => states,
            None => self.extents.chunk_of(part.first()).map_or(&[], |chunk| chunk.states_of(part)),
        }
    }

    /// Changes a state from `from` to `to`, atomically. On failure returns the state that it is.
    /// For states that the owner and a migration, or two frees, may change at the same time.
    #[inline(always)]
    pub(crate) fn exchange(&self, pfn: Pfn, from: FrameState, to: FrameState) -> Result<(), FrameState> {
        match self.cell(pfn) {
            None => Err(self.state(pfn)),
            cell => exchange(cell, from, to),
        }
    }

    /// Changes a state from `from` to `to`, of a frame whose state no other CPU may change now, in
    /// a pageblock that has been written. Returns false if it is not `from`.
    #[inline(always)]
    pub(crate) fn replace(&self, index: FrameIndex, from: FrameState, to: FrameState) -> bool {
        let cell = self.cell_at(index);
        let replaced = read(cell) == from;
        if replaced {
            write(cell, to);
        }
        replaced
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

    /// The owner word as an atomic; `None` if the block has none, or the frame has no record.
    pub(crate) fn owner_cell(&self, pfn: Pfn) -> Option<&WordCell> {
        self.word_of(pfn).filter(|_| self.state(pfn).has_owner_word())
    }

    pub(crate) fn set_allocated(&self, index: FrameIndex, state: FrameState, owner: u64) {
        if let (Some(state_cell), Some(word)) = (self.cell_at(index), self.word(index)) {
            FrameRecord { state: state_cell, word }.set_allocated(state, owner);
        }
    }

    /// The record of a frame of boot.
    ///
    /// # Safety
    ///
    /// `at` must be its index.
    #[inline(always)]
    unsafe fn boot_record(&self, at: usize) -> FrameRecord<'m> {
        debug_assert!(at < self.states.len());
        // SAFETY: `new` checked that there is a state for each frame of the extents of boot.
        let state = unsafe { self.states.get_unchecked(at) };
        // SAFETY: as above, for the words.
        let word = unsafe { self.words.get_unchecked(at) };
        FrameRecord { state, word }
    }

    /// The record of the frame with an index, if it is of the main extent.
    ///
    /// # Safety
    ///
    /// `main_len` must be the length of the main extent, or 0: then the result is `None`.
    #[inline(always)]
    pub(crate) unsafe fn main_record(&self, index: FrameIndex, main_len: usize) -> Option<FrameRecord<'m>> {
        debug_assert!(main_len == 0 || main_len == self.extents.main_len());
        let at = index.number() as usize;
        if at >= main_len {
            return None;
        }
        // SAFETY: an index of a frame of the main extent is that of a frame of boot.
        Some(unsafe { self.boot_record(at) })
    }

    /// The record of the frame with an index, if it is of the second extent.
    #[inline(always)]
    pub(crate) fn second_record(&self, index: FrameIndex) -> Option<FrameRecord<'m>> {
        if !self.extents.is_second(index) {
            return None;
        }
        // SAFETY: as above, of the second extent.
        Some(unsafe { self.boot_record(index.number() as usize) })
    }

    /// The frame of an index of the main extent.
    #[inline(always)]
    pub(crate) fn main_pfn(&self, index: FrameIndex) -> Pfn {
        self.extents.main_pfn(index)
    }

    /// The frame of an index of the second extent.
    #[inline(always)]
    pub(crate) fn second_pfn(&self, index: FrameIndex) -> Pfn {
        self.extents.second_pfn(index)
    }

    /// The index of a frame, and its record, if it is in the front.
    ///
    /// # Safety
    ///
    /// As [`main_record`](Self::main_record).
    #[inline(always)]
    pub(crate) unsafe fn front_index_and_record(
        &self,
        pfn: Pfn,
        main_len: usize,
    ) -> Option<(usize, FrameRecord<'m>)> {
        debug_assert!(main_len == 0 || main_len == self.extents.main_len());
        let at = self.extents.front_index_of(pfn, main_len)?;
        // SAFETY: as above.
        Some((at, unsafe { self.boot_record(at) }))
    }

    /// The record of any frame; `None` if there is no such index.
    #[inline]
    pub(crate) fn record(&self, index: FrameIndex) -> Option<FrameRecord<'m>> {
        Some(FrameRecord { state: self.cell_at(index)?, word: self.word(index)? })
    }

    /// The head of the block that includes `pfn`, and its state; `None` if it is in no block.
    ///
    /// Exact for blocks that the caller's locks protect, otherwise possibly out of date. Reads the
    /// state of at most one frame for each order up to `max`.
    pub(crate) fn head_of(&self, pfn: Pfn, max: Order) -> Option<(Pfn, FrameState)> {
        let index = self.checked_index_of(pfn)?;
        if self.unwritten.has(index) {
            return None;
        }
        let largest = index.align_down(max);
        let mut head = index;
        loop {
            let state = if self.unwritten.of_one_pageblock(head, index) {
                self.written_state_at(head)
            } else {
                self.state_at(head)
            };
            let offset = index.number().wrapping_sub(head.number()) as usize;
            if state.is_head() {
                return (offset < state.pages_of_head()).then(|| (Pfn::new(pfn.number() - offset), state));
            }
            if head == largest || !state.is(FrameKind::Tail) {
                return None;
            }
            head = head.next_head();
        }
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
    use crate::base::{Pfn, PfnRange};
    use crate::records::cells::{StateCell, WordCell};
    use crate::records::extents::Extents;
    use crate::records::frame_table::FrameTable;
    use crate::records::unwritten::Unwritten;

    pub(crate) struct Arrays {
        pub(super) states: Vec<StateCell>,
        pub(super) words: Vec<WordCell>,
    }

    impl Arrays {
        pub(crate) fn new(frames: usize) -> Self {
            Self {
                states: (0..frames).map(|_| StateCell::new(0)).collect(),
                words: (0..frames).map(|_| WordCell::new(0)).collect(),
            }
        }

        pub(crate) fn table(&self, base: usize) -> FrameTable<'_> {
            let frames = PfnRange::with_len(Pfn::new(base), self.states.len());
            FrameTable::new(&self.states, &self.words, Extents::new(frames, &[], None), Unwritten::NONE)
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::Links;
    use super::testing::Arrays;
    use crate::base::{FreeKind, Geometry, MigrateType, Mobility, Order, Pfn, PfnRange, ZoneKind};
    use crate::records::extents::Extents;
    use crate::records::frame_index::FrameIndex;
    use crate::records::frame_state::FrameState;
    use crate::records::frame_table::FrameTable;
    use crate::records::pageblock_state::PageblockCell;
    use crate::records::unwritten::Unwritten;
    use crate::sync::Ordering;

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
    fn a_frame_above_a_block_is_not_in_it() {
        let arrays = Arrays::new(4);
        let table = arrays.table(0);
        table.set_state(Pfn::new(0), FrameState::free(Order::ZERO, FreeKind::Listed(MigrateType::Movable)));
        assert_eq!(table.head_of(Pfn::new(1), Order::new(2)), None, "a tail of no block");
    }

    #[test]
    fn an_unwritten_pageblock_has_no_head_whatever_its_records_are() {
        enum Pairs {}
        impl Geometry for Pairs {
            const MAX_ORDER: Order = Order::new(4);
            const PAGEBLOCK_ORDER: Order = Order::new(1);
        }
        let arrays = Arrays::new(16);
        let pageblocks: Vec<_> = (0..8).map(|_| PageblockCell::new()).collect();
        for (number, pageblock) in pageblocks.iter().enumerate() {
            pageblock.init(ZoneKind::Normal, number == 0);
        }
        let extents = Extents::new(PfnRange::with_len(Pfn::new(0), 16), &[], None);
        let unwritten = Unwritten::new::<Pairs>(&pageblocks);
        let table = FrameTable::new(&arrays.states, &arrays.words, extents, unwritten);
        let largest = FrameState::free(Order::new(4), FreeKind::Listed(MigrateType::Movable));
        arrays.states[0].store(largest.to_bits(), Ordering::Relaxed);
        for n in 0..16 {
            assert_eq!(table.head_of(Pfn::new(n), Order::new(4)), None, "frame {n}");
        }
    }

    #[test]
    fn a_frame_that_is_not_in_use_gets_no_owner_word() {
        let arrays = Arrays::new(1);
        let table = arrays.table(0);
        let free = FrameState::free(Order::ZERO, FreeKind::Listed(MigrateType::Movable));
        table.set_state(Pfn::new(0), free);
        table.set_owner(Pfn::new(0), 7);
        assert_eq!((table.state(Pfn::new(0)), table.owner(Pfn::new(0))), (free, 0));
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
