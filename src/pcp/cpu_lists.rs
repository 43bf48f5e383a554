//! The pcplists of one CPU: stacks of free blocks, one for each order, zone and mobility.
//!
//! A list is an array of frame indices, not links through the frame table: to push or pop a block
//! moves one number, and accesses only the state of the block, which a free must check anyway. The
//! place below the oldest block of a list has [`FrameIndex::NONE`], so that a pop from an empty
//! list needs no check of its own: it finds an index that is in no frame table.
//!
//! A block on a list has the state *cached, by this CPU*. In
//! [owner-only](crate::PcpAccess::owner_only) mode an entry may be stale: its block has another
//! state. It is left by two frees of one block that overlapped in time, and is dropped when it is
//! popped.
//!
//! Functions that change a list need access through the [`BiasedLock`]. The owner calls them after
//! it has read its [grant](BiasedLock::grant), and other CPUs while it has no access. Only
//! [`newest_block`](CpuLists::newest_block) may be called before the grant is checked: the fast
//! path compares the index with the grant.
//!
//! The tops of lists are pointers, so that a push or a pop needs no base, and all else counts in
//! places.

#![expect(unsafe_code, reason = "a place in a list exists, and the fast path must not check bounds")]

use core::ptr;

use crate::base::{Geometry, Mobility, Order, PcpSlot, ZoneKind};
use crate::buddy::Reserved;
use crate::limits::{LARGEST, PcpLimits};
use crate::pcp::biased_lock::BiasedLock;
use crate::pcp::list_id::{LIST_NUMBERS, LISTS, ListId};
use crate::records::{FrameIndex, FrameState, FreePlaces, LocalCpu};
use crate::sync::{Ordering, PlainPtr, PlainU32};

/// The newest block of a list, which is still on it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Newest {
    list: usize,
    /// [`FrameIndex::NONE`] if the list is empty.
    pub(crate) index: FrameIndex,
}

/// A list with room for a block.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FreeEntry {
    list: usize,
    /// The entry of its newest block.
    top: *mut PlainU32,
}

/// Blocks that are being pushed to a list.
#[derive(Debug)]
pub(crate) struct Refill<'a, 'm> {
    lists: &'a CpuLists<'m>,
    id: ListId,
    top: u32,
    /// The places above the top.
    places: &'m [PlainU32],
}

impl<'m> Refill<'_, 'm> {
    pub(crate) fn places(&self) -> FreePlaces<'m> {
        FreePlaces::new(self.places)
    }

    /// Ends it, with the places that have not been filled, and returns the number of blocks.
    #[inline]
    pub(crate) fn finish(self, free: FreePlaces<'m>) -> usize {
        let put = self.places.get(free.len() as usize..).unwrap_or(&[]);
        if free.len() > 0 {
            for (to, from) in self.places.iter().zip(put) {
                to.store(from.load(Ordering::Relaxed), Ordering::Relaxed);
            }
        }
        self.lists.set_top(self.id, self.top.wrapping_add(put.len() as u32));
        put.len()
    }
}

/// All lists of one CPU, in the metadata. No two CPUs share a pair of cache lines.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct CpuLists<'m> {
    pub(crate) access: BiasedLock,
    /// The state of a single page on a list of this CPU.
    cached: FrameState,
    /// By [number](ListId::number), the entry of the newest block; the one below the oldest if the
    /// list is empty.
    tops: [PlainPtr<PlainU32>; LIST_NUMBERS],
    /// By number, the entry of the newest block of a full list: the place below the oldest and the
    /// limit added. That place alone if the list is closed.
    ends: [PlainPtr<PlainU32>; LIST_NUMBERS],
    /// The place below the oldest block of each list, by [dense number](ListId::dense).
    bottoms: [PlainU32; LISTS],
    /// The most blocks that each list may hold, by dense number.
    limits: [PlainU32; LISTS],
    /// 0 if all lists are closed, which also means that they are empty.
    in_use: PlainU32,
    /// By zone, the pages that a refill or a spill moves.
    batches: [PlainU32; ZoneKind::COUNT],
    /// The first place of each list, and the number of places.
    firsts: [u32; LISTS + 1],
    /// By slot. Used with the zone locked.
    reserved: [Reserved; PcpSlot::COUNT],
    entries: &'m [PlainU32],
}

