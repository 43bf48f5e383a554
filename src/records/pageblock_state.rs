//! The state of a pageblock: its migratetype and whether it is isolated, in one byte.
//!
//! Isolation is a flag beside the migratetype and never overwrites it, so that an undo cannot lose
//! the type (`PB_migrate_isolate` in Linux since v6.17).

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

/// The stored byte: the pcplist slot for pages of the pageblock in the low half, its class and its
/// isolation in the high half. One load and one comparison show a free whether the page may be
/// cached, and where.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct StateBits(u8);

impl StateBits {
    const SLOT: u8 = 0xf;
    const CLASS: u8 = 3 << 4;
    /// The slot has the migratetype.
    const ORDINARY: u8 = 0;
    const CMA: u8 = 1 << 4;
    const MOVABLE_ONLY: u8 = 2 << 4;
    const HIGH_ATOMIC: u8 = 3 << 4;
    /// From here on, pages of the pageblock are not cached.
    const UNCACHED: u8 = Self::HIGH_ATOMIC;
    const ISOLATED: u8 = 1 << 6;
    const ISOLATING: u8 = 1 << 7;
    /// Not isolated, and the records of its frames have not been written yet.
    const UNWRITTEN: u8 = Self::ISOLATED | Self::ISOLATING;

    /// The kind of free list that its free pages are on.
    #[inline(always)]
    pub(crate) fn kind(self) -> FreeKind {
        KINDS[usize::from(self.0)]
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

    #[inline(always)]
    const fn encode(self, zone: ZoneKind) -> StateBits {
        let class = match self.migratetype {
            MigrateType::Unmovable | MigrateType::Movable | MigrateType::Reclaimable => StateBits::ORDINARY,
            MigrateType::Cma => StateBits::CMA,
            MigrateType::MovableOnly => StateBits::MOVABLE_ONLY,
            MigrateType::HighAtomic => StateBits::HIGH_ATOMIC,
        };
        let mobility = match self.migratetype.cached_as() {
            Some(mobility) => mobility,
            None => Mobility::Unmovable,
        };
        let isolation = match self.isolation {
            Isolation::None => 0,
            Isolation::Isolated => StateBits::ISOLATED,
            Isolation::Isolating => StateBits::ISOLATING,
        };
        StateBits(PcpSlot::new(zone, mobility).bits() as u8 | class | isolation)
    }

    const fn decode(StateBits(bits): StateBits) -> Self {
        let isolation = if bits & StateBits::UNWRITTEN == StateBits::UNWRITTEN {
            Isolation::None
        } else if bits & StateBits::ISOLATING != 0 {
            Isolation::Isolating
        } else if bits & StateBits::ISOLATED != 0 {
            Isolation::Isolated
        } else {
            Isolation::None
        };
        let migratetype = match bits & StateBits::CLASS {
            StateBits::CMA => MigrateType::Cma,
            StateBits::MOVABLE_ONLY => MigrateType::MovableOnly,
            StateBits::HIGH_ATOMIC => MigrateType::HighAtomic,
            _ => Mobility::from_bits((bits & StateBits::SLOT) as u32 % Mobility::COUNT as u32).migratetype(),
        };
        Self { migratetype, isolation }
    }
}

/// By stored byte: [`PageblockState::free_kind`].
static KINDS: [FreeKind; 256] = {
    let mut kinds = [FreeKind::Isolated; 256];
    let mut bits = 0;
    while bits < kinds.len() {
        kinds[bits] = PageblockState::decode(StateBits(bits as u8)).free_kind();
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
        Self(AtomicU8::new(const { PageblockState::INITIAL.encode(ZoneKind::Dma).0 }))
    }

    /// The initial state of a pageblock of this zone.
    pub(crate) fn of_zone(zone: ZoneKind) -> Self {
        Self(AtomicU8::new(PageblockState::INITIAL.encode(zone).0))
    }

    #[inline(always)]
    pub(super) fn bits(&self) -> StateBits {
        StateBits(self.0.load(Ordering::Relaxed))
    }

    #[inline]
    pub(super) fn load(&self) -> PageblockState {
        PageblockState::decode(self.bits())
    }

    /// Stores the state of a pageblock that is in this zone.
    #[inline(always)]
    pub(super) fn store(&self, state: PageblockState, zone: ZoneKind) {
        self.0.store(state.encode(zone).0, Ordering::Relaxed);
    }

    /// The bits of the pcplist slot for pages of the pageblock; `None` if they are not cached.
    #[inline(always)]
    pub(super) fn slot_bits(&self) -> Option<u32> {
        // Acquire: whoever gets a slot sees that the records of frames have been written.
        let bits = self.0.load(Ordering::Acquire);
        (bits < StateBits::UNCACHED).then_some(u32::from(bits & StateBits::SLOT))
    }

    /// Whether the records of its frames have not been written yet.
    #[inline(always)]
    pub(super) fn is_unwritten(&self) -> bool {
        self.0.load(Ordering::Acquire) >= StateBits::UNWRITTEN
    }

    /// Stores the initial state of a pageblock of this zone, whose records may be `unwritten`.
    #[inline(always)]
    pub(super) fn init(&self, zone: ZoneKind, unwritten: bool) {
        let flag = if unwritten { StateBits::UNWRITTEN } else { 0 };
        self.0.store(PageblockState::INITIAL.encode(zone).0 | flag, Ordering::Relaxed);
    }

    /// Says that the records of its frames have been written, by this CPU.
    pub(super) fn set_written(&self) {
        self.0.store(self.0.load(Ordering::Relaxed) & !StateBits::UNWRITTEN, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::{Isolation, PageblockCell, PageblockState};
    use crate::base::{FreeKind, MigrateType, PcpSlot, ZoneKind};

    #[test]
    fn states_round_trip_through_a_byte() {
        for migratetype in MigrateType::ALL {
            for isolation in [Isolation::None, Isolation::Isolated, Isolation::Isolating] {
                let state = PageblockState { migratetype, isolation };
                for zone in ZoneKind::ALL {
                    assert_eq!(PageblockState::decode(state.encode(zone)), state);
                    let cell = PageblockCell::new();
                    cell.store(state, zone);
                    let mobility = migratetype.cached_as().filter(|_| isolation == Isolation::None);
                    let slot = mobility.map(|mobility| PcpSlot::new(zone, mobility).bits());
                    assert_eq!((cell.load(), cell.slot_bits()), (state, slot));
                }
            }
        }
    }

    #[test]
    fn unwritten_records_change_nothing_but_that_no_page_is_cached() {
        for zone in ZoneKind::ALL {
            let cell = PageblockCell::of_zone(zone);
            let (state, slot) = (cell.load(), cell.slot_bits());
            assert!(!cell.is_unwritten());
            cell.init(zone, true);
            assert!(cell.is_unwritten());
            assert_eq!((cell.load(), cell.bits().kind(), cell.slot_bits()), (state, state.free_kind(), None));
            cell.set_written();
            assert!(!cell.is_unwritten());
            assert_eq!((cell.load(), cell.slot_bits()), (state, slot));
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
