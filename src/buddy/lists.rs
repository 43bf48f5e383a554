//! The free lists of a zone: inserts blocks into them and removes blocks from them.
//!
//! Blocks of at least the pageblock order are on linked lists of the zone. Smaller ones are bits in
//! the [`BuddyTree`] of their pageblock, and the pageblocks are in [`FullnessGroups`]. *The list of
//! an order and a kind* then means all free blocks of that order in pageblocks of that kind.
//!
//! Reported blocks, whose memory the host has taken back, are at the end of their list: a request
//! takes them after all others of the list.
//!
//! [`Buddy::insert`] and [`Buddy::remove`] keep all counts: the page counts of the zone
//! ([`Counters`]), the block counts by order, and the page count of the pageblock. Code that moves
//! several small blocks of a pageblock at once ([`merge`](crate::buddy), `split`, `retype`) uses
//! `insert_small` and `remove_small`, and updates the page count of the pageblock and its group
//! once, at the end.

use core::marker::PhantomData;

use crate::base::{FrameKind, FreeKind, Geometry, MigrateType, Order, Pfn};
use crate::buddy::counters::{Change, Counters, Pool};
use crate::buddy::deferred_ranges::DeferredRanges;
use crate::buddy::events::ZoneEvents;
use crate::buddy::free_block::FreeBlock;
use crate::buddy::fullness::{FullnessGroups, GroupId, move_pageblock};
use crate::buddy::misfiled::Misfiled;
use crate::buddy::parking::Parking;
use crate::buddy::report_batch::Reporting;
use crate::instruments::{Design, Faults};
use crate::records::{BuddyTree, Descriptors, FrameIndex, FrameState, FreeList, Node};

/// The linked lists of one order, by kind. They are empty below the pageblock order.
#[derive(Debug)]
pub(super) struct FreeArea {
    pub(super) lists: [FreeList; FreeKind::COUNT],
}

impl FreeArea {
    const fn new() -> Self {
        Self { lists: [const { FreeList::new() }; FreeKind::COUNT] }
    }
}

/// The number of blocks in trees, of one kind, by order (`nr_free` in Linux).
#[derive(Debug)]
pub(super) struct BlockCounts([u32; Order::COUNT]);

impl BlockCounts {
    #[inline(always)]
    pub(super) fn change(&mut self, order: Order, change: Change) {
        if let Some(count) = self.0.get_mut(order.index()) {
            *count = match change {
                Change::Join => count.wrapping_add(1),
                Change::Leave => count.wrapping_sub(1),
            };
        }
    }

    /// Adds `blocks` blocks.
    #[inline(always)]
    pub(super) fn join(&mut self, order: Order, blocks: u32) {
        if let Some(count) = self.0.get_mut(order.index()) {
            *count = count.wrapping_add(blocks);
        }
    }

    /// Counts a freed block of order `from` that became one of order `to`, for which it took a
    /// block of every order between.
    #[inline(always)]
    pub(super) fn merge(&mut self, from: Order, to: Order) {
        for count in self.0.get_mut(from.index()..to.index()).unwrap_or_default() {
            *count = count.wrapping_sub(1);
        }
        self.change(to, Change::Join);
    }

    /// As [`merge`](Self::merge), for `merged[n]` blocks that became one of order n. Returns the
    /// number of blocks.
    pub(super) fn merge_all(&mut self, from: Order, merged: &[u32; Order::COUNT]) -> u32 {
        let mut larger = 0_u32;
        for order in (from.index()..Order::COUNT).rev() {
            self.0[order] = self.0[order].wrapping_add(merged[order]).wrapping_sub(larger);
            larger = larger.wrapping_add(merged[order]);
        }
        larger
    }

    /// Subtracts `blocks` blocks.
    #[inline(always)]
    pub(super) fn leave(&mut self, order: Order, blocks: u32) {
        if let Some(count) = self.0.get_mut(order.index()) {
            *count = count.wrapping_sub(blocks);
        }
    }

    pub(super) const fn blocks(&self, order: Order) -> u32 {
        self.0[order.index()]
    }
}

