//! The pcplists of one CPU: stacks of free blocks, one for each order, zone and mobility.
//!
//! A list is an array of frame indices, not links through the frame table: to push or pop a block
//! moves one number, and accesses only the state of the block, which a free must check anyway. A
//! block on a list has the state *cached, by this CPU*. An entry whose block has another state is
//! stale. It is left by two frees of one block that overlapped in time (see
//! [`PcpAccess::owner_only`](crate::PcpAccess::owner_only)), and is dropped when it is popped.
//!
//! Functions that change a list need access through the [`BiasedLock`]. Those whose names end in
//! `_unless_revoked` are the fast path of the owner and fail while its access is revoked. The owner
//! calls the others after a check, and other CPUs call them while it has no access.

#![expect(unsafe_code, reason = "an entry below the limit exists, and the fast path must not check bounds")]

use core::hint::assert_unchecked;

use crate::base::{Geometry, Mobility, Order, PcpSlot, ZoneKind};
use crate::limits::{CACHED_ORDERS, LARGEST, PcpLimits};
use crate::pcp::biased_lock::BiasedLock;
use crate::pcp::hot_slot::{HotBlock, HotSlot};
use crate::pcp::list_id::{LISTS, ListId};
use crate::records::{FrameIndex, FrameState};
use crate::sync::{Ordering, PlainU32};

/// The length and the limit of a list; its blocks are in `entries`.
#[derive(Debug)]
struct Head {
    /// The number of blocks in the array.
    len: PlainU32,
    /// The most blocks that the array may hold.
    limit: PlainU32,
}

/// The free entry on top of a list.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FreeEntry<'a> {
    head: &'a Head,
    len: u32,
    first: u32,
}

/// All lists of one CPU, in the metadata. No two CPUs share a pair of cache lines.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct CpuLists<'m> {
    pub(crate) access: BiasedLock,
    /// The state of a single page on a list of this CPU.
    cached: FrameState,
    /// By order and slot ([`list`](Self::list)), as the next three.
    hot_slots: [HotSlot; LISTS],
    heads: [Head; LISTS],
    /// Where in `entries` the oldest block of each list is.
    oldest: [PlainU32; LISTS],
    /// Where in `entries` the array of each list begins, and where the last one ends.
    firsts: [u32; LISTS + 1],
    entries: &'m [PlainU32],
}

impl<'m> CpuLists<'m> {
    /// The number of entries that the lists of one CPU need, if each can hold `capacity` blocks.
    pub(crate) fn entries_needed(capacity: impl Fn(Order, ZoneKind) -> u32) -> usize {
        let of_order = |order: Order| {
            ZoneKind::ALL
                .iter()
                .map(|zone| Self::with_slack(capacity(order, *zone)) as usize * Mobility::COUNT)
                .sum::<usize>()
        };
        Order::ZERO.up_to(LARGEST).map(of_order).sum()
    }

    /// Empty lists with limit 0, until [`set_limits`](Self::set_limits). `entries` are as many as
    /// [`entries_needed`](Self::entries_needed) returns, or more.
    pub(crate) fn new(
        cpu: usize,
        entries: &'m [PlainU32],
        capacity: impl Fn(Order, ZoneKind) -> u32,
    ) -> Self {
        assert!(entries.len() >= Self::entries_needed(&capacity), "as many entries as the lists need");
        let mut next = 0;
        let firsts = core::array::from_fn(|list| {
            let first = next;
            if list < LISTS {
                let order = Order::new((list / PcpSlot::COUNT) as u8);
                next +=
                    Self::with_slack(capacity(order, ZoneKind::ALL[list % PcpSlot::COUNT / Mobility::COUNT]));
            }
            first
        });
        let heads = core::array::from_fn(|_| Head { len: PlainU32::new(0), limit: PlainU32::new(0) });
        let cached = FrameState::cached(Order::ZERO, cpu as u16);
        let hot_slots = core::array::from_fn(|_| HotSlot::closed());
        let oldest = core::array::from_fn(|list| PlainU32::new(firsts[list]));
        Self { access: BiasedLock::new(), cached, hot_slots, heads, oldest, firsts, entries }
    }