impl<'m> CpuLists<'m> {
    /// The number of entries that the lists of one CPU need, if each can hold `capacity` blocks.
    pub(crate) fn entries_needed(capacity: impl Fn(Order, ZoneKind) -> u32) -> usize {
        let of_order = |order: Order| {
            ZoneKind::ALL
                .iter()
                .map(|zone| Self::places(capacity(order, *zone)) as usize * Mobility::COUNT)
                .sum::<usize>()
        };
        Order::ZERO.up_to(LARGEST).map(of_order).sum()
    }

    /// Lists that hold no block, until they become those of a CPU or of the exchange. So they are
    /// made in their place, which takes less of a small boot stack.
    pub(crate) fn unused() -> Self {
        Self {
            access: BiasedLock::new(1),
            cached: FrameState::TAIL,
            tops: [const { PlainPtr::new(ptr::null_mut()) }; LIST_NUMBERS],
            ends: [const { PlainPtr::new(ptr::null_mut()) }; LIST_NUMBERS],
            bottoms: [const { PlainU32::new(0) }; LISTS],
            limits: [const { PlainU32::new(0) }; LISTS],
            in_use: PlainU32::new(0),
            batches: [const { PlainU32::new(1) }; ZoneKind::COUNT],
            firsts: [0; LISTS + 1],
            reserved: core::array::from_fn(|_| Reserved::new(LocalCpu::NONE)),
            entries: &[],
        }
    }

    /// Makes unused lists those of a CPU: as [`be_exchange`](Self::be_exchange). Whoever has access
    /// gets `grant`, which is not 0.
    pub(crate) fn be_of_cpu(
        &mut self,
        cpu: usize,
        grant: usize,
        entries: &'m [PlainU32],
        capacity: impl Fn(Order, ZoneKind) -> u32,
    ) {
        self.cached = FrameState::cached(Order::ZERO, cpu as u16);
        self.access = BiasedLock::new(grant);
        self.reserved = core::array::from_fn(|_| Reserved::new(LocalCpu::new(cpu)));
        self.set_entries(entries, capacity);
    }

    /// Makes unused lists those of the exchange: empty closed lists with limit 0, until
    /// [`set_limits`](Self::set_limits). `entries` are as many as
    /// [`entries_needed`](Self::entries_needed) returns, or more.
    pub(crate) fn be_exchange(&mut self, entries: &'m [PlainU32], capacity: impl Fn(Order, ZoneKind) -> u32) {
        self.cached = FrameState::IN_EXCHANGE;
        self.set_entries(entries, capacity);
    }

    fn set_entries(&mut self, entries: &'m [PlainU32], capacity: impl Fn(Order, ZoneKind) -> u32) {
        assert!(entries.len() >= Self::entries_needed(&capacity), "as many entries as the lists need");
        self.entries = entries;
        let mut next = 0;
        for (list, first) in self.firsts.iter_mut().enumerate() {
            *first = next;
            if list < LISTS {
                let id = ListId::from_dense(list);
                next += Self::places(capacity(id.order(), id.zone()));
            }
        }
        for (first, bottom) in self.firsts.iter().zip(&self.bottoms) {
            entries[*first as usize].store(FrameIndex::NONE.number(), Ordering::Relaxed);
            bottom.store(*first, Ordering::Relaxed);
        }
        for (number, (top, end)) in self.tops.iter().zip(&self.ends).enumerate() {
            // A number of no list is that of an empty closed one.
            let place = ListId::dense_of(number).map_or(0, |list| self.firsts[list]);
            let pointer = ptr::from_ref(&entries[place as usize]).cast_mut();
            top.store(pointer, Ordering::Relaxed);
            end.store(pointer, Ordering::Relaxed);
        }
    }

    /// The state of a block of this order on a list of this CPU.
    #[inline(always)]
    pub(crate) fn cached_state(&self, order: Order) -> FrameState {
        self.cached.of_order(order)
    }

    /// Whether this is the state of a block of this order on a list of this CPU.
    #[inline(always)]
    pub(crate) fn is_cached_here(&self, state: FrameState, order: Order) -> bool {
        state.less_order(order) == self.cached
    }

    #[inline(always)]
    fn top_of(&self, list: usize) -> &PlainPtr<PlainU32> {
        debug_assert!(list < LIST_NUMBERS);
        // SAFETY: the constructors of `ListId` accept only orders and slots of lists.
        unsafe { self.tops.get_unchecked(list) }
    }