/// The buddy system of one zone.
#[derive(Debug)]
pub(crate) struct Buddy<G> {
    pub(super) groups: FullnessGroups,
    pub(super) block_counts: [BlockCounts; FreeKind::COUNT],
    pub(super) areas: [FreeArea; Order::COUNT],
    pub(super) counters: Counters,
    pub(super) events: ZoneEvents,
    /// The number of pageblocks of type high-atomic.
    pub(super) atomic_pageblocks: usize,
    /// Managed frames in pageblocks of type movable-only.
    pub(super) movable_only: usize,
    /// A split keeps leftover halves of an order below this as guards.
    pub(super) guard_below: Order,
    pub(super) deferred: DeferredRanges,
    pub(super) reporting: Reporting,
    /// Stays empty without the feature `designs`.
    pub(super) parking: Parking,
    /// Zero-sized without the feature `faults`.
    pub(super) misfiled: Misfiled,
    geometry: PhantomData<fn() -> G>,
}

impl<G: Geometry> Buddy<G> {
    pub(crate) const fn new() -> Self {
        Self {
            groups: FullnessGroups::new(),
            block_counts: [const { BlockCounts([0; Order::COUNT]) }; FreeKind::COUNT],
            areas: [const { FreeArea::new() }; Order::COUNT],
            counters: Counters::new(),
            events: ZoneEvents::new(),
            atomic_pageblocks: 0,
            movable_only: 0,
            guard_below: Order::ZERO,
            deferred: DeferredRanges::new(),
            reporting: Reporting::new(),
            parking: Parking::new(),
            misfiled: Misfiled::new(),
            geometry: PhantomData,
        }
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }

    pub(crate) fn events(&self) -> &ZoneEvents {
        &self.events
    }

    pub(crate) fn events_mut(&mut self) -> &mut ZoneEvents {
        &mut self.events
    }

    pub(crate) fn correct_free(&mut self, pages: isize) {
        self.counters.correct_free(pages);
    }

    pub(crate) fn set_design(&mut self, design: Design) {
        self.counters.set_design(design);
    }

    pub(crate) fn parking(&self) -> &Parking {
        &self.parking
    }

    pub(crate) fn deferred(&self) -> &DeferredRanges {
        &self.deferred
    }

    pub(crate) fn atomic_pageblocks(&self) -> usize {
        self.atomic_pageblocks
    }

    pub(crate) fn set_guard_below(&mut self, order: Order) {
        self.guard_below = order;
    }

    /// The most pages that an allocation takes from the free count: the block and its guards.
    pub(crate) fn cost(&self, order: Order) -> usize {
        order.max(self.guard_below).pages()
    }

    /// Whether blocks of this order are in trees: those below the pageblock order.
    #[inline(always)]
    pub(super) const fn is_small(order: Order) -> bool {
        order.get() < G::PAGEBLOCK_ORDER.get()
    }

    /// Free blocks of one order and kind.
    pub(crate) fn blocks(&self, order: Order, kind: FreeKind) -> usize {
        let deferred = order == G::MAX_ORDER && kind == FreeKind::Listed(MigrateType::Movable);
        let deferred = if deferred { self.deferred.pages() / order.pages() } else { 0 };
        self.listed(order, kind) + deferred
    }

    /// As [`blocks`](Self::blocks), without deferred memory.
    pub(super) fn listed(&self, order: Order, kind: FreeKind) -> usize {
        self.areas[order.index()].lists[kind.index()].len()
            + self.block_counts[kind.index()].blocks(order) as usize
            + self.misfiled.blocks(order, kind)
    }

    /// A block of this order, the largest of this kind, from the emptiest pageblock that has one.
    pub(crate) fn largest(&self, desc: &Descriptors<'_, G>, order: Order, kind: FreeKind) -> Option<Pfn> {
        if Self::is_small(order) {
            let pageblock = self.groups.emptiest::<G>(kind, order)?;
            desc.pageblocks.tree_at(pageblock)?.first(order).map(|index| desc.frames.pfn(index))
        } else {
            self.areas[order.index()].lists[kind.index()].first(&desc.frames)
        }
    }

    /// Inserts a block into the list that its pageblock names, and counts its pages.
    pub(super) fn insert(&mut self, desc: &Descriptors<'_, G>, block: FreeBlock) {
        let kind = desc.kind(block.pfn);
        let order = block.order;
        self.insert_uncounted(desc, block, kind);
        self.count_inserted(desc, order, kind);
    }

    /// Adds a block that was inserted into a list to the page counts.
    #[inline(always)]
    pub(super) fn count_inserted(&mut self, desc: &Descriptors<'_, G>, order: Order, kind: FreeKind) {
        if !self.skips_count(desc, order) {
            self.counters.account(Pool::List(kind), Change::Join, order.pages());
        }
    }