    /// The state of a block of this order on a list of this CPU.
    #[inline(always)]
    pub(crate) fn cached_state(&self, order: Order) -> FrameState {
        self.cached.of_order(order)
    }

    #[inline(always)]
    fn list(id: ListId) -> usize {
        let (order, slot) = (id.order().index(), id.slot().bits() as usize);
        // SAFETY: `ListId::new` accepts no larger order.
        unsafe { assert_unchecked(order < CACHED_ORDERS) };
        // SAFETY: both constructors of `PcpSlot` ensure it.
        unsafe { assert_unchecked(slot < PcpSlot::COUNT) };
        order * PcpSlot::COUNT + slot
    }

    /// The entries of a list that can hold `capacity` blocks: half as many more, so that the rest
    /// of the list need not be moved down at every spill.
    const fn with_slack(capacity: u32) -> u32 {
        capacity + capacity / 2
    }

    /// The most blocks that a list can hold.
    fn capacity_of(&self, list: usize) -> u32 {
        ((self.firsts[list + 1] - self.firsts[list]) * 2).div_ceil(3)
    }

    #[inline(always)]
    fn first(&self, list: usize) -> u32 {
        self.oldest[list].load(Ordering::Relaxed)
    }

    /// Entry number `entry`, counted from the oldest, of the list whose oldest entry is at `first`.
    #[inline(always)]
    fn entry_at(&self, first: u32, entry: u32) -> &PlainU32 {
        let at = first.wrapping_add(entry) as usize;
        debug_assert!(at < self.entries.len());
        // SAFETY: `new` checked that the entries of every list exist; `entry` is below `len`, or
        // equal to it and below `limit`, and both are at most the capacity. (The biased lock
        // ensures that only one CPU at a time changes `len`.)
        unsafe { self.entries.get_unchecked(at) }
    }

    #[inline(always)]
    fn entry(&self, id: ListId, entry: u32) -> &PlainU32 {
        self.entry_at(self.first(Self::list(id)), entry)
    }

    #[inline(always)]
    fn hot_slot(&self, id: ListId) -> &HotSlot {
        &self.hot_slots[Self::list(id)]
    }

    /// Whether the owner's access is revoked. To be called with access.
    #[inline]
    pub(crate) fn is_revoked(&self) -> bool {
        self.access.revoked() != 0
    }

    /// The block in the hot slot, unless access is revoked. It stays there until
    /// [`clear_hottest`](Self::clear_hottest).
    #[inline(always)]
    pub(crate) fn hottest_unless_revoked(&self, id: ListId) -> Option<FrameIndex> {
        let revoked = self.access.revoked();
        self.hot_slot(id).block_unless_revoked(revoked)
    }

    /// Removes the block that [`hottest_unless_revoked`](Self::hottest_unless_revoked) returned.
    #[inline(always)]
    pub(crate) fn clear_hottest(&self, id: ListId) {
        self.access.used();
        self.hot_slot(id).clear();
    }

    /// The contents of the hot slot, which [`set_hottest`](Self::set_hottest) replaces.
    #[inline(always)]
    pub(crate) fn read_hottest(&self, id: ListId) -> HotBlock {
        let revoked = self.access.revoked();
        self.hot_slot(id).read(revoked)
    }

    #[inline(always)]
    pub(crate) fn set_hottest(&self, id: ListId, index: FrameIndex) {
        self.access.used();
        self.hot_slot(id).set(index);
    }

    /// Pops the newest entry of the array, unless there is none or access is revoked.
    #[inline(always)]
    pub(crate) fn pop_unless_revoked(&self, id: ListId) -> Option<FrameIndex> {
        let revoked = self.access.revoked();
        let list = Self::list(id);
        let head = &self.heads[list];
        let len = head.len.load(Ordering::Relaxed);
        if len <= revoked {
            return None;
        }
        self.access.used();
        let len = len.wrapping_sub(1);
        head.len.store(len, Ordering::Relaxed);
        Some(FrameIndex::new(self.entry_at(self.first(list), len).load(Ordering::Relaxed)))
    }

