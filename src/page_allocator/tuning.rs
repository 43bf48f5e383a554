//! The parameters that a kernel can tune.

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
}

impl Default for Tuning {
    fn default() -> Self {
        Self { min_free_pages: None, cma_first_above: 50, guard_below: Order::ZERO }
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
}
