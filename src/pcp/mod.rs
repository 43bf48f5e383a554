//! Pcplists: the blocks that a CPU keeps at hand, so that most calls never take the zone's lock.
//!
//! One [`PcpLists`] for each CPU and zone, behind a lock of its own: another CPU can drain it, and its
//! owner can be interrupted only with interrupts unmasked, never while it holds the lock. Lists are kept
//! for orders 0 to 3 and for the pageblock order, by mobility. Cached blocks have left the free count:
//! taking one needs no watermark check, because the check was made when it left the buddy.
//!
//! # Why an isolated block's pages cannot hide here
//!
//! A free reads the pageblock's state *with the pcplist's lock held* and keeps the block only if no isolation
//! shows. An isolator sets the bit first and then drains, taking each pcplist's lock in turn. A free that
//! held the lock before the drain did is drained; one that takes it after the drain sees the bit. There is no
//! third case, so that when [`drain`] returns, no page of a block that was isolated before is on a pcplist, and
//! none gets there until the undo. (Linux reads the state before the lock: W2 in its list of open ends.)
//!
//! Neighbours: [`free_list`](crate::free_list) for the lists, [`zone`](crate::zone) for refill and spill.

pub(crate) mod drain;

use core::marker::PhantomData;

use crate::frame::FrameTable;
use crate::free_list::{End, FreeList};
use crate::geometry::Geometry;
use crate::migratetype::Mobility;
use crate::order::Order;
use crate::pfn::Pfn;
use crate::sync::{Guard, Lock};

/// Orders 0 to this are cached (`PAGE_ALLOC_COSTLY_ORDER` in Linux).
const LARGEST_SMALL: Order = Order::new(3);
const ORDERS: usize = LARGEST_SMALL.index() + 2;
const LISTS: usize = ORDERS * Mobility::COUNT;

/// How many pages a CPU's lists move and hold at a time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct PcpLimits {
    /// Pages that a refill takes and a spill gives back, about.
    pub(crate) batch: usize,
    /// Above this many pages a free spills.
    pub(crate) high: usize,
}

impl PcpLimits {
    /// The limits of a zone with `managed` pages and this low mark, on a machine with `cpus` CPUs: a batch
    /// of at most 63 (`zone_batchsize`), and together no more than the low mark, but at least four batches
    /// (`zone_highsize`) where that is not a large part of the zone.
    pub(crate) fn new(managed: usize, low_mark: usize, cpus: usize) -> Self {
        let share = (managed >> 12).min(64);
        let rounded = match (share + share / 2).checked_ilog2() {
            Some(log) => 1 << log,
            None => 1,
        };
        let batch = (rounded - 1).max(1);
        let cpus = cpus.max(1);
        let high = (low_mark / cpus).max(4 * batch).min(managed / (4 * cpus));
        Self { batch, high }
    }
}

/// Which of a CPU's lists.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ListId {
    index: usize,
    pub(crate) order: Order,
    pub(crate) mobility: Mobility,
}

impl ListId {
    /// The list for blocks like this, or `None` if such blocks are not cached.
    #[inline]
    pub(crate) fn new<G: Geometry>(order: Order, mobility: Mobility) -> Option<Self> {
        let row = if order <= LARGEST_SMALL && order <= G::PAGEBLOCK_ORDER {
            order.index()
        } else if order == G::PAGEBLOCK_ORDER && order <= G::MAX_ORDER {
            ORDERS - 1
        } else {
            return None;
        };
        Some(Self { index: row * Mobility::COUNT + mobility as usize, order, mobility })
    }

    pub(crate) fn all<G: Geometry>() -> impl Iterator<Item = Self> {
        let small = Order::ZERO.up_to(LARGEST_SMALL);
        let orders = small.chain((G::PAGEBLOCK_ORDER > LARGEST_SMALL).then_some(G::PAGEBLOCK_ORDER));
        orders.flat_map(|order| {
            [Mobility::Unmovable, Mobility::Movable, Mobility::Reclaimable]
                .into_iter()
                .filter_map(move |mobility| Self::new::<G>(order, mobility))
        })
    }
}

/// The lists themselves, once their lock is held.
#[derive(Debug)]
pub(crate) struct PcpLists<G> {
    lists: [FreeList; LISTS],
    pages: usize,
    limits: PcpLimits,
    geometry: PhantomData<fn() -> G>,
}

impl<G: Geometry> PcpLists<G> {
    /// Pages on all lists together.
    #[inline]
    pub(crate) fn pages(&self) -> usize {
        self.pages
    }

    /// Blocks on one list.
    pub(crate) fn len(&self, id: ListId) -> usize {
        self.lists[id.index].len()
    }

