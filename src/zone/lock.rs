//! A zone and its lock.
//!
//! The lock protects the buddy system, the watermarks and the bits of isolated frames. It is
//! only taken through [`Zone::locked`], which publishes the counters at the end of each hold.
//!
//! **Lock order:** the pcplists of a CPU, then the exchange between CPUs, then a zone, then the
//! choice of zones for the fast path. No two zones are locked at a time. Interrupts are masked
//! while a lock is held.

use crate::base::{Depth, Geometry, Mobility, PfnRange, ZoneKind};
use crate::buddy::Buddy;
use crate::limits::{Mark, PcpLimits, Watermarks};
use crate::sync::{Lock, made_by_compiler};
use crate::zone::published::Published;
use crate::zone::standing::{Standings, Watch};

/// The lowmem reserves of a zone, by the highest zone that a request may use. They differ if there
/// is movable-only memory, to which a request that is not movable cannot go instead.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct LowmemReserves {
    /// For unmovable and reclaimable requests.
    pub(crate) unmovable: [usize; ZoneKind::COUNT],
    pub(crate) movable: [usize; ZoneKind::COUNT],
}

impl LowmemReserves {
    const NONE: Self = Self { unmovable: [0; ZoneKind::COUNT], movable: [0; ZoneKind::COUNT] };

    pub(super) fn of(&self, mobility: Mobility) -> &[usize; ZoneKind::COUNT] {
        match mobility {
            Mobility::Movable => &self.movable,
            Mobility::Unmovable | Mobility::Reclaimable => &self.unmovable,
        }
    }
}

#[derive(Debug)]
pub(crate) struct ZoneInner<G> {
    pub(crate) buddy: Buddy<G>,
    pub(crate) marks: Watermarks,
    pub(crate) reserves: LowmemReserves,
    pub(crate) limits: PcpLimits,
    /// Frames of memory that the zone has, including offline ones.
    pub(crate) present: usize,
    pub(crate) lock_holds: u64,
    pub(super) watch: Watch,
    /// See [`Wanted`](crate::buddy::Wanted).
    pub(crate) cma_first_above: u8,
}

/// A zone.
///
/// It is aligned to 128 bytes, because the adjacent-line prefetcher fetches cache lines in pairs:
/// the holder of the lock writes here, and other CPUs read neighbouring fields in every call.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Zone<G> {
    kind: ZoneKind,
    inner: Lock<ZoneInner<G>>,
    published: Published,
}

impl<G: Geometry> ZoneInner<G> {
    const fn new() -> Self {
        Self {
            buddy: Buddy::new(),
            marks: Watermarks::NONE,
            reserves: LowmemReserves::NONE,
            limits: PcpLimits::NONE,
            present: 0,
            lock_holds: 0,
            watch: Watch::NEVER,
            cma_first_above: 0,
        }
    }

    /// The managed frames: memory that is neither offline nor bad.
    pub(crate) fn managed(&self) -> usize {
        let counters = self.buddy.counters();
        self.present - counters.offline() - counters.hwpoisoned()
    }
}

impl<G: Geometry> Zone<G> {
    /// A zone without memory, of the lowest kind until [`set_kind`](Self::set_kind).
    pub(crate) fn new() -> Self {
        made_by_compiler!(Self {
            kind: ZoneKind::Dma,
            inner: Lock::new(ZoneInner::new()),
            published: Published::new(),
        })
    }

    pub(crate) fn set_kind(&mut self, kind: ZoneKind) {
        self.kind = kind;
    }

    pub(crate) fn kind(&self) -> ZoneKind {
        self.kind
    }

    /// The address range of the zone: where its frames may be.
    pub(crate) fn addresses(&self) -> PfnRange {
        self.kind.addresses::<G>()
    }

    pub(crate) fn published(&self) -> &Published {
        &self.published
    }

    /// Publishes the floors that depend on the watermarks and the reserves of the zone. Its
    /// standings are evaluated from now on, if there is a `choice` of zones.
    pub(crate) fn publish_floors(&self, inner: &mut ZoneInner<G>, choice: bool) {
        let floor = |mobility, highest| inner.floor(mobility, highest, Mark::Low, Depth::Normal);
        self.published.set_low_floors(|highest| {
            floor(Mobility::Unmovable, highest).min(floor(Mobility::Movable, highest))
        });
        inner.watch = if choice { Watch::NEXT } else { Watch::NEVER };
    }

    /// Runs `f` with the zone locked, then publishes the counters, and calls `evaluated` if the
    /// standings may have changed. Interrupts must be masked.
    #[inline]
    pub(crate) fn locked<R>(
        &self,
        f: impl FnOnce(&mut ZoneInner<G>) -> R,
        evaluated: impl FnOnce(&Standings),
    ) -> R {
        let mut inner = self.inner.lock();
        inner.lock_holds = inner.lock_holds.wrapping_add(1);
        let result = f(&mut inner);
        self.published.publish(inner.buddy.counters(), inner.managed());
        if inner.watch.is_due(inner.buddy.counters()) {
            evaluated(&inner.evaluate());
        }
        result
    }
}