    /// Whether a fault leaves a block of this order out of the page counts.
    #[inline(always)]
    pub(super) fn skips_count(&self, desc: &Descriptors<'_, G>, order: Order) -> bool {
        desc.faults.is_on(Faults::SKIPPED_ACCOUNT) && order == Order::ZERO
    }

    /// Inserts a block into the list of `kind`, except that the caller changes the page counts.
    pub(super) fn insert_uncounted(&mut self, desc: &Descriptors<'_, G>, block: FreeBlock, kind: FreeKind) {
        let FreeBlock { pfn, order, reported } = block;
        if !Self::is_small(order) {
            let list = &mut self.areas[order.index()].lists[kind.index()];
            let state = FrameState::free(order, kind);
            if reported {
                desc.frames.set_state(pfn, state.reported());
                list.push_back(&desc.frames, pfn);
                self.counters.count_reported(Change::Join, order.pages());
            } else {
                desc.frames.set_state(pfn, state);
                list.push(&desc.frames, pfn);
            }
        } else if !self.misfiled.insert(desc, pfn, order, kind)
            && let Some(tree) = desc.pageblocks.tree(pfn)
        {
            self.insert_small(desc, tree, desc.frames.index_of(pfn), order, kind);
            tree.summary.add_pages(order.pages() as u32);
            self.regroup(desc, tree, kind);
        }
    }

    /// Removes the free block at `pfn` from its list and from the page counts.
    pub(super) fn remove(&mut self, desc: &Descriptors<'_, G>, pfn: Pfn) -> FreeBlock {
        let state = desc.frames.state(pfn);
        debug_assert_eq!(state.kind(), FrameKind::Free, "{pfn} is on no list");
        let (order, kind) = (state.order(), state.free_kind());
        if !Self::is_small(order) {
            self.areas[order.index()].lists[kind.index()].remove(&desc.frames, pfn);
            self.counters.account(Pool::List(kind), Change::Leave, order.pages());
            if state.is_reported() {
                self.counters.count_reported(Change::Leave, order.pages());
            }
        } else if self.misfiled.remove(desc, pfn, state) {
            self.counters.account(Pool::List(kind), Change::Leave, order.pages());
        } else if let Some(tree) = desc.pageblocks.tree(pfn) {
            self.remove_small(tree, BuddyTree::<G>::node(desc.frames.index_of(pfn), order), order, kind);
            tree.summary.add_pages((order.pages() as u32).wrapping_neg());
            self.regroup(desc, tree, kind);
        }
        // A walk of the pageblock must not find the head of a block that is on no list.
        desc.frames.set_state(pfn, FrameState::TAIL);
        FreeBlock { pfn, order, reported: state.is_reported() }
    }

    /// Inserts a block into its pageblock's tree. The caller changes the page counts of the zone
    /// and the pageblock, and calls [`regroup`](Self::regroup).
    #[inline(always)]
    pub(super) fn insert_small(
        &mut self,
        desc: &Descriptors<'_, G>,
        tree: BuddyTree<'_, G>,
        index: FrameIndex,
        order: Order,
        kind: FreeKind,
    ) {
        desc.frames.set_state_at(index, FrameState::free(order, kind));
        tree.insert(BuddyTree::<G>::node(index, order), order, 0);
        self.block_counts[kind.index()].change(order, Change::Join);
    }

    /// Removes a block from its pageblock's tree and from the zone's counts. The caller changes the
    /// page count of the pageblock and calls [`regroup`](Self::regroup).
    #[inline(always)]
    pub(super) fn remove_small(&mut self, tree: BuddyTree<'_, G>, node: Node, order: Order, kind: FreeKind) {
        tree.remove(node, order);
        self.count_removed(order, kind);
    }

    /// Subtracts a block that was removed from its pageblock's tree from the zone's counts.
    #[inline(always)]
    pub(super) fn count_removed(&mut self, order: Order, kind: FreeKind) {
        self.block_counts[kind.index()].change(order, Change::Leave);
        self.counters.account(Pool::List(kind), Change::Leave, order.pages());
    }

    /// Moves a pageblock whose free blocks have changed to the fullness group that it belongs in,
    /// unless it is in that.
    #[inline(always)]
    pub(super) fn regroup(&mut self, desc: &Descriptors<'_, G>, tree: BuddyTree<'_, G>, kind: FreeKind) {
        let group = GroupId::of::<G>(tree.summary.free(), kind);
        if group != GroupId::current(tree.summary) {
            move_pageblock(&mut self.groups, &desc.pageblocks, tree.pageblock, tree.summary, group);
        }
    }
}
