//! A zone: memory that devices of one kind can reach, with its lock.
//!
//! The lock protects the buddy system, the marks and the registry of isolations. It is taken through
//! [`Zone::locked`] only, which publishes the counters when it is done: whoever reads them without the lock
//! ([`Zone::published`]) sees the value between two operations, never one in the middle of a split.
//!
//! **Lock order:** the gate of a CPU's pcplists, then the zone's lock. Interrupts are masked while a lock is held. No two zones
//! are locked at once.
//!
//! Files: [`alloc`] and [`free`] are the two ways through, [`atomic_reserve`] serves the first; [`published`] the lock-free counters. Neighbours:
//! [`buddy`](crate::buddy) and [`pcp`](crate::pcp) below, [`page_allocator`](crate::page_allocator) above.

pub(crate) mod alloc;
mod atomic_reserve;
pub(crate) mod free;
pub(crate) mod published;

use crate::buddy::Buddy;
use crate::geometry::Geometry;
use crate::isolate::Registry;
use crate::order::Order;
use crate::pcp::PcpLimits;
use crate::pfn::PfnRange;
use crate::request::ZoneKind;
use crate::sync::Lock;
use crate::watermark::Watermarks;
use published::Published;

/// What a zone's lock protects.
#[derive(Debug)]
pub(crate) struct ZoneInner<G> {
    pub(crate) buddy: Buddy<G>,
    pub(crate) marks: Watermarks,
    /// By the highest zone that a request could have used: pages kept back from it.
    pub(crate) reserves: [usize; ZoneKind::COUNT],
    pub(crate) limits: PcpLimits,
    /// Frames of memory in the zone, offline ones included.
    pub(crate) present: usize,
    /// How often the lock was taken.
    pub(crate) lock_holds: u64,
    pub(crate) isolations: Registry,
    /// See [`Wanted`](crate::buddy::Wanted).
    pub(crate) cma_first_above: u8,
}

/// A zone. On cache lines of its own, two by two as they are fetched: whoever holds its lock writes there, while the other CPUs read what
/// lies beside it in the allocator with every call.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Zone<G> {
    kind: ZoneKind,
    span: PfnRange,
    inner: Lock<ZoneInner<G>>,
    published: Published,
}

impl<G: Geometry> Zone<G> {
    /// An empty zone over `span`.
    pub(crate) fn new(kind: ZoneKind, span: PfnRange, cma_first_above: u8) -> Self {
        let inner = ZoneInner {
            buddy: Buddy::new(Order::ZERO),
            marks: Watermarks::default(),
            reserves: [0; ZoneKind::COUNT],
            limits: PcpLimits::NONE,
            present: 0,
            lock_holds: 0,
            isolations: Registry::new(),
            cma_first_above,
        };
        Self { kind, span, inner: Lock::new(inner), published: Published::new() }
    }

    pub(crate) fn kind(&self) -> ZoneKind {
        self.kind
    }

    pub(crate) fn span(&self) -> PfnRange {
        self.span
    }

    pub(crate) fn published(&self) -> &Published {
        &self.published
    }

    /// Runs `f` with the zone locked, then publishes the counters. Interrupts must be masked.
    #[inline]
    pub(crate) fn locked<R>(&self, f: impl FnOnce(&mut ZoneInner<G>) -> R) -> R {
        let mut inner = self.inner.lock();
        inner.lock_holds = inner.lock_holds.wrapping_add(1);
        let result = f(&mut inner);
        self.published.publish(&inner);
        result
    }
}
