//! The buddy system of one zone: lists of free blocks by order and kind, split, merge, and the counters.
//!
//! Everything here runs with the zone's lock held. A block is on exactly one list or *in hand* as a
//! [`FreeBlock`], a token that cannot be copied; [`Buddy::file`] and [`Buddy::unfile`] are the border
//! between the two and the only callers of [`Counters::account`] for lists. Which list a block joins is computed
//! from its pageblock's state at that moment.
//!
//! Merging stops at a pageblock's border unless both sides are of one kind (or both ordinary: then the
//! freed side's type wins, as in `__free_one_page`). Isolated blocks never merge across it: contiguous
//! allocation has no use for it, and an undo then concerns one pageblock at a time.
//!
//! Files: this one (lists, split, merge), [`retype`] (a pageblock changes state), [`fallback`] (another
//! type's memory), [`carve`] (a given range), `history` (what older
//! kernels did, with the `faults` feature). Neighbours: [`mem_map`](crate::mem_map) below,
//! [`zone`](crate::zone) above.

mod carve;
#[cfg(feature = "designs")]
mod designs;
mod fallback;
#[cfg(feature = "faults")]
mod history;
mod retype;

use core::marker::PhantomData;

use crate::counters::{Change, Counters, Pool};
#[cfg(not(feature = "designs"))]
use crate::designs::Parking;
use crate::faults::{Stale, fault, when_fault};
use crate::frame::state::{FrameKind, FrameState};
use crate::free_list::{End, FreeList};
use crate::geometry::Geometry;
use crate::mem_map::MemMap;
use crate::migratetype::{FreeKind, MigrateType};
use crate::order::{Order, aligned_blocks};
use crate::pageblock::Pageblock;
use crate::pcp::ListId;
use crate::pfn::{Pfn, PfnRange};

pub(crate) use carve::{Blocked, Taken};
#[cfg(feature = "designs")]
use designs::Parking;
pub(crate) use fallback::Wanted;

/// A block that is on no list and that nobody owns: in hand while the zone's lock is held.
///
/// Not `Clone`, and consumed by whatever files it, splits it or hands it out, so that a page that is
/// nowhere and counted nowhere cannot be forgotten without the compiler saying so.
#[must_use = "a block in hand is on no list: file it or hand it out"]
#[derive(Debug)]
pub(crate) struct FreeBlock {
    pfn: Pfn,
    order: Order,
}

impl FreeBlock {
    /// The block that its last owner gave up (its state says so, or will before the lock is dropped).
    pub(crate) fn from_owner(pfn: Pfn, order: Order) -> Self {
        Self { pfn, order }
    }

    pub(crate) fn pfn(&self) -> Pfn {
        self.pfn
    }

    fn range(&self) -> PfnRange {
        self.order.block(self.pfn)
    }

    /// The lower and the upper half.
    fn halves(self) -> (Self, Self) {
        let order = self.order.down();
        (Self { pfn: self.pfn, order }, Self { pfn: self.pfn.up(order.pages()), order })
    }
}

/// The free lists of one order.
#[derive(Debug)]
struct FreeArea {
    lists: [FreeList; FreeKind::COUNT],
}

/// The buddy system of one zone.
#[derive(Debug)]
pub(crate) struct Buddy<G> {
    areas: [FreeArea; Order::LIMIT.index() + 1],
    counters: Counters,
    /// Pageblocks of type high-atomic.
    atomic_blocks: usize,
    guard_below: Order,
    /// Empty, and not there without the `designs` feature.
    parking: Parking,
    geometry: PhantomData<fn() -> G>,
}

impl<G: Geometry> Buddy<G> {
    /// No free block. Halves of an order below `guard_below` that an allocation leaves over are kept
    /// as guards.
    pub(crate) fn new(guard_below: Order) -> Self {
        let area = || FreeArea { lists: [const { FreeList::new() }; FreeKind::COUNT] };
        Self {
            areas: core::array::from_fn(|_| area()),
            counters: Counters::default(),
            atomic_blocks: 0,
            guard_below,
            parking: Parking::new(),
            geometry: PhantomData,
        }
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }

    pub(crate) fn parking(&self) -> &Parking {
        &self.parking
    }

    pub(crate) fn atomic_blocks(&self) -> usize {
        self.atomic_blocks
    }

    pub(crate) fn set_guard_below(&mut self, order: Order) {
        self.guard_below = order;
    }

