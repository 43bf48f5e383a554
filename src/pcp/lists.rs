//! One CPU's lists: stacks of frames, one for each order, zone and mobility.
//!
//! A list is an array of places in the frame table, not a chain through it: taking or giving a block moves one number, and touches
//! of the block's descriptor only its state, which every free must look at anyway. What is on a list has the state
//! *cached, by this CPU*; an entry whose block says otherwise is the trace of two frees that overlapped in time (see
//! [`PcpAccess::owner_only`](crate::PcpAccess::owner_only)) and is dropped when met.
//!
//! The hottest of a list of single pages does not stand in the array but in a cell of its own, in front of it. A page that is freed and
//! then allocated again moves no length and waits for none: half the instructions, and a shorter chain of loads that
//! wait for stores. Larger blocks have none, because requests of mixed orders would meet it empty or not by chance, and a branch that
//! nobody can predict costs more than it saves.
//!
//! Whoever calls anything here that changes a list is behind the [`gate`](super::gate). Neighbours: [`limits`](super::limits)
//! for how much a list may hold, [`drain`](super::drain) for how others empty it.

#![expect(
    unsafe_code,
    reason = "a place below the limit is known to exist, and the hot path has no instruction to spare to ask"
)]

use core::hint::assert_unchecked;

use super::gate::Gate;
use super::limits::{LARGEST, ORDERS, PcpLimits};
use crate::frame::FrameIndex;
use crate::frame::state::FrameState;
use crate::geometry::Geometry;
use crate::migratetype::Mobility;
use crate::order::Order;
use crate::request::ZoneKind;
use crate::sync::{Guard, Ordering, PlainU32};

/// Which of the lists of one order: zone and mobility in one small number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ListSlot(u32);

impl ListSlot {
    pub(crate) const COUNT: usize = ZoneKind::COUNT * Mobility::COUNT;

    #[inline(always)]
    pub(crate) const fn new(zone: ZoneKind, mobility: Mobility) -> Self {
        Self(zone as u32 * Mobility::COUNT as u32 + mobility as u32)
    }

    /// The slot that [`bits`](Self::bits) gave.
    #[inline(always)]
    pub(crate) const fn from_bits(bits: u32) -> Option<Self> {
        if (bits as usize) < Self::COUNT { Some(Self(bits)) } else { None }
    }

    #[inline(always)]
    pub(crate) const fn bits(self) -> u32 {
        self.0
    }

    /// The slot for another mobility than unmovable, of which this must be one.
    #[inline(always)]
    pub(crate) const fn with(self, mobility: Mobility) -> Self {
        Self(self.0.wrapping_add(mobility as u32))
    }

    #[inline(always)]
    fn index(self) -> usize {
        // SAFETY: both ways to make one keep to it.
        unsafe { assert_unchecked((self.0 as usize) < Self::COUNT) };
        self.0 as usize
    }
}

/// Which of a CPU's lists.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ListId {
    order: Order,
    slot: ListSlot,
}

impl ListId {
    /// The list for blocks of this order, or `None` if they are not cached: no larger than a pageblock, so that a cached block lies in
    /// one.
    #[inline(always)]
    pub(crate) fn new<G: Geometry>(order: Order, slot: ListSlot) -> Option<Self> {
        let cached = order <= LARGEST && order <= G::PAGEBLOCK_ORDER && order <= G::MAX_ORDER;
        cached.then_some(Self { order, slot })
    }

    /// All lists of a zone.
    pub(crate) fn of_zone<G: Geometry>(zone: ZoneKind) -> impl Iterator<Item = Self> {
        Order::ZERO.up_to(LARGEST).flat_map(move |order| {
            Mobility::ALL
                .into_iter()
                .filter_map(move |mobility| Self::new::<G>(order, ListSlot::new(zone, mobility)))
        })
    }

    #[inline(always)]
    pub(crate) fn order(self) -> Order {
        self.order
    }

