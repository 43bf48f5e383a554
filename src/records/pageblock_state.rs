//! The state of a pageblock: its migratetype and whether it is isolated, in one byte.
//!
//! Isolation is a flag beside the migratetype and never overwrites it, so that an undo cannot lose
//! the type (`PB_migrate_isolate` in Linux since v6.17).

use bitflags::bitflags;

use crate::base::{FreeKind, MigrateType, Mobility, PcpSlot, ZoneKind};
use crate::sync::{AtomicU8, Ordering};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Isolation {
    /// Not isolated: its free pages are on the lists of its migratetype and counted as free.
    None,
    /// Isolated: its free pages are on the isolated lists and not counted as free.
    Isolated,
    /// About to be isolated: pages freed in it are parked. Only under the design `Parked`.
    Isolating,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct PageblockState {
    pub(crate) migratetype: MigrateType,
    pub(crate) isolation: Isolation,
}

bitflags! {
    /// The stored byte. One load shows a free whether the page may be cached, and where.
    #[derive(Clone, Copy)]
    struct Bits: u8 {
        /// The pcplist slot for pages of the pageblock, valid if no flag of `UNCACHED` is set.
        const SLOT = 0xf;
        const CMA = 1 << 4;
        const HIGH_ATOMIC = 1 << 5;
        const ISOLATED = 1 << 6;
        const ISOLATING = 1 << 7;
        /// If any of these is set, pages of the pageblock are not cached.
        const UNCACHED = Self::HIGH_ATOMIC.bits() | Self::ISOLATED.bits() | Self::ISOLATING.bits();
    }
}

impl PageblockState {
    /// The state of every pageblock at boot.
    pub(crate) const INITIAL: Self = Self { migratetype: MigrateType::Movable, isolation: Isolation::None };

    /// The kind of free list that its free pages are on.
    pub(crate) const fn free_kind(self) -> FreeKind {
        match self.isolation {
            Isolation::None | Isolation::Isolating => FreeKind::Listed(self.migratetype),
            Isolation::Isolated => FreeKind::Isolated,
        }
    }

    pub(crate) const fn with_type(self, migratetype: MigrateType) -> Self {
        Self { migratetype, ..self }
    }

    pub(crate) const fn with_isolation(self, isolation: Isolation) -> Self {
        Self { isolation, ..self }
    }

    const fn encode(self, zone: ZoneKind) -> Bits {
        let (mobility, kind) = match self.migratetype.cached_as() {
            Some(mobility) if matches!(self.migratetype, MigrateType::Cma) => (mobility, Bits::CMA),
            Some(mobility) => (mobility, Bits::empty()),
            None => (Mobility::Unmovable, Bits::HIGH_ATOMIC),
        };
        let isolation = match self.isolation {
            Isolation::None => Bits::empty(),
            Isolation::Isolated => Bits::ISOLATED,
            Isolation::Isolating => Bits::ISOLATING,
        };
        let slot = Bits::from_bits_retain(PcpSlot::new(zone, mobility).bits() as u8);
        slot.union(kind).union(isolation)
    }

    const fn decode(bits: Bits) -> Self {
        let isolation = if bits.intersects(Bits::ISOLATING) {
            Isolation::Isolating
        } else if bits.intersects(Bits::ISOLATED) {
            Isolation::Isolated
        } else {
            Isolation::None
        };
        let migratetype = if bits.intersects(Bits::CMA) {
            MigrateType::Cma
        } else if bits.intersects(Bits::HIGH_ATOMIC) {
            MigrateType::HighAtomic
        } else {
            match bits.intersection(Bits::SLOT).bits() % Mobility::COUNT as u8 {
                0 => MigrateType::Unmovable,
                1 => MigrateType::Movable,
                _ => MigrateType::Reclaimable,
            }
        };
        Self { migratetype, isolation }
    }
}

/// By stored byte: [`PageblockState::free_kind`].
static KINDS: [FreeKind; 256] = {
    let mut kinds = [FreeKind::Isolated; 256];
    let mut bits = 0;
    while bits < kinds.len() {
        kinds[bits] = PageblockState::decode(Bits::from_bits_retain(bits as u8)).free_kind();
        bits += 1;
    }
    kinds
};

/// The stored state of one pageblock, in the metadata.
#[derive(Debug)]
pub(crate) struct PageblockCell(AtomicU8);

impl PageblockCell {
    /// The initial state. The zone is right after the first [`store`](Self::store).
    pub(crate) fn new() -> Self {
        Self(AtomicU8::new(const { PageblockState::INITIAL.encode(ZoneKind::Dma).bits() }))
    }

    /// The initial state of a pageblock of this zone.
    pub(crate) fn of_zone(zone: ZoneKind) -> Self {
        Self(AtomicU8::new(PageblockState::INITIAL.encode(zone).bits()))
    }

    #[inline(always)]
    pub(super) fn kind(&self) -> FreeKind {
        KINDS[usize::from(self.0.load(Ordering::Relaxed))]
    }

    #[inline]
    pub(super) fn load(&self) -> PageblockState {
        PageblockState::decode(Bits::from_bits_retain(self.0.load(Ordering::Relaxed)))
    }

    /// Stores the state of a pageblock that is in this zone.
    pub(super) fn store(&self, state: PageblockState, zone: ZoneKind) {
        self.0.store(state.encode(zone).bits(), Ordering::Relaxed);
    }

    /// Stores what `other` has.
    #[inline]
    pub(super) fn copy(&self, other: &Self) {
        self.0.store(other.0.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// The bits of the pcplist slot for pages of the pageblock; `None` if they are not cached.
    #[inline(always)]
    pub(super) fn slot_bits(&self) -> Option<u32> {
        let bits = u32::from(self.0.load(Ordering::Relaxed));
        let cached = bits & u32::from(Bits::UNCACHED.bits()) == 0;
        cached.then_some(bits & u32::from(Bits::SLOT.bits()))
    }
}

#[cfg(test)]
mod tests {
    use super::{Isolation, PageblockState};
    use crate::base::{FreeKind, MigrateType, ZoneKind};

    #[test]
    fn states_round_trip_through_a_byte() {
        for migratetype in MigrateType::ALL {
            for isolation in [Isolation::None, Isolation::Isolated, Isolation::Isolating] {
                let state = PageblockState { migratetype, isolation };
                for zone in ZoneKind::ALL {
                    assert_eq!(PageblockState::decode(state.encode(zone)), state);
                }
            }
        }
    }

    #[test]
    fn isolation_keeps_the_type() {
        let cma = PageblockState::INITIAL.with_type(MigrateType::Cma);
        let isolated = cma.with_isolation(Isolation::Isolated);
        assert_eq!(isolated.free_kind(), FreeKind::Isolated);
        assert_eq!(isolated.with_isolation(Isolation::None), cma);
    }
}
