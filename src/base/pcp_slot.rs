//! Pcplist slots: a zone and a mobility, packed into one small number.
//!
//! A CPU has one pcplist for each order and slot. The state byte of a pageblock includes the slot
//! that its pages are cached in, so that a free finds the pcplist with one load.

use crate::base::migratetype::Mobility;
use crate::base::zone_kind::ZoneKind;

/// The zone and the mobility of a pcplist.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct PcpSlot(u32);

impl PcpSlot {
    pub(crate) const COUNT: usize = ZoneKind::COUNT * Mobility::COUNT;

    #[inline(always)]
    pub(crate) const fn new(zone: ZoneKind, mobility: Mobility) -> Self {
        Self(zone as u32 * Mobility::COUNT as u32 + mobility as u32)
    }

    /// The slot whose [`bits`](Self::bits) these are; `None` if there is no such slot.
    #[inline(always)]
    pub(crate) const fn from_bits(bits: u32) -> Option<Self> {
        if (bits as usize) < Self::COUNT { Some(Self(bits)) } else { None }
    }

    /// The number of the slot, below [`COUNT`](Self::COUNT).
    #[inline(always)]
    pub(crate) const fn bits(self) -> u32 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::PcpSlot;
    use crate::base::migratetype::Mobility;
    use crate::base::zone_kind::ZoneKind;

    #[test]
    fn slots_round_trip_through_their_bits() {
        for zone in ZoneKind::ALL {
            for mobility in Mobility::ALL {
                let slot = PcpSlot::new(zone, mobility);
                assert_eq!(PcpSlot::from_bits(slot.bits()), Some(slot));
            }
        }
        assert_eq!(PcpSlot::from_bits(9), None);
    }
}