    /// Whether the hottest block of the list stands by itself: that of single pages does.
    #[inline(always)]
    pub(crate) fn has_front(self) -> bool {
        self.order.get() == 0
    }

    /// The mobility of requests that the list serves.
    #[cfg(any(test, feature = "faults"))]
    pub(crate) fn mobility(self) -> Mobility {
        Mobility::from_bits(self.slot.0 % Mobility::COUNT as u32)
    }
}

const LISTS: usize = ORDERS * ListSlot::COUNT;

/// One list, but for its entries and its hottest block.
#[derive(Debug)]
struct Head {
    /// Entries in the array.
    len: PlainU32,
    /// How many there may be.
    limit: PlainU32,
}

/// What [`CpuLists::front`] found: nothing, the hottest block, or that the list is disabled or shut.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Front(u32);

impl Front {
    #[inline(always)]
    pub(crate) fn is_empty(self) -> bool {
        self.0 == EMPTY
    }

    /// The block, unless the list is disabled or was shut when we looked: it may be open again by now.
    #[inline(always)]
    pub(crate) fn block(self) -> Option<FrameIndex> {
        (self.0 != DISABLED).then(|| FrameIndex::new(self.0.wrapping_sub(1)))
    }
}

/// What the cell for the hottest block says of none. Otherwise it holds the block's index and one.
const EMPTY: u32 = 0;
/// What it says of a list that may hold no block. No index is as large.
const DISABLED: u32 = u32::MAX;

/// Room on top of a list, found by [`CpuLists::room`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room<'a> {
    head: &'a Head,
    len: u32,
    first: u32,
}

/// All lists of one CPU: an element of the metadata that the caller provides.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct CpuLists<'m> {
    pub(super) gate: Gate,
    /// The state of a single page on a list of this CPU.
    cached: FrameState,
    /// The hottest blocks. By order, then by slot, as the others.
    hottest: [PlainU32; LISTS],
    heads: [Head; LISTS],
    /// Where the oldest entry of each list stands.
    oldest: [PlainU32; LISTS],
    /// Where the places of each list begin, and where those of the last end.
    firsts: [u32; LISTS + 1],
    places: &'m [PlainU32],
}

impl<'m> CpuLists<'m> {
    /// The places that one CPU's lists need, if `room` tells it for each list.
    pub(crate) fn places(room: impl Fn(Order, ZoneKind) -> u32) -> usize {
        let of_order = |order: Order| {
            ZoneKind::ALL
                .iter()
                .map(|zone| Self::with_slack(room(order, *zone)) as usize * Mobility::COUNT)
                .sum::<usize>()
        };
        Order::ZERO.up_to(LARGEST).map(of_order).sum()
    }

    /// Empty lists that hold nothing until given [limits](Self::set_limits), over as many `places` as [`places`](Self::places) says.
    pub(crate) fn new(cpu: usize, places: &'m [PlainU32], room: impl Fn(Order, ZoneKind) -> u32) -> Self {
        assert!(places.len() >= Self::places(&room), "as many places as asked for");
        let mut next = 0;
        let firsts = core::array::from_fn(|list| {
            let first = next;
            if list < LISTS {
                let order = Order::new((list / ListSlot::COUNT) as u8);
                next +=
                    Self::with_slack(room(order, ZoneKind::ALL[list % ListSlot::COUNT / Mobility::COUNT]));
            }
            first
        });
        let heads = core::array::from_fn(|_| Head { len: PlainU32::new(0), limit: PlainU32::new(0) });
        let cached = FrameState::cached(Order::ZERO, cpu as u16);
        let hottest = core::array::from_fn(|_| PlainU32::new(DISABLED));
        let oldest = core::array::from_fn(|list| PlainU32::new(firsts[list]));
        Self { gate: Gate::new(), cached, hottest, heads, oldest, firsts, places }
    }

    /// The state of a block on a list of this CPU.
    #[inline(always)]
    pub(crate) fn cached(&self, order: Order) -> FrameState {
        self.cached.of_order(order)
    }

