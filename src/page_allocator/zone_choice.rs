//! Which zone's pcplists the fast path uses.
//!
//! That is the zone from which the slow path would refill the list: the highest that has memory for
//! the request, or, while that one is at its low mark, the highest below it that is above its own
//! mark with room to spare. Without this every request would look at the highest zone and find it
//! at its mark before it gets to the list of the next one.
//!
//! # Why a request may take what the fast path finds
//!
//! A cached block has passed the watermark check of the request that it left the zone for. In the
//! highest zone that has memory that is enough: no request that looks there has a lowmem reserve to
//! leave. In a lower zone it is not, because the check may have been made for a request that cannot
//! use a higher zone. There the request needs the zone to be above *its* low mark, lowmem reserve
//! included, by the exact count: this is the standing [`Ample`](Standing::Ample). To take a cached
//! block changes no free count, so that any number of requests may pass on the same standing; a
//! refill checks the count again, with the zone locked.
//!
//! # Why no choice is out of date
//!
//! A standing changes only with the counters of its zone, which change in lock holds of the zone. A
//! lock hold that changes the standings of its zone stores them here, before it ends, and chooses
//! from the standings of all zones, all in one hold of the lock of this table. So the last to have
//! that lock has read the newest standings of every zone. If a CPU read the standings first and
//! stored its choice later, without the lock, two zones that cross their marks at the same time
//! could leave the choice of the one that knew nothing of the other. Invariant I11 says that the
//! choice is that of the standings, and a loom model checks it. A reader reads one word, which is
//! the choice before or after a crossing that happens meanwhile: either is right at some moment of
//! its call.

#![expect(unsafe_code, reason = "a slot number that only this file writes is in range")]

use crate::base::{Mobility, PcpSlot, ZoneKind};
use crate::sync::{AtomicU32, Lock, Ordering, PlainU32};
use crate::zone::{NO_STANDING, Standing, Standings};

/// What the choice depends on.
#[derive(Clone, Copy, Debug)]
struct Facts {
    /// By zone.
    standings: [Standings; ZoneKind::COUNT],
    /// By zone, whether it has memory for requests of each mobility.
    memory: [[bool; Mobility::COUNT]; ZoneKind::COUNT],
}

/// The slots that the fast path uses.
#[derive(Debug)]
pub(crate) struct ZoneChoice {
    /// By the highest zone that a request may use, and its mobility.
    slots: [[AtomicU32; Mobility::COUNT]; ZoneKind::COUNT],
    /// By the same, the highest zone that has memory for the request.
    firsts: [[PlainU32; Mobility::COUNT]; ZoneKind::COUNT],
    /// Taken with a zone locked, and last.
    facts: Lock<Facts>,
}

impl Facts {
    /// The highest zone up to `highest` that has memory for this mobility.
    fn first(&self, highest: ZoneKind, mobility: Mobility) -> ZoneKind {
        let zones = ZoneKind::ALL[..=highest.index()].iter().rev();
        zones.copied().find(|zone| self.memory[zone.index()][mobility as usize]).unwrap_or(ZoneKind::Dma)
    }

    /// The zone whose lists the fast path is to use.
    fn choose(&self, highest: ZoneKind, mobility: Mobility) -> ZoneKind {
        let standing = |zone: ZoneKind| self.standings[zone.index()][mobility as usize][highest.index()];
        let first = self.first(highest, mobility);
        if standing(first) != Standing::Low {
            return first;
        }
        let others = ZoneKind::ALL[..first.index()].iter().rev().copied();
        let with_memory = others.filter(|zone| self.memory[zone.index()][mobility as usize]);
        with_memory.into_iter().find(|zone| standing(*zone) == Standing::Ample).unwrap_or(first)
    }
}

impl ZoneChoice {
    /// Of zones without memory.
    pub(super) fn new() -> Self {
        let memory = [[false; Mobility::COUNT]; ZoneKind::COUNT];
        let facts = Facts { standings: [NO_STANDING; ZoneKind::COUNT], memory };
        let choice = Self { slots: Default::default(), firsts: Default::default(), facts: Lock::new(facts) };
        choice.change(|_| ());
        choice
    }

    /// The pcplist slot that requests of this mobility and highest zone look at first.
    #[inline(always)]
    pub(super) fn slot(&self, highest: ZoneKind, mobility: Mobility) -> PcpSlot {
        let bits = self.slots[highest.index()][mobility as usize].load(Ordering::Relaxed);
        // SAFETY: only `change` writes them, as the bits of a slot.
        unsafe { PcpSlot::from_bits_unchecked(bits) }
    }

    /// Changes what the choice depends on, and chooses. Interrupts must be masked.
    fn change(&self, change: impl FnOnce(&mut Facts)) {
        let mut facts = self.facts.lock();
        change(&mut facts);
        for highest in ZoneKind::ALL {
            for mobility in Mobility::ALL {
                let (row, column) = (highest.index(), mobility as usize);
                let slot = PcpSlot::new(facts.choose(highest, mobility), mobility);
                // Written only when it changes, so that CPUs share the cache line.
                if self.slots[row][column].load(Ordering::Relaxed) != slot.bits() {
                    self.slots[row][column].store(slot.bits(), Ordering::Relaxed);
                }
                self.firsts[row][column].store(facts.first(highest, mobility) as u32, Ordering::Relaxed);
            }
        }
    }

    /// Stores the standings of a zone, which is locked.
    #[cold]
    #[inline(never)]
    pub(super) fn set_standings(&self, zone: ZoneKind, standings: &Standings) {
        self.change(|facts| facts.standings[zone.index()] = *standings);
    }

    /// Stores which zones have memory. Interrupts must be masked.
    pub(super) fn set_memory(&self, has_memory: impl Fn(ZoneKind, Mobility) -> bool) {
        let memory = ZoneKind::ALL.map(|zone| Mobility::ALL.map(|mobility| has_memory(zone, mobility)));
        self.change(|facts| facts.memory = memory);
    }

    /// Whether the zone is the highest that has memory for requests of this mobility which may use
    /// zones up to `highest`.
    pub(super) fn is_first(&self, zone: ZoneKind, highest: ZoneKind, mobility: Mobility) -> bool {
        self.firsts[highest.index()][mobility as usize].load(Ordering::Relaxed) == zone as u32
    }

    /// Whether the standings stored for a zone are these, if it has any, and the choice is that of
    /// the standings stored. With the zone locked.
    pub(crate) fn is_right(&self, zone: ZoneKind, standings: Option<Standings>) -> bool {
        let facts = self.facts.lock();
        let is_chosen = |highest, mobility| {
            self.slot(highest, mobility) == PcpSlot::new(facts.choose(highest, mobility), mobility)
        };
        standings.is_none_or(|standings| facts.standings[zone.index()] == standings)
            && ZoneKind::ALL.iter().all(|highest| Mobility::ALL.iter().all(|it| is_chosen(*highest, *it)))
    }
}
