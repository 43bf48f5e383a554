//! The identity of a pcplist: its order and its slot.

use core::fmt;

use crate::base::{Geometry, Mobility, Order, PcpSlot, ZoneKind};
use crate::limits::{CACHED_ORDERS, LARGEST};

/// The number of lists.
pub(super) const LISTS: usize = CACHED_ORDERS * PcpSlot::COUNT;

/// The bits of a [`ListId`] that are the slot.
const SLOT_BITS: u32 = 4;
const SLOT: usize = (1 << SLOT_BITS) - 1;

/// One more than the largest number that a [`ListId`] has in its bits.
pub(super) const LIST_NUMBERS: usize = CACHED_ORDERS << SLOT_BITS;

const _: () = assert!(PcpSlot::COUNT <= SLOT + 1);

/// The order of a list, and its slot in the low bits. To put the two together is one addition, or
/// none if the order is a constant, for which the numbers have gaps.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct ListId(usize);

impl ListId {
    /// The list for blocks of this order; `None` if they are not cached. Only orders up to the
    /// pageblock order are, so that a cached block is in one pageblock.
    #[inline(always)]
    pub(crate) fn new<G: Geometry>(order: Order, slot: PcpSlot) -> Option<Self> {
        Some(Self::of_order::<G>(order)?.with_slot(slot))
    }

    /// The list of the lowest slot for blocks of this order; `None` if they are not cached.
    #[inline(always)]
    pub(crate) fn of_order<G: Geometry>(order: Order) -> Option<Self> {
        let cached = order <= LARGEST && order <= G::PAGEBLOCK_ORDER && order <= G::MAX_ORDER;
        cached.then_some(Self((order.get() as usize) << SLOT_BITS))
    }

    /// The list of this slot for blocks of the same order as those of this list, which is of the
    /// lowest slot.
    #[inline(always)]
    pub(crate) fn with_slot(self, slot: PcpSlot) -> Self {
        Self(self.0.wrapping_add(slot.bits() as usize))
    }

    pub(crate) fn of_zone<G: Geometry>(zone: ZoneKind) -> impl Iterator<Item = Self> {
        Order::ZERO.up_to(LARGEST).flat_map(move |order| {
            Mobility::ALL
                .into_iter()
                .filter_map(move |mobility| Self::new::<G>(order, PcpSlot::new(zone, mobility)))
        })
    }

    #[inline(always)]
    pub(crate) fn order(self) -> Order {
        Order::new((self.0 >> SLOT_BITS) as u8)
    }

    pub(crate) fn mobility(self) -> Mobility {
        Mobility::from_bits((self.0 & SLOT) as u32 % Mobility::COUNT as u32)
    }

    /// The number of the list, below [`LIST_NUMBERS`].
    #[inline(always)]
    pub(super) fn number(self) -> usize {
        self.0
    }

    /// The number of the slot, below [`PcpSlot::COUNT`].
    pub(crate) fn slot(self) -> usize {
        (self.0 & SLOT) % PcpSlot::COUNT
    }

    /// The number of the list without gaps, below [`LISTS`].
    pub(super) fn dense(self) -> usize {
        self.order().index() * PcpSlot::COUNT + (self.0 & SLOT)
    }

    /// The [dense](Self::dense) number of the list with this number; `None` if there is none.
    pub(super) fn dense_of(number: usize) -> Option<usize> {
        let (order, slot) = (number >> SLOT_BITS, number & SLOT);
        (slot < PcpSlot::COUNT).then(|| order * PcpSlot::COUNT + slot)
    }

    /// The list with this [dense](Self::dense) number.
    pub(super) fn from_dense(dense: usize) -> Self {
        Self(((dense / PcpSlot::COUNT) << SLOT_BITS) + dense % PcpSlot::COUNT)
    }

    /// The zone of the blocks on the list.
    pub(super) fn zone(self) -> ZoneKind {
        ZoneKind::ALL[(self.0 & SLOT) / Mobility::COUNT]
    }
}

impl fmt::Debug for ListId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} {}", self.order(), self.zone(), self.mobility())
    }
}

#[cfg(test)]
mod tests {
    use super::{LIST_NUMBERS, LISTS, ListId};
    use crate::base::{Mobility, Order, PcpSlot, X86_64, ZoneKind};

    #[test]
    fn orders_up_to_a_pageblock_are_cached() {
        let slot = PcpSlot::new(ZoneKind::Normal, Mobility::Movable);
        let cached = |n| ListId::new::<X86_64>(Order::new(n), slot).is_some();
        assert!((0..=9).all(cached) && !cached(10));
        assert_eq!(ListId::of_zone::<X86_64>(ZoneKind::Normal).count(), 30);
    }

    #[test]
    fn a_list_is_known_by_its_order_its_zone_and_its_mobility() {
        let mut dense = 0..;
        for order in (0..=9).map(Order::new) {
            for zone in ZoneKind::ALL {
                for mobility in Mobility::ALL {
                    let id = ListId::new::<X86_64>(order, PcpSlot::new(zone, mobility)).unwrap();
                    assert_eq!((id.order(), id.zone(), id.mobility()), (order, zone, mobility));
                    assert!(id.number() < LIST_NUMBERS && id.dense() < LISTS);
                    assert_eq!((Some(id.dense()), ListId::from_dense(id.dense())), (dense.next(), id));
                }
            }
        }
    }
}