    /// Pages by which a block of this order at most lowers the free count: its own, and the guards that its split leaves.
    pub(crate) fn cost(&self, order: Order) -> usize {
        order.max(self.guard_below).pages()
    }

    /// The list of one order and kind.
    pub(crate) fn list(&self, order: Order, kind: FreeKind) -> &FreeList {
        &self.areas[order.index()].lists[kind.index()]
    }

    /// Puts a block on the list that its pageblock's state names, and counts it.
    fn file(&mut self, mem: &MemMap<'_, G>, block: FreeBlock, end: End) {
        let kind = mem.kind(block.pfn);
        let order = block.order;
        self.enlist(mem, block, kind, end);
        if fault!(mem, SKIPPED_ACCOUNT) && order == Order::ZERO {
            return;
        }
        self.counters.account(Pool::List(kind), Change::Join, order.pages());
    }

    /// Links a block into a list: [`file`](Self::file) without the counting.
    fn enlist(&mut self, mem: &MemMap<'_, G>, block: FreeBlock, kind: FreeKind, end: End) {
        mem.frames.set_state(block.pfn, FrameState::free(block.order, kind));
        self.areas[block.order.index()].lists[kind.index()].push(&mem.frames, block.pfn, end);
    }

    /// Takes the free block that starts at `pfn` off its list, and stops counting it.
    fn unfile(&mut self, mem: &MemMap<'_, G>, pfn: Pfn) -> FreeBlock {
        let state = mem.frames.state(pfn);
        debug_assert_eq!(state.kind(), FrameKind::Free, "{pfn} is on no list");
        let (order, kind) = (state.order(), state.filed());
        self.areas[order.index()].lists[kind.index()].remove(&mem.frames, pfn);
        self.counters.account(Pool::List(kind), Change::Leave, order.pages());
        // In hand a block has no head: a walk of its pageblock must not take it for one on a list.
        mem.frames.set_state(pfn, FrameState::TAIL);
        FreeBlock { pfn, order }
    }

    /// Gives a block back: splits it where pageblocks may differ, merges each part with its buddies,
    /// files the result (`free_one_page` and `split_large_buddy` in Linux).
    pub(crate) fn free(&mut self, mem: &MemMap<'_, G>, block: FreeBlock) {
        if block.order <= G::PAGEBLOCK_ORDER {
            if let Some(block) = self.parking.admit(mem, block) {
                self.merge(mem, block);
            }
            return;
        }
        for (pfn, order) in aligned_blocks(block.range(), G::PAGEBLOCK_ORDER) {
            if let Some(block) = self.parking.admit(mem, FreeBlock { pfn, order }) {
                self.merge(mem, block);
            }
        }
    }

    /// As [`free`](Self::free), unless a fault has the caller believe in a state of the past.
    #[inline]
    pub(crate) fn free_or_stale(&mut self, mem: &MemMap<'_, G>, block: FreeBlock, stale: Option<Stale>) {
        match stale {
            None => self.free(mem, block),
            #[cfg(feature = "faults")]
            Some(stale) => self.free_stale(mem, block, stale),
            #[cfg(not(feature = "faults"))]
            Some(Stale(never)) => match never {},
        }
    }

    /// Gives a block back that was cached on this pcplist. The list is not asked: the pageblock says where
    /// the block belongs now.
    pub(crate) fn free_cached(&mut self, mem: &MemMap<'_, G>, pfn: Pfn, id: ListId) {
        let block = FreeBlock::from_owner(pfn, id.order());
        when_fault!(mem, CACHED_TYPE_AT_SPILL => {
            let cached_as = match mem.kind(pfn) {
                FreeKind::Isolated => FreeKind::Listed(id.mobility().migratetype()),
                kind @ FreeKind::Listed(_) => kind,
            };
            return self.merge_historically(mem, block, cached_as, mem.kind(pfn));
        });
        self.free(mem, block);
    }

