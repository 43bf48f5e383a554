//! The records of pageblocks: for each a state, a summary of its free blocks and a tree of them.
//!
//! The state byte of a pageblock names the free list of its free pages. It is written only with the
//! zone locked, in the lock hold that also moves the free blocks to the list that the new state
//! names, so that the list of a free block can always be computed from it. It is read without the
//! lock in one place, where a free chooses between the pcplist and the zone; [`pcp`](crate::pcp)
//! has the argument why that is safe.

#![expect(unsafe_code, reason = "an index that comes from the frame table needs no second bounds check")]

use core::marker::PhantomData;

use crate::base::{FreeKind, Geometry, Pageblock, PcpSlot, Pfn, ZoneKind};
use crate::records::buddy_tree::{BuddyTree, PageblockSummary, TreeWord};
use crate::records::cells::StateCell;
use crate::records::extents::Extents;
use crate::records::frame_index::FrameIndex;
use crate::records::pageblock_records::{PageblockFrames, PageblockRecords};
use crate::records::pageblock_state::{Isolation, PageblockCell, PageblockState, StateBits};
use crate::sync::Ordering;

/// The records of all pageblocks of the extents.
#[derive(Debug)]
pub(crate) struct PageblockMap<'m, G> {
    states: &'m [PageblockCell],
    summaries: &'m [PageblockSummary],
    trees: &'m [TreeWord],
    /// The states of the frames.
    frames: &'m [StateCell],
    extents: Extents<'m>,
    geometry: PhantomData<fn() -> G>,
}

impl<'m, G: Geometry> PageblockMap<'m, G> {
    /// The extents are whole pageblocks. Each has one element of `states`, one of `summaries`,
    /// [`BuddyTree::WORDS`] of `trees`, and one of `frames` for each frame.
    pub(crate) fn new(
        states: &'m [PageblockCell],
        summaries: &'m [PageblockSummary],
        trees: &'m [TreeWord],
        frames: &'m [StateCell],
        extents: Extents<'m>,
    ) -> Self {
        assert!(states.len() == extents.boot_len() >> G::PAGEBLOCK_ORDER.get());
        assert!(states.len() == summaries.len() && summaries.len() * BuddyTree::<G>::WORDS == trees.len());
        assert!(frames.len() == states.len() << G::PAGEBLOCK_ORDER.get());
        Self { states, summaries, trees, frames, extents, geometry: PhantomData }
    }

    #[inline(always)]
    fn number(&self, pfn: Pfn) -> Option<usize> {
        Some((self.extents.index_of(pfn)?.number() >> (G::PAGEBLOCK_ORDER.get() & 31)) as usize)
    }

