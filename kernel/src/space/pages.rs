//! The one door from this half of the kernel to the allocator: allocate and free, counted.
//!
//! What a run reports as "allocations" is what went through here and succeeded, nothing else.
//! Neighbours: `memory` holds the allocator; every module of `space`, `jobs` and `scenarios` uses
//! this one.

use core::sync::atomic::{AtomicU64, Ordering};

use pageblock::{AllocError, AllocRequest, Order, Pfn};

use crate::memory::allocator;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
static FAILURES: AtomicU64 = AtomicU64::new(0);

/// Allocates a block. Callable from interrupt handlers.
pub(crate) fn allocate(request: AllocRequest) -> Result<Pfn, AllocError> {
    let result = allocator().alloc_pages(request);
    let counter = if result.is_ok() { &ALLOCATIONS } else { &FAILURES };
    counter.fetch_add(1, Ordering::Relaxed);
    result
}

/// Frees a block that [`allocate`] returned. Callable from interrupt handlers.
///
/// # Panics
///
/// If the allocator says that the block is not ours to free: then the kernel's own books are wrong.
pub(crate) fn free(pfn: Pfn, order: Order) {
    if let Err(error) = allocator().free_pages(pfn, order) {
        panic!("freeing {pfn} of {order}: {error}");
    }
}

/// Blocks allocated since boot.
pub(crate) fn allocations() -> u64 {
    ALLOCATIONS.load(Ordering::Relaxed)
}

/// Requests that the allocator turned down since boot.
pub(crate) fn failures() -> u64 {
    FAILURES.load(Ordering::Relaxed)
}