    fn merge(&mut self, mem: &MemMap<'_, G>, mut block: FreeBlock) {
        let kind = mem.kind(block.pfn);
        when_fault!(mem, MERGE_ACROSS | FREED_BLOCK_ONLY => {
            return self.merge_historically(mem, block, kind, kind);
        });
        while block.order < G::MAX_ORDER {
            let buddy = block.order.buddy(block.pfn);
            let state = mem.frames.state(buddy);
            if state.order() != block.order {
                break;
            }
            if !matches!(state.kind(), FrameKind::Free | FrameKind::Guard) {
                break;
            }
            if block.order >= G::PAGEBLOCK_ORDER && !Self::merges_across(mem, kind, buddy, block.order) {
                break;
            }
            if state.is(FrameKind::Guard) {
                // A guard is on no list. It is counted as free by what it becomes part of.
                mem.guards.release(block.order.block(buddy));
                self.counters.account(Pool::Guard, Change::Leave, block.order.pages());
                when_fault!(mem, GUARD_COUNTED => {
                    if kind == FreeKind::Isolated {
                        let counted = Pool::List(FreeKind::Listed(MigrateType::Movable));
                        self.counters.account(counted, Change::Join, block.order.pages());
                    }
                });
                when_fault!(mem, GUARD_NOT_COUNTED => {
                    self.counters.account(Pool::List(kind), Change::Leave, block.order.pages());
                });
            } else {
                // The larger block is filed below: nothing is in hand but the sum.
                let _joined = self.unfile(mem, buddy);
            }
            let (low, high) = if buddy < block.pfn { (buddy, block.pfn) } else { (block.pfn, buddy) };
            mem.frames.set_state(high, FrameState::TAIL);
            block = FreeBlock { pfn: low, order: block.order.up() };
        }
        self.file(mem, block, End::Front);
    }

    /// Whether a block of at least pageblock size and of this kind may merge with its buddy. If both
    /// are of ordinary types the buddy's pageblocks take this one's.
    fn merges_across(mem: &MemMap<'_, G>, kind: FreeKind, buddy: Pfn, order: Order) -> bool {
        let FreeKind::Listed(own) = kind else {
            return fault!(mem, FIRST_BLOCK_ONLY) && mem.kind(buddy) == FreeKind::Isolated;
        };
        let FreeKind::Listed(other) = mem.kind(buddy) else {
            return false;
        };
        // A guard, unlike a free block, may span pageblocks of which some have been isolated since.
        let mut pageblocks = Pageblock::covering::<G>(order.block(buddy));
        if pageblocks.any(|block| mem.kind(block.start()) == FreeKind::Isolated) {
            return false;
        }
        if own == other {
            return true;
        }
        let ordinary = own.is_ordinary() && other.is_ordinary();
        if ordinary {
            for block in Pageblock::covering::<G>(order.block(buddy)) {
                mem.blocks.set_state(block, mem.blocks.state(block.start()).with_type(own));
            }
        }
        ordinary
    }

    /// A block of exactly `order` from the lists of one type, split from the smallest that is large
    /// enough (`__rmqueue_smallest`).
    pub(crate) fn take_smallest(
        &mut self,
        mem: &MemMap<'_, G>,
        migratetype: MigrateType,
        order: Order,
    ) -> Option<FreeBlock> {
        let kind = FreeKind::Listed(migratetype);
        let pfn = order.up_to(G::MAX_ORDER).find_map(|order| self.list(order, kind).first(&mem.frames))?;
        let block = self.unfile(mem, pfn);
        Some(self.expand(mem, block, order))
    }

    /// Splits a block down to `order`, keeps the lowest part and files the upper halves (`expand`).
    fn expand(&mut self, mem: &MemMap<'_, G>, mut block: FreeBlock, order: Order) -> FreeBlock {
        while block.order > order {
            let (low, high) = block.halves();
            when_fault!(mem, FIRST_BLOCK_ONLY => {
                self.file_with_its_other_half(mem, low.pfn, high);
                block = low;
                continue;
            });
            if high.order < self.guard_below {
                mem.frames.set_state(high.pfn, FrameState::guard(high.order));
                self.counters.account(Pool::Guard, Change::Join, high.order.pages());
                mem.guards.keep(high.range());
            } else {
                self.file(mem, high, End::Front);
            }
            block = low;
        }
        block
    }

    /// Adds memory that was not in the zone before, and whose frames are [`FrameState::TAIL`]s of no block yet: makes blocks
    /// of them and files these.
    pub(crate) fn add(&mut self, mem: &MemMap<'_, G>, range: PfnRange) {
        let largest = if G::PAGEBLOCK_ORDER < G::MAX_ORDER { G::PAGEBLOCK_ORDER } else { G::MAX_ORDER };
        for (pfn, order) in aligned_blocks(range, largest) {
            self.merge(mem, FreeBlock { pfn, order });
        }
    }
}
