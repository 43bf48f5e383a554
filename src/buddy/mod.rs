//! The buddy system of one zone: lists of free blocks by order and kind, split, merge, and the counters.
//!
//! Everything here runs with the zone's lock held. A block is on exactly one list or *in hand* as a
//! [`FreeBlock`], a token that cannot be copied; [`Buddy::file`] and [`Buddy::unfile`] are the border
//! between the two, and whatever moves blocks over it calls [`Counters::account`] for each. Which list a block joins is computed
//! from its pageblock's state at that moment.
//!
//! Blocks of a pageblock's size and more are on lists of the zone. Smaller ones are kept with their pageblock
//! ([`block_area`](crate::block_area)), and the pageblocks on [`shelves`]: *the list of an order and a kind* is then all
//! blocks of that order in pageblocks of that kind, and the first on it is one of the fullest pageblock's.
//!
//! Merging stops at a pageblock's border unless both sides are of one kind (or both ordinary: then the
//! freed side's type wins, as in `__free_one_page`). Isolated blocks never merge across it: contiguous
//! allocation has no use for it, and an undo then concerns one pageblock at a time.
//!
//! Files: this one (lists), [`merge`] and [`split`] (a block comes back, a block is wanted), [`retype`] (a pageblock changes
//! state), [`fallback`] (another type's memory), [`fresh`] (memory that nobody has used yet), [`carve`] (a given range), [`walk`] (for audits), `history` (what older
//! kernels did, with the `faults` feature) and [`strays`] (what that leaves on wrong lists). Neighbours:
//! [`mem_map`](crate::mem_map) below, [`zone`](crate::zone) above.

mod carve;
#[cfg(feature = "designs")]
mod designs;
mod fallback;
mod fresh;
#[cfg(feature = "faults")]
mod history;
mod merge;
mod retype;
mod shelves;
mod split;
mod strays;
mod walk;

use core::marker::PhantomData;

use crate::block_area::{BlockTree, Node};
use crate::counters::{Change, Counters, Pool};
#[cfg(not(feature = "designs"))]
use crate::designs::Parking;
use crate::faults::fault;
use crate::frame::FrameIndex;
use crate::frame::state::{FrameKind, FrameState};
use crate::free_list::FreeList;
use crate::geometry::Geometry;
use crate::mem_map::MemMap;
use crate::migratetype::{FreeKind, MigrateType};
use crate::order::{Order, aligned_blocks};
use crate::pfn::{Pfn, PfnRange};
use fresh::Fresh;
use shelves::{Place, Shelves, replace};
use strays::Strays;

pub(crate) use carve::{Blocked, Taken};
#[cfg(feature = "designs")]
use designs::Parking;
pub(crate) use fallback::Wanted;

const ORDERS: usize = Order::LIMIT.index() + 1;

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

/// The blocks of one order, of a pageblock's size or more.
#[derive(Debug)]
struct FreeArea {
    lists: [FreeList; FreeKind::COUNT],
}

/// How many blocks of one kind there are of each order that are kept with their pageblocks.
#[derive(Debug)]
struct Tally([u32; ORDERS]);

impl Tally {
    #[inline(always)]
    fn change(&mut self, order: Order, change: Change) {
        if let Some(count) = self.0.get_mut(order.index()) {
            *count = match change {
                Change::Join => count.wrapping_add(1),
                Change::Leave => count.wrapping_sub(1),
            };
        }
    }
}

/// The buddy system of one zone.
#[derive(Debug)]
pub(crate) struct Buddy<G> {
    shelves: [Shelves; FreeKind::COUNT],
    tallies: [Tally; FreeKind::COUNT],
    areas: [FreeArea; ORDERS],
    counters: Counters,
    /// Pageblocks of type high-atomic.
    atomic_blocks: usize,
    guard_below: Order,
    fresh: Fresh,
    /// Empty, and not there without the `designs` feature.
    parking: Parking,
    /// Empty, and not there without the `faults` feature.
    strays: Strays,
    geometry: PhantomData<fn() -> G>,
}