    #[inline(always)]
    fn cell(&self, pfn: Pfn) -> Option<&'m PageblockCell> {
        self.cell_of(self.number(pfn)?)
    }

    #[inline(always)]
    fn cell_of(&self, number: usize) -> Option<&'m PageblockCell> {
        match self.states.get(number) {
            None => self.added(number).map(|(cell, _)| cell),
            found => found,
        }
    }

    /// The records of a pageblock of an added extent.
    #[cold]
    #[inline(never)]
    fn added(&self, number: usize) -> Option<(&'static PageblockCell, BuddyTree<'static, G>)> {
        let order = G::PAGEBLOCK_ORDER.get() & 31;
        let chunk = self.extents.chunk_of(FrameIndex::new(u32::try_from(number).ok()? << order))?;
        let at = number - (chunk.extent().first().number() >> order) as usize;
        let words = chunk.trees.get(at * BuddyTree::<G>::WORDS..)?.get(..BuddyTree::<G>::WORDS)?;
        Some((chunk.pageblocks.get(at)?, BuddyTree::new(chunk.summaries.get(at)?, words, number as u32)))
    }

    #[inline(always)]
    pub(crate) fn tree(&self, pfn: Pfn) -> Option<BuddyTree<'m, G>> {
        self.tree_of(self.number(pfn)?)
    }

    #[inline(always)]
    pub(crate) fn tree_at(&self, number: u32) -> Option<BuddyTree<'m, G>> {
        self.tree_of(number as usize)
    }

    /// The stored state of the pageblock of a frame.
    #[inline(always)]
    pub(crate) fn bits(&self, index: FrameIndex) -> Option<StateBits> {
        self.cell_of((index.number() >> (G::PAGEBLOCK_ORDER.get() & 31)) as usize).map(PageblockCell::bits)
    }

    /// The records of the pageblock of a frame, which has been written.
    #[inline(always)]
    pub(crate) fn records_of(&self, index: FrameIndex) -> Option<PageblockRecords<'m, G>> {
        self.boot_records_of(index).or_else(|| {
            let number = (index.number() >> (G::PAGEBLOCK_ORDER.get() & 31)) as usize;
            let (cell, tree) = self.added(number)?;
            let first = index.align_down(G::PAGEBLOCK_ORDER);
            let frames = self.extents.added_states(first, PageblockFrames::<G>::COUNT);
            Some(PageblockRecords {
                bits: cell.bits(),
                tree: tree.of_whole_words()?,
                frames: PageblockFrames::new(frames),
            })
        })
    }

    /// As [`records_of`](Self::records_of), by the number of the pageblock.
    #[inline(always)]
    pub(crate) fn records_at(&self, number: u32) -> Option<PageblockRecords<'m, G>> {
        self.records_of(FrameIndex::new(number << (G::PAGEBLOCK_ORDER.get() & 31)))
    }

    /// As [`records_of`](Self::records_of); `None` if the pageblock was added after boot.
    #[inline(always)]
    pub(crate) fn boot_records_of(&self, index: FrameIndex) -> Option<PageblockRecords<'m, G>> {
        let number = (index.number() >> (G::PAGEBLOCK_ORDER.get() & 31)) as usize;
        let cell = self.states.get(number)?;
        let first = number * PageblockFrames::<G>::COUNT;
        // SAFETY: there is a state of this number, and `new` checked that each has a summary.
        let summary = unsafe { self.summaries.get_unchecked(number) };
        // SAFETY: as above, for the tree.
        let tree = unsafe { self.boot_tree(summary, number) };
        // SAFETY: as above, for the states of the frames.
        let frames = unsafe { self.frames.get_unchecked(first..first + PageblockFrames::<G>::COUNT) };
        Some(PageblockRecords { bits: cell.bits(), tree, frames: PageblockFrames::new(frames) })
    }

    #[inline(always)]
    fn tree_of(&self, number: usize) -> Option<BuddyTree<'m, G>> {
        let Some(summary) = self.summaries.get(number) else {
            return self.added(number).and_then(|(_, tree)| tree.of_whole_words());
        };
        // SAFETY: there is a summary of this number.
        Some(unsafe { self.boot_tree(summary, number) })
    }

    /// The tree of a pageblock of boot.
    ///
    /// # Safety
    ///
    /// `summary` must be that of this number.
    #[inline(always)]
    unsafe fn boot_tree(&self, summary: &'m PageblockSummary, number: usize) -> BuddyTree<'m, G> {
        debug_assert!(self.states.get(number).is_some_and(|cell| !cell.is_unwritten()), "{number}");
        let start = number * BuddyTree::<G>::WORDS;
        // SAFETY: there is a summary of this number, and `new` checked that each has a tree.
        let words = unsafe { self.trees.get_unchecked(start..start + BuddyTree::<G>::WORDS) };
        BuddyTree::new(summary, words, number as u32)
    }

    /// The summary of the pageblock of a frame.
    #[inline]
    pub(crate) fn summary_of(&self, index: FrameIndex) -> Option<&'m PageblockSummary> {
        self.summary_at(index.number() >> (G::PAGEBLOCK_ORDER.get() & 31))
    }

    /// The summary of a pageblock; `None` if there is no such pageblock, as for `u32::MAX`.
    #[inline(always)]
    pub(crate) fn summary_at(&self, number: u32) -> Option<&'m PageblockSummary> {
        match self.summaries.get(number as usize) {
            None if number == u32::MAX => None,
            None => self.added(number as usize).map(|(_, tree)| tree.summary),
            found => found,
        }
    }

    /// The number of pageblocks.
    pub(crate) fn len(&self) -> usize {
        let added = self.extents.added().map_or(&[][..], |added| added.chunks());
        self.states.len() + added.iter().map(|chunk| chunk.pageblocks.len()).sum::<usize>()
    }

    /// The state of the pageblock that includes `pfn`. For a frame outside the map it is the
    /// initial state, which has no effect, because no such frame is ever free.
    #[inline]
    pub(crate) fn state(&self, pfn: Pfn) -> PageblockState {
        self.cell(pfn).map_or(PageblockState::INITIAL, PageblockCell::load)
    }

    /// The kind of free list that the pageblock of `pfn` names.
    #[inline(always)]
    pub(crate) fn kind(&self, pfn: Pfn) -> FreeKind {
        match self.cell(pfn) {
            Some(cell) => cell.bits().kind(),
            None => PageblockState::INITIAL.free_kind(),
        }
    }

    /// Whether pages freed at `pfn` are parked (design `Parked`). Exact with the zone locked; with
    /// access to the pcplists it is as reliable as the isolated flag (see [`pcp`](crate::pcp)).
    #[inline(always)]
    pub(crate) fn is_isolating(&self, pfn: Pfn) -> bool {
        cfg!(feature = "designs") && self.state(pfn).isolation == Isolation::Isolating
    }

    /// The pcplist slot for a page: [`PcpSlot::CLOSED`] if it must not be cached, because its
    /// pageblock is isolated or of type high-atomic.
    ///
    /// # Safety
    ///
    /// `index` must be that of a frame of boot.
    #[inline(always)]
    pub(crate) unsafe fn pcp_slot(&self, index: usize) -> PcpSlot {
        let number = index >> G::PAGEBLOCK_ORDER.get();
        debug_assert!(number < self.states.len());
        // SAFETY: the extents are whole pageblocks, and `new` checked that each has a state.
        unsafe { self.states.get_unchecked(number) }.slot()
    }

    /// As [`pcp_slot`](Self::pcp_slot), for any frame.
    #[inline]
    pub(crate) fn checked_pcp_slot(&self, index: FrameIndex) -> Option<PcpSlot> {
        let number = index.number() as usize >> G::PAGEBLOCK_ORDER.get();
        self.cell_of(number).map(PageblockCell::slot)
    }

    /// Makes a pageblock of boot one without free blocks.
    pub(super) fn write(&self, number: usize) {
        if let Some(summary) = self.summaries.get(number) {
            summary.clear();
        }
        for word in self.trees.chunks(BuddyTree::<G>::WORDS).nth(number).unwrap_or(&[]) {
            word.store(0, Ordering::Relaxed);
        }
    }

    /// Stores the initial state of every pageblock of boot, with its zone, before any zone is used.
    /// If their records are `unwritten`, it says so.
    pub(crate) fn init(&self, unwritten: bool) {
        for zone in ZoneKind::ALL {
            for part in self.extents.parts(zone.addresses::<G>()) {
                let first = (part.first().number() >> (G::PAGEBLOCK_ORDER.get() & 31)) as usize;
                let count = part.frames().len() >> G::PAGEBLOCK_ORDER.get();
                for cell in self.states.get(first..first + count).unwrap_or(&[]) {
                    cell.init(zone, unwritten);
                }
            }
        }
    }

    /// Stores the state of a pageblock. The zone must be locked, and the same lock hold must move
    /// the free blocks to the list that the state names.
    #[inline]
    pub(crate) fn set_state(&self, pageblock: Pageblock, state: PageblockState) {
        if let Some(cell) = self.cell(pageblock.start()) {
            debug_assert!(!cell.is_unwritten(), "{pageblock:?}");
            cell.store(state, ZoneKind::of::<G>(pageblock.start()));
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::PageblockMap;
    use crate::base::{MigrateType, Pageblock, Pfn, PfnRange, X86_64};
    use crate::records::buddy_tree::testing::Trees;
    use crate::records::extents::Extents;
    use crate::records::pageblock_state::{Isolation, PageblockCell, PageblockState};

    #[test]
    fn the_map_finds_a_pageblock_by_any_of_its_frames() {
        let states = [const { 0 }; 3].map(|_| PageblockCell::new());
        let trees = Trees::new::<X86_64>(3);
        let extents = Extents::new(PfnRange::with_len(Pfn::new(1024), 3 * 512), &[], None);
        let map =
            PageblockMap::<X86_64>::new(&states, &trees.summaries, &trees.words, &trees.frames, extents);
        let state = PageblockState { migratetype: MigrateType::Cma, isolation: Isolation::Isolated };
        map.set_state(Pageblock::of::<X86_64>(Pfn::new(1700)), state);
        assert_eq!(map.state(Pfn::new(1536)), state);
        assert_eq!(map.state(Pfn::new(2047)), state);
        assert_eq!(map.state(Pfn::new(2048)).migratetype, MigrateType::Movable);
        assert_eq!(map.state(Pfn::new(0)).isolation, Isolation::None);
    }
}