    /// The place of an entry.
    #[inline(always)]
    fn place(&self, entry: *mut PlainU32) -> u32 {
        (entry.addr().wrapping_sub(self.entries.as_ptr().addr()) / size_of::<PlainU32>()) as u32
    }

    #[inline(always)]
    fn pointer(&self, place: u32) -> *mut PlainU32 {
        ptr::from_ref(&self.entries[place as usize]).cast_mut()
    }

    #[inline(always)]
    fn top(&self, id: ListId) -> u32 {
        self.place(self.top_of(id.number()).load(Ordering::Relaxed))
    }

    #[inline(always)]
    fn set_top(&self, id: ListId, place: u32) {
        self.top_of(id.number()).store(self.pointer(place), Ordering::Relaxed);
    }

    #[inline]
    fn end(&self, id: ListId) -> u32 {
        self.place(self.ends[id.number()].load(Ordering::Relaxed))
    }

    #[inline]
    fn set_end(&self, id: ListId, place: u32) {
        self.ends[id.number()].store(self.pointer(place), Ordering::Relaxed);
    }

    /// The places of a list that can hold `capacity` blocks: one for the bottom, and half as many
    /// more, so that the rest of the list need not be [moved down](Self::open) after every spill.
    const fn places(capacity: u32) -> u32 {
        1 + capacity + capacity / 2
    }

    /// The most blocks that a list can hold.
    fn capacity_of(&self, list: usize) -> u32 {
        ((self.firsts[list + 1] - self.firsts[list] - 1) * 2).div_ceil(3)
    }

    /// The entry at a place that was read from a `top` or lies above one and up to its `end`.
    #[inline(always)]
    fn entry(&self, place: u32) -> &PlainU32 {
        let place = place as usize;
        debug_assert!(place < self.entries.len());
        // SAFETY: every value that `top` and `end` ever have is a place of their list, and `new`
        // checked that the places of all lists exist.
        unsafe { self.entries.get_unchecked(place) }
    }

    #[inline(always)]
    fn at(&self, place: u32) -> FrameIndex {
        FrameIndex::new(self.entry(place).load(Ordering::Relaxed))
    }

    fn put(&self, place: u32, index: FrameIndex) {
        self.entry(place).store(index.number(), Ordering::Relaxed);
    }

    /// The places below the oldest and of the newest block of a list.
    #[inline]
    fn bounds(&self, id: ListId) -> (u32, u32) {
        let top = self.top(id);
        (self.bottom(id.dense()).min(top), top)
    }

    /// The newest block of a list. It stays there until [`remove_newest`](Self::remove_newest).
    /// Without access it may be any block that was ever on a list, which must not be used.
    #[inline(always)]
    pub(crate) fn newest_block(&self, id: ListId) -> Newest {
        let list = id.number();
        // SAFETY: `tops` has pointers to entries only, which live as long as this.
        let entry = unsafe { &*self.top_of(list).load(Ordering::Relaxed) };
        Newest { list, index: FrameIndex::new(entry.load(Ordering::Relaxed)) }
    }

    /// Removes the block that [`newest_block`](Self::newest_block) found, which must not be `NONE`.
    /// Needs access.
    #[inline(always)]
    pub(crate) fn remove_newest(&self, newest: Newest) {
        self.access.used();
        let top = self.top_of(newest.list);
        // Loaded again, so that it is one instruction in memory.
        top.store(top.load(Ordering::Relaxed).wrapping_sub(1), Ordering::Relaxed);
    }

    /// Whether and where a list has room for a block.
    ///
    /// # Safety
    ///
    /// Needs access.
    #[inline(always)]
    pub(crate) unsafe fn free_entry(&self, id: ListId) -> Option<FreeEntry> {
        let list = id.number();
        let top = self.top_of(list).load(Ordering::Relaxed);
        // SAFETY: as for `top_of`.
        let end = unsafe { self.ends.get_unchecked(list) };
        // SAFETY: whoever writes it has access, which this code has. (The compiler folds such a
        // load into the comparison, which it never does with an atomic one.)
        if top >= unsafe { end.as_ptr().read() } {
            return None;
        }
        Some(FreeEntry { list, top })
    }