    /// Undoes [`pop_unless_revoked`](Self::pop_unless_revoked), in the same access.
    #[inline(always)]
    pub(crate) fn put_back(&self, id: ListId) {
        let len = &self.heads[Self::list(id)].len;
        len.store(len.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }

    /// The free entry of a list without a hot slot, unless it is full or access is revoked.
    #[inline(always)]
    pub(crate) fn free_entry_unless_revoked(&self, id: ListId) -> Option<FreeEntry<'_>> {
        let revoked = self.access.revoked();
        self.free_entry(id).filter(|entry| entry.len >= revoked)
    }

    /// The free entry for the block of the hot slot, unless the array is full. That there is such a
    /// block shows that access was not revoked when the slot was read.
    #[inline(always)]
    pub(crate) fn free_entry_for(&self, _: FrameIndex, id: ListId) -> Option<FreeEntry<'_>> {
        self.free_entry(id)
    }

    #[inline(always)]
    fn free_entry(&self, id: ListId) -> Option<FreeEntry<'_>> {
        let list = Self::list(id);
        let head = &self.heads[list];
        let len = head.len.load(Ordering::Relaxed);
        (len < head.limit.load(Ordering::Relaxed)).then_some(FreeEntry { head, len, first: self.first(list) })
    }

    #[inline(always)]
    pub(crate) fn fill(&self, entry: FreeEntry<'_>, index: FrameIndex) {
        self.access.used();
        self.entry_at(entry.first, entry.len).store(index.number(), Ordering::Relaxed);
        entry.head.len.store(entry.len.wrapping_add(1), Ordering::Relaxed);
    }

    /// Pushes a block into the array, or else into the hot slot. Returns false if both are full.
    #[must_use = "a block that was not pushed must be freed to the zone"]
    pub(crate) fn push(&self, id: ListId, index: FrameIndex) -> bool {
        if let Some(entry) = self.free_entry(id) {
            self.fill(entry, index);
            return true;
        }
        let hot_slot_free = self.hot_slot(id).is_empty();
        if hot_slot_free {
            self.set_hottest(id, index);
        }
        hot_slot_free
    }

    /// Pops the block in the hot slot, or else the newest entry of the array.
    pub(crate) fn pop(&self, id: ListId) -> Option<FrameIndex> {
        let hottest = self.hot_slot(id).block();
        if hottest.is_some() {
            self.clear_hottest(id);
            return hottest;
        }
        let list = Self::list(id);
        let len = self.heads[list].len.load(Ordering::Relaxed).checked_sub(1)?;
        self.access.used();
        self.heads[list].len.store(len, Ordering::Relaxed);
        Some(FrameIndex::new(self.entry_at(self.first(list), len).load(Ordering::Relaxed)))
    }

    /// Moves the `wanted` blocks to `removed`, as many as fit, and returns their number.
    pub(crate) fn remove_if(
        &self,
        id: ListId,
        removed: &mut [FrameIndex],
        wanted: impl Fn(FrameIndex) -> bool,
    ) -> usize {
        self.access.used();
        let list = Self::list(id);
        let mut batch = removed.iter_mut();
        let mut leaves = |index| {
            let place = if wanted(index) { batch.next() } else { None };
            place.map(|place| *place = index).is_some()
        };
        if self.hot_slot(id).block().is_some_and(&mut leaves) {
            self.clear_hottest(id);
        }
        let len = self.heads[list].len.load(Ordering::Relaxed);
        let mut kept = 0;
        for entry in 0..len {
            let index = self.entry(id, entry).load(Ordering::Relaxed);
            if !leaves(FrameIndex::new(index)) {
                if kept < entry {
                    self.entry(id, kept).store(index, Ordering::Relaxed);
                }
                kept += 1;
            }
        }
        if kept < len {
            self.heads[list].len.store(kept, Ordering::Relaxed);
        }
        let left = batch.len();
        removed.len() - left
    }

    /// The `count` oldest blocks of the array, or all if there are fewer.
    #[inline(always)]
    pub(crate) fn coldest(&self, id: ListId, count: usize) -> impl Iterator<Item = FrameIndex> {
        let len = self.heads[Self::list(id)].len.load(Ordering::Relaxed);
        (0..len.min(count as u32))
            .map(move |entry| FrameIndex::new(self.entry(id, entry).load(Ordering::Relaxed)))
    }

    /// The block in the hot slot, if the array has fewer than `count` blocks. Together with
    /// [`coldest`](Self::coldest) these are the `count` coldest blocks of the list.
    #[inline(always)]
    pub(crate) fn coldest_of_all(&self, id: ListId, count: usize) -> Option<FrameIndex> {
        let entries = self.heads[Self::list(id)].len.load(Ordering::Relaxed) as usize;
        if count > entries { self.hot_slot(id).block() } else { None }
    }

    /// Removes the `count` coldest blocks of the list, or all if there are fewer.
    pub(crate) fn remove_coldest(&self, id: ListId, count: usize) {
        let list = Self::list(id);
        let len = self.heads[list].len.load(Ordering::Relaxed);
        self.access.used();
        let gone = len.min(count as u32);
        let oldest = self.first(list).wrapping_add(gone);
        let fits = oldest + self.capacity_of(list) <= self.firsts[list + 1];
        if !fits {
            for entry in 0..len.wrapping_sub(gone) {
                let moved = self.entry_at(oldest, entry).load(Ordering::Relaxed);
                self.entry_at(self.firsts[list], entry).store(moved, Ordering::Relaxed);
            }
        }
        self.oldest[list].store(if fits { oldest } else { self.firsts[list] }, Ordering::Relaxed);
        self.heads[list].len.store(len.wrapping_sub(gone), Ordering::Relaxed);
        if count > gone as usize && self.hot_slot(id).block().is_some() {
            self.clear_hottest(id);
        }
    }

    /// Reverses the array, so that its oldest block is popped first.
    pub(crate) fn reverse(&self, id: ListId) {
        let len = self.heads[Self::list(id)].len.load(Ordering::Relaxed);
        for entry in 0..len / 2 {
            let (low, high) = (self.entry(id, entry), self.entry(id, len - 1 - entry));
            let moved = low.load(Ordering::Relaxed);
            low.store(high.load(Ordering::Relaxed), Ordering::Relaxed);
            high.store(moved, Ordering::Relaxed);
        }
    }

    /// The number of blocks on a list. For other CPUs exact only while the owner has no access.
    pub(crate) fn len(&self, id: ListId) -> usize {
        let entries = self.heads[Self::list(id)].len.load(Ordering::Relaxed) as usize;
        entries + usize::from(self.hot_slot(id).block().is_some())
    }

    /// The most blocks that a list may hold now.
    pub(crate) fn limit(&self, id: ListId) -> usize {
        let hot = id.has_hot_slot() && !self.hot_slot(id).is_closed();
        self.heads[Self::list(id)].limit.load(Ordering::Relaxed) as usize + usize::from(hot)
    }

    /// The number of pages on all lists of a zone. As [`len`](Self::len).
    pub(crate) fn pages<G: Geometry>(&self, zone: ZoneKind) -> usize {
        ListId::of_zone::<G>(zone).map(|id| self.len(id) * id.order().pages()).sum()
    }

    /// Sets the limits of the lists of a zone, for the next free. The owner must have no access.
    pub(crate) fn set_limits<G: Geometry>(&self, zone: ZoneKind, limits: PcpLimits) {
        for id in ListId::of_zone::<G>(zone) {
            let list = Self::list(id);
            let blocks = limits.blocks(id.order()).min(self.capacity_of(list) as usize);
            let entries = blocks.saturating_sub(usize::from(id.has_hot_slot()));
            self.heads[list].limit.store(entries as u32, Ordering::Relaxed);
            if id.has_hot_slot() {
                self.hot_slot(id).set_closed(blocks == 0);
            }
        }
    }

    /// The blocks on a list, oldest first.
    pub(crate) fn blocks(&self, id: ListId) -> impl Iterator<Item = FrameIndex> {
        self.coldest(id, usize::MAX).chain(self.hot_slot(id).block())
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::collections::VecDeque;

    use super::CpuLists;
    use crate::base::{Mobility, Order, PcpSlot, X86_64, ZoneKind};
    use crate::limits::PcpLimits;
    use crate::pcp::list_id::ListId;
    use crate::records::FrameIndex;
    use crate::sync::PlainU32;

    fn id(order: u8, mobility: Mobility) -> ListId {
        ListId::new::<X86_64>(Order::new(order), PcpSlot::new(ZoneKind::Dma32, mobility)).unwrap()
    }

    fn with_lists(test: impl FnOnce(&CpuLists<'_>)) {
        let capacity = |_, _| 8;
        let entries: Vec<_> = (0..CpuLists::entries_needed(capacity)).map(|_| PlainU32::new(0)).collect();
        let lists = CpuLists::new(3, &entries, capacity);
        lists.set_limits::<X86_64>(ZoneKind::Dma32, PcpLimits::new(1 << 18, 1286, 1));
        test(&lists);
    }

    fn refuses(lists: &CpuLists<'_>, id: ListId) -> bool {
        !lists.read_hottest(id).is_empty() && lists.read_hottest(id).block().is_none()
    }

    fn index(number: u32) -> FrameIndex {
        FrameIndex::new(number)
    }

    #[test]
    fn the_newest_block_is_popped_and_the_oldest_are_spilled() {
        with_lists(|lists| {
            let list = id(0, Mobility::Movable);
            for number in 1..=5 {
                assert!(lists.push(list, index(number)));
            }
            assert_eq!(lists.pop_unless_revoked(list), Some(index(5)));
            assert!(lists.coldest(list, 2).eq([index(1), index(2)]));
            lists.remove_coldest(list, 2);
            assert!(lists.blocks(list).eq([index(3), index(4)]));
            lists.reverse(list);
            assert_eq!(
                (
                    lists.pop_unless_revoked(list),
                    lists.pop_unless_revoked(list),
                    lists.pop_unless_revoked(list)
                ),
                (Some(index(3)), Some(index(4)), None)
            );
        });
    }

    #[test]
    fn the_block_in_the_hot_slot_is_counted_and_spilled_last() {
        with_lists(|lists| {
            let list = id(0, Mobility::Movable);
            assert!(lists.read_hottest(list).is_empty() && lists.hottest_unless_revoked(list).is_none());
            lists.set_hottest(list, index(0));
            assert!(!lists.read_hottest(list).is_empty());
            assert!(lists.push(list, index(1)));
            assert_eq!((lists.hottest_unless_revoked(list), lists.len(list)), (Some(index(0)), 2));
            assert!(lists.blocks(list).eq([index(1), index(0)]));
            lists.remove_coldest(list, 1);
            assert_eq!((lists.len(list), lists.hottest_unless_revoked(list)), (1, Some(index(0))));
            lists.remove_coldest(list, 1);
            assert_eq!((lists.len(list), lists.hottest_unless_revoked(list)), (0, None));
            lists.set_hottest(list, index(3));
            assert_eq!((lists.pop(list), lists.pop(list)), (Some(index(3)), None));
        });
    }

    #[test]
    fn a_list_holds_as_many_blocks_as_its_limit_and_a_disabled_one_none() {
        with_lists(|lists| {
            for id in ListId::of_zone::<X86_64>(ZoneKind::Dma32) {
                let mut held = 0;
                while lists.push(id, index(9)) {
                    held += 1;
                }
                assert_eq!((held, lists.len(id)), (lists.limit(id), lists.limit(id)), "{id:?}");
            }
            let other =
                ListId::new::<X86_64>(Order::ZERO, PcpSlot::new(ZoneKind::Dma, Mobility::Movable)).unwrap();
            assert_eq!((lists.limit(other), lists.push(other, index(1)), lists.len(other)), (0, false, 0));
            assert!(!lists.read_hottest(other).is_empty());
        });
    }

    #[test]
    fn spills_move_a_list_through_its_entries_and_back() {
        with_lists(|lists| {
            let list = id(0, Mobility::Movable);
            let mut held = VecDeque::new();
            for number in 1..100 {
                while lists.len(list) >= lists.limit(list) - 1 {
                    lists.remove_coldest(list, 3);
                    held.drain(..3);
                }
                assert!(lists.push(list, index(number)));
                held.push_back(number);
                assert!(lists.blocks(list).map(FrameIndex::number).eq(held.iter().copied()));
            }
        });
    }

    #[test]
    fn wanted_blocks_are_removed_and_the_rest_keeps_its_order() {
        with_lists(|lists| {
            let list = id(0, Mobility::Movable);
            for number in 1..=6 {
                assert!(lists.push(list, index(number)));
            }
            lists.set_hottest(list, index(7));
            let mut taken = [FrameIndex::NONE; 3];
            let odd = |at: FrameIndex| at.number() % 2 == 1;
            assert_eq!(lists.remove_if(list, &mut taken, odd), 3);
            assert_eq!(taken, [index(7), index(1), index(3)]);
            assert_eq!(lists.remove_if(list, &mut taken, odd), 1);
            assert_eq!(taken[0], index(5));
            assert!(lists.blocks(list).eq([index(2), index(4), index(6)]));
            assert_eq!(lists.remove_if(list, &mut taken, odd), 0);
        });
    }

    #[test]
    fn lists_do_not_share_entries() {
        with_lists(|lists| {
            let all: Vec<_> =
                ListId::of_zone::<X86_64>(ZoneKind::Dma32).filter(|id| lists.limit(*id) > 0).collect();
            assert!(all.len() > 20);
            for (number, id) in (1..).zip(&all) {
                while lists.push(*id, index(number)) {}
            }
            for (number, id) in (1..).zip(&all) {
                assert!(lists.blocks(*id).all(|entry| entry == index(number)));
            }
        });
    }

    #[test]
    fn revoked_lists_look_empty_to_pops_and_full_to_pushes() {
        with_lists(|lists| {
            let list = id(0, Mobility::Unmovable);
            assert!(lists.push(list, index(7)));
            lists.set_hottest(list, index(6));
            lists.access.revoke();
            lists.access.revoke();
            assert!(lists.pop_unless_revoked(list).is_none() && refuses(lists, list));
            lists.access.resume();
            assert!(
                lists.pop_unless_revoked(list).is_none()
                    && lists.hottest_unless_revoked(list).is_none()
                    && refuses(lists, list)
            );
            lists.clear_hottest(list);
            assert!(!lists.read_hottest(list).is_empty());
            lists.access.resume();
            assert!(lists.read_hottest(list).is_empty());
            assert_eq!(lists.pop_unless_revoked(list), Some(index(7)));
        });
    }

    #[test]
    fn an_owner_with_access_may_finish_although_it_is_revoked_meanwhile() {
        with_lists(|lists| {
            let list = id(0, Mobility::Unmovable);
            let _inside = lists.access.enter().unwrap();
            assert!(!lists.is_revoked());
            lists.access.revoke();
            assert!(lists.push(list, index(7)));
            assert_eq!(lists.pop(list), Some(index(7)));
        });
    }

    #[test]
    fn an_owner_with_access_does_not_get_it_again() {
        with_lists(|lists| {
            let inside = lists.access.enter().unwrap();
            assert!(lists.access.enter().is_none());
            drop(inside);
            assert!(lists.access.enter().is_some());
        });
    }
}