    #[inline]
    pub(crate) fn limits(&self) -> PcpLimits {
        self.limits
    }

    pub(crate) fn set_limits(&mut self, limits: PcpLimits) {
        self.limits = limits;
    }

    #[inline]
    pub(crate) fn push(&mut self, frames: &FrameTable<'_>, id: ListId, pfn: Pfn, end: End) {
        self.lists[id.index].push(frames, pfn, end);
        self.pages += id.order.pages();
    }

    #[inline]
    pub(crate) fn pop(&mut self, frames: &FrameTable<'_>, id: ListId, end: End) -> Option<Pfn> {
        let pfn = self.lists[id.index].pop(frames, end)?;
        self.pages -= id.order.pages();
        Some(pfn)
    }

    /// Every cached block with its list.
    pub(crate) fn blocks(&self, frames: &FrameTable<'_>) -> impl Iterator<Item = (ListId, Pfn)> {
        ListId::all::<G>().flat_map(move |id| self.lists[id.index].iter(frames).map(move |pfn| (id, pfn)))
    }

    /// Takes the coldest block of list `first` or, when that is empty, of any other.
    fn pop_coldest(&mut self, frames: &FrameTable<'_>, first: Option<ListId>) -> Option<(ListId, Pfn)> {
        first
            .into_iter()
            .chain(ListId::all::<G>())
            .find_map(|id| Some((id, self.pop(frames, id, End::Back)?)))
    }
}

/// One CPU's lists for one zone: an element of the metadata that the caller provides.
#[derive(Debug)]
#[repr(align(64))]
pub(crate) struct PcpSlot<G>(Lock<PcpLists<G>>);

impl<G: Geometry> PcpSlot<G> {
    pub(crate) fn new() -> Self {
        let lists = [const { FreeList::new() }; LISTS];
        Self(Lock::new(PcpLists {
            lists,
            pages: 0,
            limits: PcpLimits { batch: 1, high: 0 },
            geometry: PhantomData,
        }))
    }

    /// Locks the lists. Interrupts must be masked; the zone's lock may be taken while they are held, not the
    /// other way round.
    #[inline]
    pub(crate) fn lock(&self) -> Guard<'_, PcpLists<G>> {
        self.0.lock()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::{ListId, PcpLimits, PcpSlot};
    use crate::frame::testing::Arrays;
    use crate::free_list::End;
    use crate::geometry::X86_64;
    use crate::migratetype::Mobility;
    use crate::order::Order;
    use crate::pfn::Pfn;

    #[test]
    fn small_orders_and_the_pageblock_order_are_cached() {
        let cached = |n| ListId::new::<X86_64>(Order::new(n), Mobility::Movable).is_some();
        assert!((0..=3).all(cached) && cached(9));
        assert!(!(4..=8).any(cached) && !cached(10));
        assert_eq!(ListId::all::<X86_64>().count(), 15);
    }

    #[test]
    fn list_indices_are_distinct() {
        let mut seen: Vec<_> = ListId::all::<X86_64>().map(|id| id.index).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 15);
    }

    #[test]
    fn limits_follow_the_size_of_the_zone() {
        assert_eq!(PcpLimits::new(1 << 18, 1286, 4), PcpLimits { batch: 63, high: 321 });
        assert_eq!(PcpLimits::new(8, 1, 1), PcpLimits { batch: 1, high: 2 });
        assert_eq!(PcpLimits::new(0, 0, 1), PcpLimits { batch: 1, high: 0 });
    }

    #[test]
    fn pages_are_counted_and_the_coldest_leaves_first() {
        let arrays = Arrays::new(16);
        let frames = arrays.table(0);
        let slot = PcpSlot::<X86_64>::new();
        let mut lists = slot.lock();
        let small = ListId::new::<X86_64>(Order::ZERO, Mobility::Movable).unwrap();
        let large = ListId::new::<X86_64>(Order::new(2), Mobility::Unmovable).unwrap();
        lists.push(&frames, small, Pfn::new(1), End::Front);
        lists.push(&frames, small, Pfn::new(2), End::Front);
        lists.push(&frames, large, Pfn::new(4), End::Front);
        assert_eq!(lists.pages(), 6);
        assert_eq!(lists.blocks(&frames).count(), 3);
        assert_eq!(lists.pop_coldest(&frames, Some(small)).unwrap().1, Pfn::new(1));
        assert_eq!(lists.pop(&frames, small, End::Front), Some(Pfn::new(2)));
        assert_eq!(lists.pop_coldest(&frames, Some(small)).unwrap().1, Pfn::new(4));
        assert_eq!(lists.pages(), 0);
        assert!(lists.pop_coldest(&frames, None).is_none());
    }
}