    /// Pushes a block to a list that [`free_entry`](Self::free_entry) found to have room. Needs
    /// access since then.
    #[inline(always)]
    pub(crate) fn fill(&self, free: FreeEntry, index: FrameIndex) {
        self.access.used();
        // SAFETY: the entry above the top of a list that is not full is one of the list.
        let entry = unsafe { &*free.top.wrapping_add(1) };
        entry.store(index.number(), Ordering::Relaxed);
        let top = self.top_of(free.list);
        top.store(top.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }

    /// Pushes a block. Returns false if the list is full. Needs access.
    #[must_use = "a block that was not pushed must be freed to the zone"]
    #[inline]
    pub(crate) fn push(&self, id: ListId, index: FrameIndex) -> bool {
        let top = self.top(id);
        let has_room = top < self.end(id);
        if has_room {
            self.access.used();
            self.put(top + 1, index);
            self.set_top(id, top + 1);
        }
        has_room
    }

    /// Pushes blocks, for which the list must have room.
    #[inline(always)]
    pub(crate) fn push_all(&self, id: ListId, blocks: impl Iterator<Item = FrameIndex>) {
        self.access.used();
        let (mut place, end) = (self.top(id), self.end(id));
        for index in blocks {
            debug_assert!(place < end, "no more blocks than the list may hold");
            if place < end {
                place = place.wrapping_add(1);
                self.put(place, index);
            }
        }
        self.set_top(id, place);
    }

    /// Pops the newest block.
    #[inline]
    pub(crate) fn pop(&self, id: ListId) -> Option<FrameIndex> {
        let newest = self.newest_block(id);
        if newest.index.is_none() {
            return None;
        }
        self.remove_newest(newest);
        Some(newest.index)
    }

    /// Moves `wanted` blocks to `removed`. Looks at the `rest` oldest blocks from the newest of
    /// them on, until `looks` have been seen or `removed` is full. The newest blocks of the list
    /// take the places of those that are removed.
    ///
    /// Returns the number of those, and how many blocks are still to be looked at.
    pub(crate) fn remove_if(
        &self,
        id: ListId,
        rest: usize,
        looks: usize,
        removed: &mut [FrameIndex],
        wanted: impl Fn(FrameIndex) -> bool,
    ) -> (usize, usize) {
        self.access.used();
        let (bottom, top) = self.bounds(id);
        let (mut taken, mut newest) = (0, top);
        let mut place = top.min(bottom.saturating_add(rest as u32));
        let end = place.saturating_sub(looks as u32).max(bottom);
        while place > end
            && let Some(room) = removed.get_mut(taken)
        {
            let index = self.at(place);
            if wanted(index) {
                *room = index;
                taken += 1;
                if place < newest {
                    self.put(place, self.at(newest));
                }
                newest -= 1;
            }
            place -= 1;
        }
        if taken > 0 {
            self.set_top(id, newest);
        }
        (taken, (place - bottom) as usize)
    }

    /// The blocks at the places above `below`, up to `top`.
    #[inline(always)]
    fn above(&self, below: u32, top: u32) -> impl Iterator<Item = FrameIndex> + Clone {
        let places = self.entries.get(below as usize + 1..top as usize + 1).unwrap_or(&[]);
        places.iter().map(|entry| FrameIndex::new(entry.load(Ordering::Relaxed)))
    }

    /// The `count` oldest blocks of a list, or all if there are fewer.
    #[inline(always)]
    pub(crate) fn coldest(&self, id: ListId, count: usize) -> impl Iterator<Item = FrameIndex> + Clone {
        let (bottom, top) = self.bounds(id);
        self.above(bottom, top.min(bottom.saturating_add(count.min(u32::MAX as usize) as u32)))
    }

    /// About `samples` of the `count` oldest blocks of a list.
    #[inline]
    pub(crate) fn samples(
        &self,
        id: ListId,
        count: usize,
        samples: usize,
    ) -> impl Iterator<Item = FrameIndex> {
        let (bottom, top) = self.bounds(id);
        let places = self.entries.get(bottom as usize + 1..=top as usize).unwrap_or(&[]);
        let few = places.iter().take(count).step_by((count / samples).max(1));
        few.map(|entry| FrameIndex::new(entry.load(Ordering::Relaxed)))
    }

    /// Removes the `count` oldest blocks of a list, or all if there are fewer. The list may then
    /// have no place for as many blocks as its limit, until it is [opened](Self::open) again.
    pub(crate) fn remove_coldest(&self, id: ListId, count: usize) {
        self.access.used();
        let list = id.dense();
        let (bottom, top) = self.bounds(id);
        let limit = self.end(id).saturating_sub(bottom);
        let mut bottom = bottom + (top - bottom).min(count as u32);
        if bottom == top {
            bottom = self.firsts[list];
            self.set_top(id, bottom);
        }
        self.set_bottom(id, bottom);
        self.set_end(id, (bottom + limit).min(self.last_place(list)));
    }

    #[inline]
    fn bottom(&self, list: usize) -> u32 {
        self.bottoms[list].load(Ordering::Relaxed)
    }

    fn set_bottom(&self, id: ListId, place: u32) {
        self.put(place, FrameIndex::NONE);
        self.bottoms[id.dense()].store(place, Ordering::Relaxed);
    }

    #[inline]
    fn last_place(&self, list: usize) -> u32 {
        self.firsts[list + 1].wrapping_sub(1)
    }

    /// Moves the blocks of a list down to its first places.
    #[cold]
    #[inline(never)]
    fn make_room(&self, id: ListId) {
        let (bottom, top) = self.bounds(id);
        let (first, left) = (self.firsts[id.dense()], top - bottom);
        let entries = |bottom: u32| &self.entries[bottom as usize + 1..][..left as usize];
        move_down(entries(first), entries(bottom));
        self.set_bottom(id, first);
        self.set_top(id, first + left);
    }

    /// The `count` newest blocks of a list, the oldest of them first, or all if there are fewer.
    #[inline(always)]
    pub(crate) fn newest(&self, id: ListId, count: usize) -> impl Iterator<Item = FrameIndex> + Clone {
        let (bottom, top) = self.bounds(id);
        self.above(top.saturating_sub(count as u32).max(bottom), top)
    }

    /// Removes the `count` newest blocks of a list, or all if there are fewer.
    pub(crate) fn remove_newest_blocks(&self, id: ListId, count: usize) {
        self.access.used();
        let (bottom, top) = self.bounds(id);
        self.set_top(id, top.saturating_sub(count as u32).max(bottom));
    }

    /// Begins to push up to `count` blocks, for which the list must have room, such that the first
    /// is popped first.
    #[inline]
    pub(crate) fn refill(&self, id: ListId, count: usize) -> Refill<'_, 'm> {
        self.access.used();
        let top = self.top(id);
        let places = self.entries.get(top as usize + 1..).and_then(|above| above.get(..count));
        debug_assert!(places.is_some(), "no more blocks than the list may hold");
        let places = places.unwrap_or(&[]);
        Refill { lists: self, id, top, places }
    }

    /// The number of blocks on a list. For other CPUs exact only while the owner has no access.
    #[inline]
    pub(crate) fn len(&self, id: ListId) -> usize {
        let (bottom, top) = self.bounds(id);
        (top - bottom) as usize
    }

    /// The most blocks that a list may hold now.
    #[inline]
    pub(crate) fn limit(&self, id: ListId) -> usize {
        self.limits[id.dense()].load(Ordering::Relaxed) as usize
    }

    /// The blocks that a refill or a spill of a list moves.
    pub(crate) fn batch(&self, id: ListId) -> usize {
        let pages = self.batches[id.zone().index()].load(Ordering::Relaxed) >> id.order().get();
        pages.max(1) as usize
    }

    /// The pageblocks that this CPU has reserved for a list.
    pub(crate) fn reserved(&self, id: ListId) -> &Reserved {
        &self.reserved[id.slot()]
    }

    /// Opens a list, if it is closed: from now on the fast path may push blocks to it, as many as
    /// the limit. Needs access.
    ///
    /// If there are not so many places above its oldest block, and one more for a push after a
    /// spill, it moves the blocks down. A spill leaves that to the next call, because each of both
    /// takes long.
    #[inline]
    pub(crate) fn open(&self, id: ListId) {
        self.access.used();
        let (list, limit) = (id.dense(), self.limit(id) as u32);
        let mut end = self.bottom(list).wrapping_add(limit);
        if end >= self.last_place(list) {
            self.make_room(id);
            end = self.firsts[list].wrapping_add(limit);
        }
        self.set_end(id, end);
        self.in_use.store(1, Ordering::Relaxed);
    }

    /// Closes all lists if they are empty: a push then fails, and the slow path opens the list. So
    /// whoever drains the lists of all CPUs can pass over those that nobody has used since the last
    /// drain. Needs access.
    pub(crate) fn close_if_empty(&self) {
        let ids = || (0..LISTS).map(ListId::from_dense);
        if ids().any(|id| self.len(id) > 0) {
            return;
        }
        self.access.used();
        for id in ids() {
            self.set_end(id, self.bottom(id.dense()));
        }
        self.in_use.store(0, Ordering::Relaxed);
    }

    /// Whether a list may have a block. For other CPUs exact only while the owner has no access.
    #[inline]
    pub(crate) fn are_in_use(&self) -> bool {
        self.in_use.load(Ordering::Relaxed) != 0
    }

    /// The number of pages on all lists of a zone. As [`len`](Self::len).
    pub(crate) fn pages<G: Geometry>(&self, zone: ZoneKind) -> usize {
        if !self.are_in_use() {
            return 0;
        }
        ListId::of_zone::<G>(zone).map(|id| self.len(id) * id.order().pages()).sum()
    }

    /// Sets the limits of the lists of a zone, for the next free, and opens them if any list is
    /// open. The owner must have no access.
    pub(crate) fn set_limits<G: Geometry>(&self, zone: ZoneKind, limits: PcpLimits) {
        self.batches[zone.index()].store(limits.batch as u32, Ordering::Relaxed);
        for id in ListId::of_zone::<G>(zone) {
            let blocks = (limits.blocks(id.order()) as u32).min(self.capacity_of(id.dense()));
            self.limits[id.dense()].store(blocks, Ordering::Relaxed);
            if self.are_in_use() {
                self.open(id);
            }
        }
    }

    /// The blocks on a list, oldest first.
    pub(crate) fn blocks(&self, id: ListId) -> impl Iterator<Item = FrameIndex> {
        self.coldest(id, usize::MAX)
    }
}

/// Copies entries to places below them, as many as there are of both. In steps of many, because it
/// copies most of a long list.
fn move_down(to: &[PlainU32], from: &[PlainU32]) {
    let copy = |(to, from): (&PlainU32, &PlainU32)| to.store(from.load(Ordering::Relaxed), Ordering::Relaxed);
    let ((to, to_rest), (from, from_rest)) = (to.as_chunks::<16>(), from.as_chunks::<16>());
    for (to, from) in to.iter().zip(from) {
        to.iter().zip(from).for_each(copy);
    }
    to_rest.iter().zip(from_rest).for_each(copy);
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
        let mut lists = CpuLists::unused();
        lists.be_of_cpu(3, 1, &entries, capacity);
        lists.set_limits::<X86_64>(ZoneKind::Dma32, PcpLimits::new(1 << 18, 1286, 1));
        for id in ListId::of_zone::<X86_64>(ZoneKind::Dma32) {
            lists.open(id);
        }
        test(&lists);
    }

