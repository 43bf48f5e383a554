//! The state of a pageblock: its migratetype and whether it is isolated, in one byte.
//!
//! Isolation is a flag beside the migratetype and never overwrites it, so that an undo cannot lose
//! the type (`PB_migrate_isolate` in Linux since v6.17).

#![expect(unsafe_code, reason = "the bits of a slot are stored by this file alone")]

use crate::base::{FreeKind, MigrateType, Mobility, PcpSlot, ZoneKind};
use crate::sync::{AtomicU8, AtomicU32, Ordering};

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

/// The stored byte: the pcplist slot for pages of the pageblock in the low half, whether or not
/// they may be cached, its class and its isolation in the high half.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
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

    /// The bits of the pcplist slot for its pages.
    #[inline(always)]
    const fn slot(self) -> u32 {
        if self.0 < Self::UNCACHED { (self.0 & Self::SLOT) as u32 } else { PcpSlot::CLOSED.bits() }
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
pub(crate) struct PageblockCell {
    bits: AtomicU8,
    /// The bits of the pcplist slot of its pages; those of [`PcpSlot::CLOSED`] if they must not be
    /// cached. It follows from `bits`, and is written after them. One load shows a free where to
    /// cache a page, and whether. (No byte, because a byte takes an instruction to extend.)
    slot: AtomicU32,
}

impl PageblockCell {
    fn with(bits: StateBits) -> Self {
        Self { bits: AtomicU8::new(bits.0), slot: AtomicU32::new(bits.slot()) }
    }

    fn set(&self, bits: StateBits) {
        self.bits.store(bits.0, Ordering::Release);
        // Release: whoever gets a slot sees that the records of frames have been written.
        self.slot.store(bits.slot(), Ordering::Release);
    }

    /// The initial state. The zone is right after the first [`store`](Self::store).
    pub(crate) fn new() -> Self {
        Self::of_zone(ZoneKind::Dma)
    }

    /// The initial state of a pageblock of this zone.
    pub(crate) fn of_zone(zone: ZoneKind) -> Self {
        Self::with(PageblockState::INITIAL.encode(zone))
    }

    #[inline(always)]
    pub(super) fn bits(&self) -> StateBits {
        StateBits(self.bits.load(Ordering::Relaxed))
    }

    #[inline]
    pub(super) fn load(&self) -> PageblockState {
        PageblockState::decode(self.bits())
    }

    /// Stores the state of a pageblock that is in this zone.
    #[inline]
    pub(super) fn store(&self, state: PageblockState, zone: ZoneKind) {
        self.set(state.encode(zone));
    }

    /// The pcplist slot for pages of the pageblock: [`PcpSlot::CLOSED`] if they are not cached.
    #[inline(always)]
    pub(super) fn slot(&self) -> PcpSlot {
        let bits = self.slot.load(Ordering::Acquire);
        // SAFETY: `StateBits::slot` returns only the bits of slots.
        unsafe { PcpSlot::from_bits_unchecked(bits) }
    }

    /// Whether the records of its frames have not been written yet.
    #[inline(always)]
    pub(super) fn is_unwritten(&self) -> bool {
        self.bits.load(Ordering::Acquire) >= StateBits::UNWRITTEN
    }

    /// Stores the initial state of a pageblock of this zone, whose records may be `unwritten`.
    #[inline(always)]
    pub(super) fn init(&self, zone: ZoneKind, unwritten: bool) {
        let flag = if unwritten { StateBits::UNWRITTEN } else { 0 };
        self.set(StateBits(PageblockState::INITIAL.encode(zone).0 | flag));
    }

    /// Says that the records of its frames have been written, by this CPU.
    pub(super) fn set_written(&self) {
        self.set(StateBits(self.bits.load(Ordering::Relaxed) & !StateBits::UNWRITTEN));
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
                    let slot = mobility.map_or(PcpSlot::CLOSED, |mobility| PcpSlot::new(zone, mobility));
                    assert_eq!((cell.load(), cell.slot()), (state, slot));
                }
            }
        }
    }

    #[test]
    fn unwritten_records_change_nothing_but_that_no_page_is_cached() {
        for zone in ZoneKind::ALL {
            let cell = PageblockCell::of_zone(zone);
            let (state, slot) = (cell.load(), cell.slot());
            assert!(!cell.is_unwritten());
            cell.init(zone, true);
            assert!(cell.is_unwritten());
            let unwritten = (cell.load(), cell.bits().kind(), cell.slot());
            assert_eq!(unwritten, (state, state.free_kind(), PcpSlot::CLOSED));
            cell.set_written();
            assert!(!cell.is_unwritten());
            assert_eq!((cell.load(), cell.slot()), (state, slot));
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
