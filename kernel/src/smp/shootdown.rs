//! Flushes translations on every CPU, and returns when all have.
//!
//! No CPU keeps a stale translation of those addresses after this returns. The deadlock rule of
//! [`super::ipi`] applies.

use core::sync::atomic::{AtomicU64, Ordering};

use x86_64::VirtAddr;
use x86_64::instructions::tlb;

use super::ipi;

const PAGE_BYTES: u64 = 4096;

/// Above this many pages it is cheaper to drop all translations than to name each.
const NAMED_PAGES: u64 = 32;

static SHOOTDOWNS: AtomicU64 = AtomicU64::new(0);

/// Flushes the `pages` pages from `start` on every CPU.
pub(crate) fn flush(start: VirtAddr, pages: u64) {
    SHOOTDOWNS.fetch_add(1, Ordering::Relaxed);
    flush_here(start.as_u64(), pages);
    ipi::call_others(flush_here, start.as_u64(), pages);
}

/// Flushes everything on every CPU.
pub(crate) fn flush_all() {
    flush(VirtAddr::zero(), u64::MAX);
}

/// Times that [`flush`] asked the other CPUs.
pub(crate) fn count() -> u64 {
    SHOOTDOWNS.load(Ordering::Relaxed)
}

fn flush_here(start: u64, pages: u64) {
    if pages > NAMED_PAGES {
        tlb::flush_all();
        return;
    }
    for page in 0..pages {
        tlb::flush(VirtAddr::new(start + page * PAGE_BYTES));
    }
}