impl<G: Geometry> Buddy<G> {
    /// No free block. Halves of an order below `guard_below` that an allocation leaves over are kept
    /// as guards.
    pub(crate) fn new(guard_below: Order) -> Self {
        let area = || FreeArea { lists: [const { FreeList::new() }; FreeKind::COUNT] };
        Self {
            shelves: [const { Shelves::new() }; FreeKind::COUNT],
            tallies: [const { Tally([0; ORDERS]) }; FreeKind::COUNT],
            areas: core::array::from_fn(|_| area()),
            counters: Counters::default(),
            atomic_blocks: 0,
            guard_below,
            fresh: Fresh::new(),
            parking: Parking::new(),
            strays: Strays::new(),
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

    /// Whether blocks of this order are kept with their pageblock.
    #[inline(always)]
    const fn is_small(order: Order) -> bool {
        order.get() < G::PAGEBLOCK_ORDER.get()
    }

    /// Free blocks of one order and kind.
    pub(crate) fn blocks(&self, order: Order, kind: FreeKind) -> usize {
        let fresh = order == G::MAX_ORDER && kind == FreeKind::Listed(MigrateType::Movable);
        let fresh = if fresh { self.fresh.pages() / order.pages() } else { 0 };
        self.listed(order, kind) + fresh
    }

    /// The same without fresh ones.
    fn listed(&self, order: Order, kind: FreeKind) -> usize {
        self.areas[order.index()].lists[kind.index()].len()
            + self.tallies[kind.index()].0[order.index()] as usize
            + self.strays.blocks(order, kind)
    }

    /// A block of this order and kind, if none of the kind is larger.
    pub(crate) fn largest(&self, mem: &MemMap<'_, G>, order: Order, kind: FreeKind) -> Option<Pfn> {
        if Self::is_small(order) {
            let pageblock = self.shelves[kind.index()].emptiest::<G>(order)?;
            mem.blocks.tree_at(pageblock)?.first(order).map(|index| mem.frames.pfn(index))
        } else {
            self.areas[order.index()].lists[kind.index()].first(&mem.frames)
        }
    }

    /// Puts a block on the list that its pageblock's state names, and counts it.
    fn file(&mut self, mem: &MemMap<'_, G>, block: FreeBlock) {
        let kind = mem.kind(block.pfn);
        let order = block.order;
        self.enlist(mem, block, kind);
        self.count(mem, order, kind);
    }

    /// Counts a block that has been put on a list.
    #[inline(always)]
    #[cfg_attr(not(feature = "faults"), expect(unused_variables, reason = "a fault is looked up there"))]
    fn count(&mut self, mem: &MemMap<'_, G>, order: Order, kind: FreeKind) {
        if fault!(mem, SKIPPED_ACCOUNT) && order == Order::ZERO {
            return;
        }
        self.counters.account(Pool::List(kind), Change::Join, order.pages());
    }

    /// Links a block into a list: [`file`](Self::file) without the counting.
    fn enlist(&mut self, mem: &MemMap<'_, G>, block: FreeBlock, kind: FreeKind) {
        let FreeBlock { pfn, order } = block;
        if !Self::is_small(order) {
            mem.frames.set_state(pfn, FrameState::free(order, kind));
            self.areas[order.index()].lists[kind.index()].push(&mem.frames, pfn);
        } else if !self.strays.admit(mem, pfn, order, kind)
            && let Some(tree) = mem.blocks.tree(pfn)
        {
            let index = mem.frames.link(pfn);
            self.put_small(mem, tree, index, BlockTree::<G>::node(index, order), order, kind);
            tree.area.add_pages(order.pages() as u32);
            self.settle(mem, tree, kind);
        }
    }

    /// Takes the free block that starts at `pfn` off its list, and stops counting it.
    fn unfile(&mut self, mem: &MemMap<'_, G>, pfn: Pfn) -> FreeBlock {
        let state = mem.frames.state(pfn);
        debug_assert_eq!(state.kind(), FrameKind::Free, "{pfn} is on no list");
        let (order, kind) = (state.order(), state.filed());
        if !Self::is_small(order) {
            self.areas[order.index()].lists[kind.index()].remove(&mem.frames, pfn);
            self.counters.account(Pool::List(kind), Change::Leave, order.pages());
        } else if self.strays.release(mem, pfn, state) {
            self.counters.account(Pool::List(kind), Change::Leave, order.pages());
        } else if let Some(tree) = mem.blocks.tree(pfn) {
            self.take_small(tree, BlockTree::<G>::node(mem.frames.link(pfn), order), order, kind);
            tree.area.add_pages((order.pages() as u32).wrapping_neg());
            self.settle(mem, tree, kind);
        }
        // In hand a block has no head: a walk of its pageblock must not take it for one on a list.
        mem.frames.set_state(pfn, FrameState::TAIL);
        FreeBlock { pfn, order }
    }

    /// Puts a block, which is this node, on its pageblock's list. Whoever calls this counts its pages, and settles the pageblock.
    #[inline(always)]
    fn put_small(
        &mut self,
        mem: &MemMap<'_, G>,
        tree: BlockTree<'_, G>,
        index: FrameIndex,
        node: Node,
        order: Order,
        kind: FreeKind,
    ) {
        mem.frames.set_state_at(index, FrameState::free(order, kind));
        tree.insert(node, order);
        self.tallies[kind.index()].change(order, Change::Join);
    }

    /// Takes a block off its pageblock's list and stops counting it. Whoever calls this has the pageblock count its pages, and
    /// settles it.
    #[inline(always)]
    fn take_small(&mut self, tree: BlockTree<'_, G>, node: Node, order: Order, kind: FreeKind) {
        tree.remove(node, order);
        self.leave(order, kind);
    }

    /// Stops counting a block that has left its pageblock's list.
    #[inline(always)]
    fn leave(&mut self, order: Order, kind: FreeKind) {
        self.tallies[kind.index()].change(order, Change::Leave);
        self.counters.account(Pool::List(kind), Change::Leave, order.pages());
    }

    /// Puts a pageblock on the shelf where its free blocks, which have changed, make it belong.
    #[inline(always)]
    fn settle(&mut self, mem: &MemMap<'_, G>, tree: BlockTree<'_, G>, kind: FreeKind) {
        let place = Place::of::<G>(tree.area, kind.index());
        if place != Place::current(tree.area) {
            replace(&mut self.shelves, &mem.blocks, tree.pageblock, tree.area, place);
        }
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