    #[inline(always)]
    fn list(id: ListId) -> usize {
        let (order, slot) = (id.order.index(), id.slot.index());
        // SAFETY: `ListId::new` lets no larger order through.
        unsafe { assert_unchecked(order < ORDERS) };
        order * ListSlot::COUNT + slot
    }

    /// The places of a list that has room for so many blocks: half as many more, so that what is left of a spilled list need not move down each
    /// time.
    const fn with_slack(room: u32) -> u32 {
        room + room / 2
    }

    /// How many blocks a list has room for.
    fn room_of(&self, list: usize) -> u32 {
        ((self.firsts[list + 1] - self.firsts[list]) * 2).div_ceil(3)
    }

    #[inline(always)]
    fn first(&self, list: usize) -> u32 {
        self.oldest[list].load(Ordering::Relaxed)
    }

    /// The place of an entry, counted from the oldest, of the list whose places begin at `first`.
    #[inline(always)]
    fn place(&self, first: u32, entry: u32) -> &PlainU32 {
        let at = first.wrapping_add(entry) as usize;
        debug_assert!(at < self.places.len());
        // SAFETY: `new` made sure that the places of every list exist; entries are below `len`, or
        // equal to it and below `limit`, and both are below their number. (Only one at a time changes `len`: that is what the gate is for.)
        unsafe { self.places.get_unchecked(at) }
    }

    #[inline(always)]
    fn entry(&self, id: ListId, entry: u32) -> &PlainU32 {
        self.place(self.first(Self::list(id)), entry)
    }

