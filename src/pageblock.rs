//! Pageblocks and their state: a migratetype and an isolated bit.
//!
//! The map holds one byte per pageblock. It is written only under the lock of the block's zone, in the
//! same lock hold that moves the block's free pages to the list that the new state names, so that
//! *which list a free block is on* can always be computed from here. It is read without a lock in one
//! place, the choice between pcplist and buddy on free; [`pcp`](crate::pcp) says why that is safe.
//!
//! Beside the states lie the records of the free blocks within each pageblock ([`block_area`](crate::block_area)).
//!
//! Isolation sets a bit beside the type and never overwrites it (`PB_migrate_isolate`, Linux v6.17),
//! so an undo cannot lose the type. Neighbours: [`migratetype`](crate::migratetype) for the types,
//! [`buddy`](crate::buddy) for the moves.

#![expect(
    unsafe_code,
    reason = "what the table has given need not be looked for again, where every instruction counts"
)]

use core::marker::PhantomData;

use crate::block_area::{BlockArea, BlockTree, TreeWord};
use crate::frame::FrameIndex;
use crate::geometry::Geometry;
use crate::migratetype::{FreeKind, MigrateType, Mobility};
use crate::pcp::ListSlot;
use crate::pfn::{Pfn, PfnRange};
use crate::request::ZoneKind;
use crate::sync::{AtomicU8, Ordering};

/// Whether a pageblock is isolated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Isolation {
    /// Its free pages are free pages.
    Open,
    /// Its free pages are on the isolated lists and not counted.
    Isolated,
    /// About to be isolated: pages freed in it are parked. Of the design of that name only.
    #[cfg(feature = "designs")]
    Isolating,
}

/// The state of one pageblock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BlockState {
    /// What its pages are grouped for; kept through isolation.
    pub migratetype: MigrateType,
    /// Whether it is isolated.
    pub isolation: Isolation,
}

impl BlockState {
    /// The list slot that pages of the block are cached in, where the next three bits are clear.
    const SLOT_BITS: u8 = 0xf;
    const CMA_BIT: u8 = 1 << 4;
    const ATOMIC_BIT: u8 = 1 << 5;
    const ISOLATED_BIT: u8 = 1 << 6;
    #[cfg(feature = "designs")]
    const ISOLATING_BIT: u8 = 1 << 7;
    /// Pages of the block are not for caching if any of these is set.
    const UNCACHED_BITS: u8 = !(Self::SLOT_BITS | Self::CMA_BIT);

    /// The list that the block's free pages are on.
    #[must_use]
    pub const fn free_kind(self) -> FreeKind {
        match self.isolation {
            Isolation::Open => FreeKind::Listed(self.migratetype),
            Isolation::Isolated => FreeKind::Isolated,
            #[cfg(feature = "designs")]
            Isolation::Isolating => FreeKind::Listed(self.migratetype),
        }
    }

    pub(crate) const fn with_type(self, migratetype: MigrateType) -> Self {
        Self { migratetype, ..self }
    }

    pub(crate) const fn with_isolation(self, isolation: Isolation) -> Self {
        Self { isolation, ..self }
    }

    /// The byte for a block of this zone. Laid out for the one reader that is in a hurry: a free, which finds in it whether it may cache its
    /// page, and on which list.
    const fn encode(self, zone: ZoneKind) -> u8 {
        let (mobility, kind) = match self.migratetype.cached_as() {
            Some(mobility) if matches!(self.migratetype, MigrateType::Cma) => (mobility, Self::CMA_BIT),
            Some(mobility) => (mobility, 0),
            None => (Mobility::Unmovable, Self::ATOMIC_BIT),
        };
        let isolation = match self.isolation {
            Isolation::Open => 0,
            Isolation::Isolated => Self::ISOLATED_BIT,
            #[cfg(feature = "designs")]
            Isolation::Isolating => Self::ISOLATING_BIT,
        };
        ListSlot::new(zone, mobility).bits() as u8 | kind | isolation
    }

    const fn decode(bits: u8) -> Self {
        let isolation = if bits & Self::ISOLATED_BIT == 0 { Isolation::Open } else { Isolation::Isolated };
        #[cfg(feature = "designs")]
        let isolation = if bits & Self::ISOLATING_BIT == 0 { isolation } else { Isolation::Isolating };
        let migratetype = if bits & Self::CMA_BIT != 0 {
            MigrateType::Cma
        } else if bits & Self::ATOMIC_BIT != 0 {
            MigrateType::HighAtomic
        } else {
            match (bits & Self::SLOT_BITS) % Mobility::COUNT as u8 {
                0 => MigrateType::Unmovable,
                1 => MigrateType::Movable,
                _ => MigrateType::Reclaimable,
            }
        };
        Self { migratetype, isolation }
    }
}

