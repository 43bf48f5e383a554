//! The counters of a zone that are read without its lock.
//!
//! They are stored at the end of each hold of the zone's lock, so that a reader gets the exact
//! count between two operations, and never one from the middle of a split. There are no per-CPU
//! deltas: Linux's `NR_FREE_PAGES` may be off by up to 125 pages for each CPU. Each counter is
//! exact by itself, but two that are read one after the other may be of different moments;
//! [`audit`](crate::PageAllocator::audit) reads all at one moment.

use crate::buddy::Counters;
use crate::sync::{Ordering, PlainUsize};

/// The published counters of one zone, in pages.
#[derive(Debug)]
pub(crate) struct Published {
    free: PlainUsize,
    free_cma: PlainUsize,
    isolated: PlainUsize,
    managed: PlainUsize,
}

impl Published {
    pub(crate) fn new() -> Self {
        let zero = || PlainUsize::new(0);
        Self { free: zero(), free_cma: zero(), isolated: zero(), managed: zero() }
    }

    /// Stores the counters. Only [`Zone::locked`](crate::zone::Zone::locked) calls this.
    #[inline]
    pub(super) fn publish(&self, counters: &Counters, managed: usize) {
        self.free.store(at_least_zero(counters.free()), Ordering::Relaxed);
        self.free_cma.store(at_least_zero(counters.free_cma()), Ordering::Relaxed);
        self.isolated.store(at_least_zero(counters.isolated()), Ordering::Relaxed);
        self.managed.store(managed, Ordering::Relaxed);
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
