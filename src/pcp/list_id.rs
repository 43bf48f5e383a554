//! The identity of a pcplist: its order and its slot.

use crate::base::{Geometry, Mobility, Order, PcpSlot, ZoneKind};
use crate::limits::{CACHED_ORDERS, LARGEST};

pub(super) const LISTS: usize = CACHED_ORDERS * PcpSlot::COUNT;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ListId {
    order: Order,
    slot: PcpSlot,
}

impl ListId {
    /// The list for blocks of this order; `None` if they are not cached. Only orders up to the
    /// pageblock order are, so that a cached block is in one pageblock.
    #[inline(always)]
    pub(crate) fn new<G: Geometry>(order: Order, slot: PcpSlot) -> Option<Self> {
        let cached = order <= LARGEST && order <= G::PAGEBLOCK_ORDER && order <= G::MAX_ORDER;
        cached.then_some(Self { order, slot })
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
        self.order
    }

    #[inline(always)]
    pub(super) fn slot(self) -> PcpSlot {
        self.slot
    }

    pub(crate) fn mobility(self) -> Mobility {
        self.slot.mobility()
    }
}

#[cfg(test)]
mod tests {
    use super::ListId;
    use crate::base::{Mobility, Order, PcpSlot, X86_64, ZoneKind};

    #[test]
    fn orders_up_to_a_pageblock_are_cached() {
        let slot = PcpSlot::new(ZoneKind::Normal, Mobility::Movable);
        let cached = |n| ListId::new::<X86_64>(Order::new(n), slot).is_some();
        assert!((0..=9).all(cached) && !cached(10));
        assert_eq!(ListId::of_zone::<X86_64>(ZoneKind::Normal).count(), 30);
    }

    #[test]
    fn a_list_serves_the_mobility_of_its_slot() {
        for mobility in Mobility::ALL {
            let slot = PcpSlot::new(ZoneKind::Dma, mobility);
            assert_eq!(ListId::new::<X86_64>(Order::ZERO, slot).unwrap().mobility(), mobility);
        }
    }
}
