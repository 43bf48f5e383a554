//! Pcplist slots: a zone and a mobility, packed into one small number.
//!
//! A CPU has one pcplist for each order and slot. The state byte of a pageblock includes the slot
//! that its pages are cached in, so that a free finds the pcplist with one load.

#![expect(unsafe_code, reason = "the fast paths must not check what they have stored themselves")]

use crate::base::migratetype::Mobility;
use crate::base::zone_kind::ZoneKind;

/// The zone and the mobility of a pcplist.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct PcpSlot(u32);

impl PcpSlot {
    pub(crate) const COUNT: usize = ZoneKind::COUNT * Mobility::COUNT;

    /// Of pages that are not cached: no list has this slot, so that one looks full to a free.
    pub(crate) const CLOSED: Self = Self(15);

    #[inline(always)]
    pub(crate) const fn new(zone: ZoneKind, mobility: Mobility) -> Self {
        Self(zone as u32 * Mobility::COUNT as u32 + mobility as u32)
    }

    /// The slot whose [`bits`](Self::bits) these are.
    ///
    /// # Safety
    ///
    /// They must be those of a slot, or of [`CLOSED`](Self::CLOSED).
    #[inline(always)]
    pub(crate) const unsafe fn from_bits_unchecked(bits: u32) -> Self {
        debug_assert!((bits as usize) < Self::COUNT || bits == Self::CLOSED.0);
        Self(bits)
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
                // SAFETY: these are the bits of a slot.
                assert_eq!(unsafe { PcpSlot::from_bits_unchecked(slot.bits()) }, slot);
                assert_ne!(slot, PcpSlot::CLOSED);
            }
        }
    }
}
