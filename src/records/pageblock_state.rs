//! The state of a pageblock: its migratetype and whether it is isolated, in one byte.
//!
//! Isolation is a flag beside the type and never overwrites it (`PB_migrate_isolate` in Linux since
//! v6.17), so that an undo cannot lose the type.

use bitflags::bitflags;

use crate::base::{FreeKind, MigrateType, Mobility, PcpSlot, ZoneKind};
use crate::sync::{AtomicU8, Ordering};

/// Whether a pageblock is isolated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Isolation {
    /// Its free pages are free pages.
    None,
    /// Its free pages are on the isolated lists and not counted as free.
    Isolated,
    /// About to be isolated: pages freed in it are parked. Only under the design `Parked`.
    Isolating,
}

/// The state of one pageblock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct PageblockState {
    /// What its pages are grouped for. Isolation does not change it.
    pub(crate) migratetype: MigrateType,
    /// Whether it is isolated.
    pub(crate) isolation: Isolation,
}

bitflags! {
    /// The stored byte, laid out for a free: one load tells whether the page may be cached, and on
    /// which list.
    #[derive(Clone, Copy)]
    struct Bits: u8 {
        /// The slot of the pcplists that cache pages of the pageblock, if no flag of `UNCACHED` is
        /// set.
        const SLOT = 0xf;
        const CMA = 1 << 4;
        const HIGH_ATOMIC = 1 << 5;
        const ISOLATED = 1 << 6;
        const ISOLATING = 1 << 7;
        /// Pages of the pageblock are not cached if any of these is set.
        const UNCACHED = Self::HIGH_ATOMIC.bits() | Self::ISOLATED.bits() | Self::ISOLATING.bits();
    }
}

impl PageblockState {
    /// The state that every pageblock starts in.
    pub(crate) const INITIAL: Self = Self { migratetype: MigrateType::Movable, isolation: Isolation::None };

    /// The list that the free pages of the pageblock are on.
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

/// By stored byte: the list that the free pages of the pageblock are on.
static KINDS: [FreeKind; 256] = {
    let mut kinds = [FreeKind::Isolated; 256];
    let mut bits = 0;
    while bits < kinds.len() {
        kinds[bits] = PageblockState::decode(Bits::from_bits_retain(bits as u8)).free_kind();
        bits += 1;
    }
    kinds
};

/// The stored state of one pageblock: an element of the metadata that the kernel gives.
#[derive(Debug)]
pub(crate) struct PageblockCell(AtomicU8);

impl PageblockCell {
    /// A pageblock in the initial state. Its zone is set by the first [`store`](Self::store).
    pub(crate) fn new() -> Self {
        Self(AtomicU8::new(PageblockState::INITIAL.encode(ZoneKind::Dma).bits()))
    }

    #[inline(always)]
    pub(super) fn kind(&self) -> FreeKind {
        KINDS[usize::from(self.0.load(Ordering::Relaxed))]
    }

    #[inline]
    pub(super) fn load(&self) -> PageblockState {
        PageblockState::decode(Bits::from_bits_retain(self.0.load(Ordering::Relaxed)))
    }

    /// Stores the state of a pageblock of this zone.
    pub(super) fn store(&self, state: PageblockState, zone: ZoneKind) {
        self.0.store(state.encode(zone).bits(), Ordering::Relaxed);
    }

    /// The bits of the slot that pages of the pageblock are cached in; `None` if they are not
    /// cached.
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
