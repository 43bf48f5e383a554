//! TLB shootdown: flushes translations on every CPU.
//!
//! When a call returns, no CPU holds a stale translation. The deadlock rule of [`ipi`] applies.

use core::sync::atomic::{AtomicU64, Ordering};

use x86_64::VirtAddr;
use x86_64::instructions::tlb;

use crate::smp::ipi;

const PAGE_BYTES: u64 = 4096;

/// Above this many pages, flushing everything is cheaper than flushing page by page.
const MAX_SINGLE_PAGES: u64 = 32;

static SHOOTDOWNS: AtomicU64 = AtomicU64::new(0);

/// Flushes `pages` pages from `start` on every CPU.
pub(crate) fn flush(start: VirtAddr, pages: u64) {
    SHOOTDOWNS.fetch_add(1, Ordering::Relaxed);
    flush_here(start.as_u64(), pages);
    ipi::call_others(flush_here, start.as_u64(), pages);
}

/// Flushes all translations on every CPU.
pub(crate) fn flush_all() {
    flush(VirtAddr::zero(), u64::MAX);
}

/// Shootdowns since boot.
pub(crate) fn count() -> u64 {
    SHOOTDOWNS.load(Ordering::Relaxed)
}

fn flush_here(start: u64, pages: u64) {
    if pages > MAX_SINGLE_PAGES {
        tlb::flush_all();
        return;
    }
    for page in 0..pages {
        tlb::flush(VirtAddr::new(start + page * PAGE_BYTES));
    }
}