/// By stored state: the list that the block's free pages are on.
static KINDS: [FreeKind; 256] = {
    let mut kinds = [FreeKind::Isolated; 256];
    let mut bits = 0;
    while bits < kinds.len() {
        kinds[bits] = BlockState::decode(bits as u8).free_kind();
        bits += 1;
    }
    kinds
};

/// The stored state of one pageblock: an element of the metadata that the caller provides.
#[derive(Debug)]
pub(crate) struct BlockDesc(AtomicU8);

impl BlockDesc {
    /// A movable block, not isolated: the state every block starts in.
    pub(crate) fn new() -> Self {
        let state = BlockState { migratetype: MigrateType::Movable, isolation: Isolation::Open };
        Self(AtomicU8::new(state.encode(ZoneKind::Dma)))
    }

    #[inline(always)]
    fn kind(&self) -> FreeKind {
        KINDS[usize::from(self.0.load(Ordering::Relaxed))]
    }
}

/// A pageblock, named by its first frame (which need not be memory).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Pageblock {
    start: Pfn,
}

impl Pageblock {
    pub(crate) fn of<G: Geometry>(pfn: Pfn) -> Self {
        Self { start: G::PAGEBLOCK_ORDER.align_down(pfn) }
    }

    pub(crate) const fn start(self) -> Pfn {
        self.start
    }

    pub(crate) fn frames<G: Geometry>(self) -> PfnRange {
        G::PAGEBLOCK_ORDER.block(self.start)
    }

    /// The pageblocks that share a frame with `range`, in ascending order.
    pub(crate) fn covering<G: Geometry>(range: PfnRange) -> impl Iterator<Item = Self> {
        let first = G::PAGEBLOCK_ORDER.align_down(range.start());
        let end = if range.is_empty() { first } else { range.end() };
        (first.number()..end.number())
            .step_by(G::PAGEBLOCK_ORDER.pages())
            .map(|number| Self { start: Pfn::new(number) })
    }
}

/// The state of every pageblock from `base` on.
#[derive(Debug)]
pub(crate) struct PageblockMap<'m, G> {
    blocks: &'m [BlockDesc],
    areas: &'m [BlockArea],
    trees: &'m [TreeWord],
    base: Pfn,
    geometry: PhantomData<fn() -> G>,
}

impl<'m, G: Geometry> PageblockMap<'m, G> {
    /// `base` is the first frame of the first block.
    pub(crate) fn new(
        blocks: &'m [BlockDesc],
        areas: &'m [BlockArea],
        trees: &'m [TreeWord],
        base: Pfn,
    ) -> Self {
        assert!(blocks.len() == areas.len() && areas.len() * BlockTree::<G>::WORDS == trees.len());
        Self { blocks, areas, trees, base, geometry: PhantomData }
    }

    #[inline(always)]
    fn number(&self, pfn: Pfn) -> usize {
        pfn.number().wrapping_sub(self.base.number()) >> G::PAGEBLOCK_ORDER.get()
    }

    #[inline(always)]
    fn desc(&self, pfn: Pfn) -> Option<&BlockDesc> {
        self.blocks.get(self.number(pfn))
    }

