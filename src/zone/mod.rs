//! A zone: memory that devices of one kind can reach, with its lock.
//!
//! The lock protects the buddy system, the marks and the registry of isolations. It is taken through
//! [`Zone::locked`] only, which publishes the counters when it is done: whoever reads them without the lock
//! ([`Zone::published`]) sees the value between two operations, never one in the middle of a split.
//!
//! **Lock order:** a pcplist's lock, then the zone's. Interrupts are masked while either is held. No two zones
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
use crate::pcp::{PcpLimits, PcpSlot};
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
    pub(crate) isolations: Registry,
    /// See [`Wanted`](crate::buddy::Wanted).
    pub(crate) cma_first_above: u8,
}

/// A zone.
#[derive(Debug)]
pub(crate) struct Zone<'m, G> {
    kind: ZoneKind,
    span: PfnRange,
    inner: Lock<ZoneInner<G>>,
    slots: &'m [PcpSlot<G>],
    published: Published,
}

impl<'m, G: Geometry> Zone<'m, G> {
    /// An empty zone over `span`, with pcplists for as many CPUs as there are `slots`.
    pub(crate) fn new(kind: ZoneKind, span: PfnRange, slots: &'m [PcpSlot<G>], cma_first_above: u8) -> Self {
        let inner = ZoneInner {
            buddy: Buddy::new(Order::ZERO),
            marks: Watermarks::default(),
            reserves: [0; ZoneKind::COUNT],
            limits: PcpLimits { batch: 1, high: 0 },
            present: 0,
            isolations: Registry::new(),
            cma_first_above,
        };
        Self { kind, span, inner: Lock::new(inner), slots, published: Published::new() }
    }

    pub(crate) fn kind(&self) -> ZoneKind {
        self.kind
    }

    pub(crate) fn span(&self) -> PfnRange {
        self.span
    }

    pub(crate) fn slots(&self) -> &'m [PcpSlot<G>] {
        self.slots
    }

    pub(crate) fn published(&self) -> &Published {
        &self.published
    }

    /// Runs `f` with the zone locked, then publishes the counters. Interrupts must be masked.
    #[inline]
    pub(crate) fn locked<R>(&self, f: impl FnOnce(&mut ZoneInner<G>) -> R) -> R {
        let mut inner = self.inner.lock();
        let result = f(&mut inner);
        self.published.publish(&inner);
        result
    }
}
