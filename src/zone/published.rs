//! The counters of a zone that are read without its lock.
//!
//! They are stored at the end of each hold of the zone's lock, so that a reader gets the exact
//! count between two operations, and never one from the middle of a split. There are no per-CPU
//! deltas: Linux's `NR_FREE_PAGES` may be off by up to 125 pages for each CPU. Each counter is
//! exact by itself, but two that are read one after the other may be of different moments;
//! [`audit`](crate::PageAllocator::audit) reads all at one moment.

use crate::base::{AllocRequest, Mobility, ZoneKind};
use crate::buddy::Counters;
use crate::sync::{Ordering, PlainUsize};

/// The published counters of one zone, in pages.
#[derive(Debug)]
pub(crate) struct Published {
    free: PlainUsize,
    free_cma: PlainUsize,
    free_atomic: PlainUsize,
    isolated: PlainUsize,
    managed: PlainUsize,
    /// By the highest zone that a request may use: the free pages that one of
    /// `Depth::Normal` must leave at the low mark.
    low_floors: [PlainUsize; ZoneKind::COUNT],
}

impl Published {
    pub(crate) const fn new() -> Self {
        Self {
            free: PlainUsize::new(0),
            free_cma: PlainUsize::new(0),
            free_atomic: PlainUsize::new(0),
            isolated: PlainUsize::new(0),
            managed: PlainUsize::new(0),
            low_floors: [const { PlainUsize::new(0) }; ZoneKind::COUNT],
        }
    }

    /// Stores the counters. Only [`Zone::locked`](crate::zone::Zone::locked) calls this.
    #[inline]
    pub(super) fn publish(&self, counters: &Counters, managed: usize) {
        self.free.store(at_least_zero(counters.free()), Ordering::Relaxed);
        self.free_cma.store(at_least_zero(counters.free_cma()), Ordering::Relaxed);
        self.free_atomic.store(at_least_zero(counters.free_atomic()), Ordering::Relaxed);
        self.isolated.store(at_least_zero(counters.isolated()), Ordering::Relaxed);
        self.managed.store(managed, Ordering::Relaxed);
    }

    /// Sets the floors of the low mark, by the highest zone that a request may use.
    pub(super) fn set_low_floors(&self, floor: impl Fn(ZoneKind) -> usize) {
        for (floors, highest) in self.low_floors.iter().zip(ZoneKind::ALL) {
            floors.store(floor(highest), Ordering::Relaxed);
        }
    }

    /// Whether the zone has fewer free pages than a request of `Depth::Normal` needs above the low
    /// mark. The counts are read one after the other, without the lock: the answer is that of the
    /// check under the lock if nothing changes meanwhile, and it must not be the last word on a
    /// request.
    #[inline]
    pub(crate) fn is_at_low_mark(&self, request: &AllocRequest) -> bool {
        let cma = if request.mobility == Mobility::Movable { 0 } else { self.free_cma() };
        let kept = [cma, self.free_atomic.load(Ordering::Relaxed), request.order.pages()];
        let floor = self.low_floors[request.highest_zone.index()].load(Ordering::Relaxed);
        self.free() < kept.into_iter().fold(floor, usize::saturating_add)
    }

    pub(crate) fn free(&self) -> usize {
        self.free.load(Ordering::Relaxed)
    }

    pub(crate) fn free_cma(&self) -> usize {
        self.free_cma.load(Ordering::Relaxed)
    }

    pub(crate) fn isolated(&self) -> usize {
        self.isolated.load(Ordering::Relaxed)
    }

    pub(crate) fn managed(&self) -> usize {
        self.managed.load(Ordering::Relaxed)
    }
}

/// A counter, or 0 if a fault has driven it below zero.
pub(crate) const fn at_least_zero(counter: usize) -> usize {
    if counter.cast_signed() < 0 { 0 } else { counter }
}
