//! Allocation and free, counted: what a run reports as "allocations" is what succeeded here.

use core::sync::atomic::{AtomicU64, Ordering};

use pageblock::{AllocError, AllocRequest, Order, Pfn};

use crate::memory::allocator;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
static FREES: AtomicU64 = AtomicU64::new(0);
static FAILURES: AtomicU64 = AtomicU64::new(0);

/// Allocates a block. Interrupt handlers may call this.
pub(crate) fn allocate(request: AllocRequest) -> Result<Pfn, AllocError> {
    let result = allocator().alloc_pages(request);
    let counter = if result.is_ok() { &ALLOCATIONS } else { &FAILURES };
    counter.fetch_add(1, Ordering::Relaxed);
    result
}

/// Frees a block that [`allocate`] returned. Interrupt handlers may call this.
///
/// # Panics
///
/// If the allocator refuses the free, which means that this kernel has a bug.
pub(crate) fn free(pfn: Pfn, order: Order) {
    if let Err(error) = allocator().free_pages(pfn, order) {
        panic!("freeing {pfn} of {order}: {error}");
    }
    FREES.fetch_add(1, Ordering::Relaxed);
}

/// Blocks allocated since boot.
pub(crate) fn allocations() -> u64 {
    ALLOCATIONS.load(Ordering::Relaxed)
}

/// Blocks freed since boot.
pub(crate) fn frees() -> u64 {
    FREES.load(Ordering::Relaxed)
}

/// Requests that failed since boot.
pub(crate) fn failures() -> u64 {
    FAILURES.load(Ordering::Relaxed)
}
