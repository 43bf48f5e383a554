//! The parameters that a kernel can tune.

#![expect(unsafe_code, reason = "the kernel promises where physical memory is mapped")]

use crate::base::Order;

/// The parameters of an allocator. The defaults are those of Linux.
///
/// These follow from the size of a zone alone: its lowmem reserve (see
/// [`ZoneFigures::lowmem_reserve`](crate::ZoneFigures::lowmem_reserve)), the high-atomic reserve
/// (at most one percent of the managed pages), and the pages that all CPUs together cache (at most
/// an eighth).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tuning {
    pub(super) min_free_pages: Option<usize>,
    pub(super) cma_first_above: u8,
    pub(super) guard_below: Order,
    pub(super) poison: Option<u64>,
}

impl Default for Tuning {
    fn default() -> Self {
        Self { min_free_pages: None, cma_first_above: 50, guard_below: Order::ZERO, poison: None }
    }
}

impl Tuning {
    /// Sets the sum of the min watermarks of all zones, in pages (`min_free_kbytes` in Linux). More
    /// than the managed pages is reduced to these; ordinary requests get nothing then. Default:
    /// computed from the managed memory, 4 MiB for 1 GiB.
    #[must_use]
    pub const fn min_free_pages(self, pages: usize) -> Self {
        Self { min_free_pages: Some(pages), ..self }
    }

    /// Sets the percentage of free pages above which movable requests take CMA pages first.
    ///
    /// With 0 they always take CMA pages first, with 100 (or more) last. Default: 50.
    #[must_use]
    pub const fn cma_first_above(self, percent: u8) -> Self {
        Self { cma_first_above: if percent > 100 { 100 } else { percent }, ..self }
    }

    /// Makes leftover halves of splits, of an order below this, guards next to the allocation.
    ///
    /// For debugging (`debug_guardpage_minorder` in Linux). Construction refuses an order above the
    /// largest, which would leave nothing to allocate. Default: order 0, no guards.
    #[must_use]
    pub const fn guard_below(self, order: Order) -> Self {
        Self { guard_below: order, ..self }
    }

    /// Fills pages with a pattern when they are freed, and looks for it when they are handed out:
    /// pages that were written in between are found and named.
    ///
    /// For debugging (`page_poison` in Linux). Physical memory is mapped at
    /// `physical_memory_offset`. Construction fills all usable memory, which takes time in
    /// proportion to it. Nothing is cached on pcplists then, and the zone lock is held while the
    /// pages of a block are filled or looked at. See
    /// [`PageAllocator::write_after_free`](crate::PageAllocator::write_after_free). Default: off,
    /// which costs nothing.
    ///
    /// # Safety
    ///
    /// Every byte at physical address `a` of the usable memory of the map, and of memory that is
    /// added later, must be mapped writable at `physical_memory_offset + a`, for good, except guard
    /// pages while they are guards. No code may rely on the contents of a page that is free.
    #[must_use]
    pub const unsafe fn poison_at(self, physical_memory_offset: u64) -> Self {
        Self { poison: Some(physical_memory_offset), ..self }
    }
}