    /// Locks the lists against others from outside, and in locked mode against their owner. Interrupts must be masked.
    pub(crate) fn lock(&self) -> Guard<'_, usize> {
        self.gate.lock()
    }

    /// Whether somebody from outside is there or coming. To be asked behind the gate.
    #[inline]
    pub(crate) fn are_shut(&self) -> bool {
        self.gate.shut() != 0
    }

    /// The hottest block, if it stands by itself and the list is not shut. It stays there until [`taken`](Self::take_hottest).
    #[inline(always)]
    pub(crate) fn hottest(&self, id: ListId) -> Option<FrameIndex> {
        let shut = self.gate.shut();
        let hottest = self.hottest[Self::list(id)].load(Ordering::Relaxed);
        // One comparison for both: shut is zero, or larger than anything.
        (hottest > shut).then(|| FrameIndex::new(hottest.wrapping_sub(1)))
    }

    /// Takes the hottest block, of which [`hottest`](Self::hottest) has told.
    #[inline(always)]
    pub(crate) fn take_hottest(&self, id: ListId) {
        self.gate.used();
        self.hottest[Self::list(id)].store(EMPTY, Ordering::Relaxed);
    }

    /// What stands in front of a list, and has to make room for what is [put](Self::put_hottest) there.
    #[inline(always)]
    pub(crate) fn front(&self, id: ListId) -> Front {
        let shut = self.gate.shut();
        Front(self.hottest[Self::list(id)].load(Ordering::Relaxed) | shut)
    }

    #[inline(always)]
    pub(crate) fn put_hottest(&self, id: ListId, index: FrameIndex) {
        self.gate.used();
        self.hottest[Self::list(id)].store(index.number().wrapping_add(1), Ordering::Relaxed);
    }

    /// Takes the hottest block behind the first, unless there is none or the list is shut.
    #[inline(always)]
    pub(crate) fn pop(&self, id: ListId) -> Option<FrameIndex> {
        let shut = self.gate.shut();
        let list = Self::list(id);
        let head = &self.heads[list];
        let len = head.len.load(Ordering::Relaxed);
        if len <= shut {
            return None;
        }
        self.gate.used();
        let len = len.wrapping_sub(1);
        head.len.store(len, Ordering::Relaxed);
        Some(FrameIndex::new(self.place(self.first(list), len).load(Ordering::Relaxed)))
    }

    /// Room for a block on a list without a front, unless it is full or shut.
    #[inline(always)]
    pub(crate) fn open_room(&self, id: ListId) -> Option<Room<'_>> {
        let shut = self.gate.shut();
        self.room(id).filter(|room| room.len >= shut)
    }

    /// Room for a block behind one that [stood in front](Front::block), which says that the list was open.
    #[inline(always)]
    pub(crate) fn room_behind(&self, _: FrameIndex, id: ListId) -> Option<Room<'_>> {
        self.room(id)
    }

    #[inline(always)]
    fn room(&self, id: ListId) -> Option<Room<'_>> {
        let list = Self::list(id);
        let head = &self.heads[list];
        let len = head.len.load(Ordering::Relaxed);
        (len < head.limit.load(Ordering::Relaxed)).then_some(Room { head, len, first: self.first(list) })
    }

    /// Puts a block where there is room.
    #[inline(always)]
    pub(crate) fn fill(&self, room: Room<'_>, index: FrameIndex) {
        self.gate.used();
        self.place(room.first, room.len).store(index.number(), Ordering::Relaxed);
        room.head.len.store(room.len.wrapping_add(1), Ordering::Relaxed);
    }

    /// Puts a block behind the first if the list is not full, or first. Does not ask whether the list is shut: who has found it
    /// open may finish, those from outside wait for that.
    #[must_use = "a block that is on no list must go elsewhere"]
    pub(crate) fn push(&self, id: ListId, index: FrameIndex) -> bool {
        if let Some(room) = self.room(id) {
            self.fill(room, index);
            return true;
        }
        let first = self.hottest[Self::list(id)].load(Ordering::Relaxed) == EMPTY;
        if first {
            self.put_hottest(id, index);
        }
        first
    }

    /// Takes the hottest block and does not ask whether the list is shut.
    pub(crate) fn take(&self, id: ListId) -> Option<FrameIndex> {
        let list = Self::list(id);
        let hottest = self.standing(list);
        if hottest.is_some() {
            self.take_hottest(id);
            return hottest;
        }
        let len = self.heads[list].len.load(Ordering::Relaxed).checked_sub(1)?;
        self.gate.used();
        self.heads[list].len.store(len, Ordering::Relaxed);
        Some(FrameIndex::new(self.place(self.first(list), len).load(Ordering::Relaxed)))
    }

    /// The block that stands in front of a list.
    fn standing(&self, list: usize) -> Option<FrameIndex> {
        let hottest = self.hottest[list].load(Ordering::Relaxed);
        (hottest != EMPTY && hottest != DISABLED).then(|| FrameIndex::new(hottest - 1))
    }

    /// Takes the blocks off a list for which `wanted` holds, as many as there is room in `taken`, and says how many. The others stay, in
    /// their order. Does not ask whether the list is shut.
    pub(super) fn extract(
        &self,
        id: ListId,
        taken: &mut [FrameIndex],
        wanted: impl Fn(FrameIndex) -> bool,
    ) -> usize {
        self.gate.used();
        let list = Self::list(id);
        let mut places = taken.iter_mut();
        let mut leaves = |index| {
            let place = if wanted(index) { places.next() } else { None };
            place.map(|place| *place = index).is_some()
        };
        if self.standing(list).is_some_and(&mut leaves) {
            self.take_hottest(id);
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
        let left = places.len();
        taken.len() - left
    }

    /// The `count` coldest entries, or all behind the first if there are fewer.
    #[inline(always)]
    pub(crate) fn coldest(&self, id: ListId, count: usize) -> impl Iterator<Item = FrameIndex> {
        let len = self.heads[Self::list(id)].len.load(Ordering::Relaxed);
        (0..len.min(count as u32))
            .map(move |entry| FrameIndex::new(self.entry(id, entry).load(Ordering::Relaxed)))
    }

    /// The first as well, if there are fewer than `count` behind it.
    #[inline(always)]
    pub(crate) fn coldest_of_all(&self, id: ListId, count: usize) -> Option<FrameIndex> {
        let list = Self::list(id);
        let behind = self.heads[list].len.load(Ordering::Relaxed) as usize;
        if count > behind { self.standing(list) } else { None }
    }

    /// Drops the `count` coldest entries, or all if there are fewer.
    pub(crate) fn drop_coldest(&self, id: ListId, count: usize) {
        let list = Self::list(id);
        let len = self.heads[list].len.load(Ordering::Relaxed);
        self.gate.used();
        let gone = len.min(count as u32);
        let oldest = self.first(list).wrapping_add(gone);
        let fits = oldest + self.room_of(list) <= self.firsts[list + 1];
        if !fits {
            for entry in 0..len.wrapping_sub(gone) {
                let moved = self.place(oldest, entry).load(Ordering::Relaxed);
                self.place(self.firsts[list], entry).store(moved, Ordering::Relaxed);
            }
        }
        self.oldest[list].store(if fits { oldest } else { self.firsts[list] }, Ordering::Relaxed);
        self.heads[list].len.store(len.wrapping_sub(gone), Ordering::Relaxed);
        if count > gone as usize && self.standing(list).is_some() {
            self.take_hottest(id);
        }
    }

    /// Turns the order of all entries behind the first around: what came first is then taken first.
    pub(crate) fn reverse(&self, id: ListId) {
        let len = self.heads[Self::list(id)].len.load(Ordering::Relaxed);
        for entry in 0..len / 2 {
            let (low, high) = (self.entry(id, entry), self.entry(id, len - 1 - entry));
            let moved = low.load(Ordering::Relaxed);
            low.store(high.load(Ordering::Relaxed), Ordering::Relaxed);
            high.store(moved, Ordering::Relaxed);
        }
    }

    /// Blocks on one list. Any CPU, at any time: exact for whoever keeps the owner out.
    pub(crate) fn len(&self, id: ListId) -> usize {
        let list = Self::list(id);
        self.heads[list].len.load(Ordering::Relaxed) as usize + usize::from(self.standing(list).is_some())
    }

    /// Blocks that one list may hold.
    pub(crate) fn limit(&self, id: ListId) -> usize {
        let list = Self::list(id);
        let first = id.has_front() && self.hottest[list].load(Ordering::Relaxed) != DISABLED;
        self.heads[list].limit.load(Ordering::Relaxed) as usize + usize::from(first)
    }

    /// Pages on all lists of a zone. As [`len`](Self::len).
    pub(crate) fn pages<G: Geometry>(&self, zone: ZoneKind) -> usize {
        ListId::of_zone::<G>(zone).map(|id| self.len(id) * id.order.pages()).sum()
    }

    /// Sets what the lists of a zone may hold from the next free on. The owner must be kept out.
    pub(crate) fn set_limits<G: Geometry>(&self, zone: ZoneKind, limits: PcpLimits) {
        for id in ListId::of_zone::<G>(zone) {
            let list = Self::list(id);
            let blocks = limits.blocks(id.order).min(self.room_of(list) as usize);
            let behind = blocks.saturating_sub(usize::from(id.has_front()));
            self.heads[list].limit.store(behind as u32, Ordering::Relaxed);
            if !id.has_front() {
                continue;
            }
            let hottest = &self.hottest[list];
            match (blocks, hottest.load(Ordering::Relaxed)) {
                (0, EMPTY) => hottest.store(DISABLED, Ordering::Relaxed),
                (1.., DISABLED) => hottest.store(EMPTY, Ordering::Relaxed),
                _ => {}
            }
        }
    }

    /// The blocks on one list, oldest first.
    pub(crate) fn blocks(&self, id: ListId) -> impl Iterator<Item = FrameIndex> {
        self.coldest(id, usize::MAX).chain(self.standing(Self::list(id)))
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::{CpuLists, ListId, ListSlot};
    use crate::frame::FrameIndex;
    use crate::geometry::X86_64;
    use crate::migratetype::Mobility;
    use crate::order::Order;
    use crate::pcp::limits::PcpLimits;
    use crate::request::ZoneKind;
    use crate::sync::PlainU32;

    fn id(order: u8, mobility: Mobility) -> ListId {
        ListId::new::<X86_64>(Order::new(order), ListSlot::new(ZoneKind::Dma32, mobility)).unwrap()
    }

    fn with_lists(test: impl FnOnce(&CpuLists<'_>)) {
        let room = |_, _| 8;
        let places: Vec<_> = (0..CpuLists::places(room)).map(|_| PlainU32::new(0)).collect();
        let lists = CpuLists::new(3, &places, room);
        lists.set_limits::<X86_64>(ZoneKind::Dma32, PcpLimits::new(1 << 18, 1286, 1));
        test(&lists);
    }

    fn refuses(lists: &CpuLists<'_>, id: ListId) -> bool {
        !lists.front(id).is_empty() && lists.front(id).block().is_none()
    }

    fn link(number: u32) -> FrameIndex {
        FrameIndex::new(number)
    }

    #[test]
    fn orders_up_to_a_pageblock_are_cached() {
        let slot = ListSlot::new(ZoneKind::Normal, Mobility::Movable);
        let cached = |n| ListId::new::<X86_64>(Order::new(n), slot).is_some();
        assert!((0..=9).all(cached) && !cached(10));
        assert_eq!(ListId::of_zone::<X86_64>(ZoneKind::Normal).count(), 30);
    }

    #[test]
    fn a_slot_remembers_its_mobility() {
        for zone in ZoneKind::ALL {
            for mobility in Mobility::ALL {
                let slot = ListSlot::new(zone, mobility);
                assert_eq!(ListSlot::from_bits(slot.bits()), Some(slot));
                assert_eq!(ListId::new::<X86_64>(Order::ZERO, slot).unwrap().mobility(), mobility);
            }
        }
        assert_eq!(ListSlot::from_bits(9), None);
    }

    #[test]
    fn the_hottest_leaves_first_and_the_coldest_are_dropped_first() {
        with_lists(|lists| {
            let list = id(0, Mobility::Movable);
            for number in 1..=5 {
                assert!(lists.push(list, link(number)));
            }
            assert_eq!(lists.pop(list), Some(link(5)));
            assert!(lists.coldest(list, 2).eq([link(1), link(2)]));
            lists.drop_coldest(list, 2);
            assert!(lists.blocks(list).eq([link(3), link(4)]));
            lists.reverse(list);
            assert_eq!(
                (lists.pop(list), lists.pop(list), lists.pop(list)),
                (Some(link(3)), Some(link(4)), None)
            );
        });
    }

    #[test]
    fn one_block_stands_in_front_and_is_counted_and_dropped_last() {
        with_lists(|lists| {
            let list = id(0, Mobility::Movable);
            assert!(lists.front(list).is_empty() && lists.hottest(list).is_none());
            lists.put_hottest(list, link(0));
            assert!(!lists.front(list).is_empty());
            assert!(lists.push(list, link(1)));
            assert_eq!((lists.hottest(list), lists.len(list)), (Some(link(0)), 2));
            assert!(lists.blocks(list).eq([link(1), link(0)]));
            lists.drop_coldest(list, 1);
            assert_eq!((lists.len(list), lists.hottest(list)), (1, Some(link(0))));
            lists.drop_coldest(list, 1);
            assert_eq!((lists.len(list), lists.hottest(list)), (0, None));
            lists.put_hottest(list, link(3));
            assert_eq!((lists.take(list), lists.take(list)), (Some(link(3)), None));
        });
    }

    #[test]
    fn a_list_holds_as_many_as_its_limit_says_and_a_disabled_one_none() {
        with_lists(|lists| {
            for id in ListId::of_zone::<X86_64>(ZoneKind::Dma32) {
                let mut held = 0;
                while lists.push(id, link(9)) {
                    held += 1;
                }
                assert_eq!((held, lists.len(id)), (lists.limit(id), lists.limit(id)), "{id:?}");
            }
            let other =
                ListId::new::<X86_64>(Order::ZERO, ListSlot::new(ZoneKind::Dma, Mobility::Movable)).unwrap();
            assert_eq!((lists.limit(other), lists.push(other, link(1)), lists.len(other)), (0, false, 0));
            assert!(!lists.front(other).is_empty());
        });
    }

    #[test]
    fn spills_move_the_list_through_its_places_and_back() {
        with_lists(|lists| {
            let list = id(0, Mobility::Movable);
            let mut held = std::collections::VecDeque::new();
            for number in 1..100 {
                while lists.len(list) >= lists.limit(list) - 1 {
                    lists.drop_coldest(list, 3);
                    held.drain(..3);
                }
                assert!(lists.push(list, link(number)));
                held.push_back(number);
                assert!(lists.blocks(list).map(FrameIndex::number).eq(held.iter().copied()));
            }
        });
    }

    #[test]
    fn what_is_wanted_is_taken_out_and_the_rest_keeps_its_order() {
        with_lists(|lists| {
            let list = id(0, Mobility::Movable);
            for number in 1..=6 {
                assert!(lists.push(list, link(number)));
            }
            lists.put_hottest(list, link(7));
            let mut taken = [FrameIndex::NONE; 3];
            let odd = |index: FrameIndex| index.number() % 2 == 1;
            assert_eq!(lists.extract(list, &mut taken, odd), 3);
            assert_eq!(taken, [link(7), link(1), link(3)]);
            assert_eq!(lists.extract(list, &mut taken, odd), 1);
            assert_eq!(taken[0], link(5));
            assert!(lists.blocks(list).eq([link(2), link(4), link(6)]));
            assert_eq!(lists.extract(list, &mut taken, odd), 0);
        });
    }

    #[test]
    fn lists_do_not_share_places() {
        with_lists(|lists| {
            let all: Vec<_> =
                ListId::of_zone::<X86_64>(ZoneKind::Dma32).filter(|id| lists.limit(*id) > 0).collect();
            assert!(all.len() > 20);
            for (number, id) in (1..).zip(&all) {
                while lists.push(*id, link(number)) {}
            }
            for (number, id) in (1..).zip(&all) {
                assert!(lists.blocks(*id).all(|entry| entry == link(number)));
            }
        });
    }

    #[test]
    fn shut_lists_look_empty_and_full() {
        with_lists(|lists| {
            let list = id(0, Mobility::Unmovable);
            assert!(lists.push(list, link(7)));
            lists.put_hottest(list, link(6));
            lists.gate.shut_out();
            lists.gate.shut_out();
            assert!(lists.pop(list).is_none() && refuses(lists, list));
            lists.gate.let_in();
            assert!(lists.pop(list).is_none() && lists.hottest(list).is_none() && refuses(lists, list));
            lists.take_hottest(list);
            assert!(!lists.front(list).is_empty());
            lists.gate.let_in();
            assert!(lists.front(list).is_empty());
            assert_eq!(lists.pop(list), Some(link(7)));
        });
    }

    #[test]
    fn who_is_inside_finishes_although_the_lists_are_shut_meanwhile() {
        with_lists(|lists| {
            let list = id(0, Mobility::Unmovable);
            let _inside = lists.gate.enter().unwrap();
            assert!(!lists.are_shut());
            lists.gate.shut_out();
            assert!(lists.push(list, link(7)));
            assert_eq!(lists.take(list), Some(link(7)));
        });
    }

    #[test]
    fn who_is_inside_does_not_get_in_again() {
        with_lists(|lists| {
            let inside = lists.gate.enter().unwrap();
            assert!(lists.gate.enter().is_none());
            drop(inside);
            assert!(lists.gate.enter().is_some());
        });
    }
}