    /// Pops as the fast path does.
    fn pop_fast(lists: &CpuLists<'_>, id: ListId) -> Option<FrameIndex> {
        let granted = lists.access.grant() > 0;
        let newest = lists.newest_block(id);
        (granted && !newest.index.is_none()).then(|| {
            lists.remove_newest(newest);
            newest.index
        })
    }

    /// Whether a push of the fast path finds the list full.
    fn is_full(lists: &CpuLists<'_>, id: ListId) -> bool {
        // SAFETY: no other code uses the lists.
        lists.access.grant() == 0 || unsafe { lists.free_entry(id) }.is_none()
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
            assert_eq!(pop_fast(lists, list), Some(index(5)));
            assert!(lists.coldest(list, 2).eq([index(1), index(2)]));
            lists.remove_coldest(list, 2);
            assert!(lists.blocks(list).eq([index(3), index(4)]));
        });
    }

    #[test]
    fn what_a_refill_puts_first_is_popped_first() {
        with_lists(|lists| {
            let list = id(0, Mobility::Movable);
            for given in [&[3, 4, 5][..], &[6], &[]] {
                assert!(lists.push(list, index(1)));
                let refill = lists.refill(list, 3);
                let mut places = refill.places();
                given.iter().for_each(|number| places.put(index(*number)));
                assert_eq!(refill.finish(places), given.len());
                let popped: Vec<_> = core::iter::from_fn(|| pop_fast(lists, list)).collect();
                assert!(popped.iter().map(|index| index.number()).eq(given.iter().copied().chain([1])));
            }
        });
    }

    #[test]
    fn an_empty_list_gives_no_block_wherever_it_begins() {
        with_lists(|lists| {
            let list = id(0, Mobility::Movable);
            for number in 1..50 {
                assert_eq!((pop_fast(lists, list), lists.pop(list), lists.len(list)), (None, None, 0));
                assert!(lists.push(list, index(number)) && lists.push(list, index(0)));
                lists.remove_coldest(list, 1);
                assert_eq!((lists.pop(list), lists.pop(list)), (Some(index(0)), None));
                lists.remove_coldest(list, 1);
                lists.open(list);
            }
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
            assert!(is_full(lists, other));
            let closed = ListId::new::<X86_64>(Order::ZERO, PcpSlot::CLOSED).unwrap();
            assert!(is_full(lists, closed) && pop_fast(lists, closed).is_none());
        });
    }

    #[test]
    fn spills_move_a_list_through_its_entries_and_back() {
        with_lists(|lists| {
            let list = id(0, Mobility::Movable);
            let (mut held, mut moves) = (VecDeque::new(), 0);
            for number in 1..100 {
                // As a free does that finds no room.
                if !lists.push(list, index(number)) {
                    let (before, len) = (lists.bottom(list.dense()), lists.len(list));
                    lists.open(list);
                    moves += u32::from(lists.bottom(list.dense()) < before);
                    if len >= lists.limit(list) {
                        let before = lists.bottom(list.dense());
                        lists.remove_coldest(list, 3);
                        held.drain(..3);
                        assert_eq!(lists.bottom(list.dense()), before + 3, "no spill moves the rest");
                    }
                    assert!(lists.push(list, index(number)));
                }
                held.push_back(number);
                assert!(lists.blocks(list).map(FrameIndex::number).eq(held.iter().copied()));
            }
            assert!(moves > 5 && held.len() > lists.limit(list) - 3, "{moves} moves");
        });
    }

    #[test]
    fn wanted_blocks_are_removed_from_the_newest_on() {
        with_lists(|lists| {
            let list = id(0, Mobility::Movable);
            for number in 1..=7 {
                assert!(lists.push(list, index(number)));
            }
            let mut taken = [FrameIndex::NONE; 3];
            let odd = |at: FrameIndex| at.number() % 2 == 1;
            // No more than there is room for, and the newest blocks fill the gaps.
            assert_eq!(lists.remove_if(list, 7, 100, &mut taken, odd), (3, 2));
            assert_eq!(taken, [index(7), index(5), index(3)]);
            assert!(lists.blocks(list).eq([index(1), index(2), index(6), index(4)]));
            // No more looks than allowed, and none at a newer block.
            assert_eq!(lists.remove_if(list, 2, 1, &mut taken, odd), (0, 1));
            assert_eq!(lists.remove_if(list, 1, 1, &mut taken, odd), (1, 0));
            assert_eq!(taken[0], index(1));
            assert!(lists.blocks(list).eq([index(4), index(2), index(6)]));
            assert_eq!(lists.remove_if(list, 9, 9, &mut taken, odd), (0, 0));
        });
    }

    #[test]
    fn lists_close_only_when_all_are_empty_and_open_one_by_one() {
        with_lists(|lists| {
            let (one, other) = (id(0, Mobility::Movable), id(3, Mobility::Unmovable));
            assert!(lists.are_in_use() && lists.push(other, index(8)));
            lists.close_if_empty();
            assert!(lists.are_in_use() && lists.push(one, index(1)));
            assert_eq!((lists.pop(other), lists.pop(one)), (Some(index(8)), Some(index(1))));
            lists.close_if_empty();
            let limit = lists.limit(one);
            assert!(!lists.are_in_use() && !lists.push(one, index(1)) && !lists.push(other, index(8)));
            lists.open(one);
            assert!(lists.are_in_use() && lists.push(one, index(1)) && !lists.push(other, index(8)));
            assert_eq!(lists.limit(one), limit);
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
            let refused = || pop_fast(lists, list).is_none() && is_full(lists, list);
            lists.access.revoke();
            lists.access.revoke();
            assert!(refused());
            lists.access.resume();
            assert!(refused());
            lists.access.resume();
            assert!(!is_full(lists, list));
            assert_eq!(pop_fast(lists, list), Some(index(7)));
        });
    }

    #[test]
    fn an_owner_with_access_may_finish_although_it_is_revoked_meanwhile() {
        with_lists(|lists| {
            let list = id(0, Mobility::Unmovable);
            let _inside = lists.access.enter().unwrap();
            assert_eq!(lists.access.grant(), 1);
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