    /// The free blocks within the pageblock that holds `pfn`.
    #[inline(always)]
    pub(crate) fn tree(&self, pfn: Pfn) -> Option<BlockTree<'m, G>> {
        self.tree_of(self.number(pfn))
    }

    /// The free blocks within the pageblock with this number.
    #[inline(always)]
    pub(crate) fn tree_at(&self, number: u32) -> Option<BlockTree<'m, G>> {
        self.tree_of(number as usize)
    }

    /// The list that the free pages of the pageblock around a frame belong on, and its free blocks.
    #[inline(always)]
    pub(crate) fn kind_and_tree(&self, index: FrameIndex) -> Option<(FreeKind, BlockTree<'m, G>)> {
        let number = (index.number() >> (G::PAGEBLOCK_ORDER.get() & 31)) as usize;
        let tree = self.tree_of(number)?;
        // SAFETY: it has a tree, and `new` takes as many states as trees.
        let desc = unsafe { self.blocks.get_unchecked(number) };
        Some((desc.kind(), tree))
    }

    #[inline(always)]
    fn tree_of(&self, number: usize) -> Option<BlockTree<'m, G>> {
        let area = self.areas.get(number)?;
        let start = number * BlockTree::<G>::WORDS;
        // SAFETY: there is an area of this number, and `new` takes as many trees as areas.
        let words = unsafe { self.trees.get_unchecked(start..start + BlockTree::<G>::WORDS) };
        Some(BlockTree::new(area, words, number as u32))
    }

    /// What is known of these at a glance.
    #[inline(always)]
    pub(crate) fn area_at(&self, number: u32) -> Option<&'m BlockArea> {
        self.areas.get(number as usize)
    }

    /// How many pageblocks there are.
    pub(crate) fn len(&self) -> usize {
        self.blocks.len()
    }

    /// The state of the block that holds `pfn`; open and movable for a frame outside the map, which
    /// no caller acts on because no such frame is ever free.
    #[inline]
    pub(crate) fn state(&self, pfn: Pfn) -> BlockState {
        match self.desc(pfn) {
            Some(desc) => BlockState::decode(desc.0.load(Ordering::Relaxed)),
            None => BlockState { migratetype: MigrateType::Movable, isolation: Isolation::Open },
        }
    }

    /// The list that the free pages of the block that holds `pfn` belong on.
    #[inline(always)]
    pub(crate) fn kind(&self, pfn: Pfn) -> FreeKind {
        match self.desc(pfn) {
            Some(desc) => desc.kind(),
            None => FreeKind::Listed(MigrateType::Movable),
        }
    }

    /// The list that this frame's page may be cached on, or `None` if it may not: the atomic reserve
    /// and isolated blocks are not for caching.
    ///
    /// # Safety
    ///
    /// The frame table must have given `index`.
    #[inline(always)]
    pub(crate) unsafe fn list_slot(&self, index: FrameIndex) -> Option<ListSlot> {
        let block = index.number() as usize >> G::PAGEBLOCK_ORDER.get();
        debug_assert!(block < self.blocks.len());
        // SAFETY: the span of the table is whole pageblocks, and there is a state for each.
        let desc = unsafe { self.blocks.get_unchecked(block) };
        let bits = u32::from(desc.0.load(Ordering::Relaxed));
        if bits & u32::from(BlockState::UNCACHED_BITS) != 0 {
            return None;
        }
        // SAFETY: nothing else than the bits of a slot is ever stored there.
        Some(unsafe { ListSlot::from_bits(bits & u32::from(BlockState::SLOT_BITS)).unwrap_unchecked() })
    }

    /// Stores a block's state. Only [`buddy`](crate::buddy) calls this, with the zone locked and in
    /// the same hold that moves the block's free pages.
    pub(crate) fn set_state(&self, block: Pageblock, state: BlockState) {
        if let Some(desc) = self.desc(block.start()) {
            let zone = ZoneKind::of::<G>(block.start());
            desc.0.store(state.encode(zone), Ordering::Relaxed);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::{BlockDesc, BlockState, Isolation, Pageblock, PageblockMap};
    use crate::block_area::testing::Trees;
    use crate::geometry::X86_64;
    use crate::migratetype::{FreeKind, MigrateType};
    use crate::pfn::{Pfn, PfnRange};
    use crate::request::ZoneKind;

    #[test]
    fn states_round_trip_through_a_byte() {
        for migratetype in MigrateType::ALL {
            for isolation in [Isolation::Open, Isolation::Isolated] {
                let state = BlockState { migratetype, isolation };
                for zone in ZoneKind::ALL {
                    assert_eq!(BlockState::decode(state.encode(zone)), state);
                }
            }
        }
    }

    #[test]
    fn isolation_keeps_the_type() {
        let cma = BlockState { migratetype: MigrateType::Cma, isolation: Isolation::Open };
        let isolated = cma.with_isolation(Isolation::Isolated);
        assert_eq!(isolated.free_kind(), FreeKind::Isolated);
        assert_eq!(isolated.with_isolation(Isolation::Open), cma);
    }

    #[test]
    fn a_range_is_covered_by_every_block_that_it_touches() {
        let starts = |start, end| {
            let range = PfnRange::new(Pfn::new(start), Pfn::new(end));
            Pageblock::covering::<X86_64>(range).map(|block| block.start().number()).collect::<Vec<_>>()
        };
        assert_eq!(starts(0, 512), [0]);
        assert_eq!(starts(511, 513), [0, 512]);
        assert_eq!(starts(600, 700), [512]);
        assert_eq!(starts(600, 600), []);
    }

    #[test]
    fn the_map_finds_a_block_by_any_of_its_frames() {
        let blocks = [const { 0 }; 3].map(|_| BlockDesc::new());
        let trees = Trees::new::<X86_64>(3);
        let map = PageblockMap::<X86_64>::new(&blocks, &trees.areas, &trees.words, Pfn::new(1024));
        let state = BlockState { migratetype: MigrateType::Cma, isolation: Isolation::Isolated };
        map.set_state(Pageblock::of::<X86_64>(Pfn::new(1700)), state);
        assert_eq!(map.state(Pfn::new(1536)), state);
        assert_eq!(map.state(Pfn::new(2047)), state);
        assert_eq!(map.state(Pfn::new(2048)).migratetype, MigrateType::Movable);
        assert_eq!(map.state(Pfn::new(0)).isolation, Isolation::Open);
    }
}
