//! What a kernel can tune.

use crate::base::Order;

/// What can be tuned. The defaults are those of Linux.
///
/// These follow from the size of a zone alone: its lowmem reserve (see
/// [`ZoneFigures::lowmem_reserve`](crate::ZoneFigures::lowmem_reserve)), the atomic reserve (at most
/// one percent of the managed pages), and the pages that all CPUs together cache (at most an
/// eighth).
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
    /// Sets the pages that the whole machine keeps back at the min watermark (`min_free_kbytes`).
    /// Default: from the size of the machine, 4 MiB for 1 GiB.
    #[must_use]
    pub const fn min_free_pages(self, pages: usize) -> Self {
        Self { min_free_pages: Some(pages), ..self }
    }

    /// Movable requests take CMA pages first while these are more than this percentage of the free
    /// pages, and ordinary pages first otherwise. 0 uses CMA whenever there is some, 100 only when
    /// nothing else is left. Default: 50.
    #[must_use]
    pub const fn cma_first_above(self, percent: u8) -> Self {
        Self { cma_first_above: if percent > 100 { 100 } else { percent }, ..self }
    }

    /// Keeps leftover halves of an order below this as guards next to each allocation
    /// (`debug_guardpage_minorder`). Costs memory; for debugging. Default: order 0, no guards.
    #[must_use]
    pub const fn guard_below(self, order: Order) -> Self {
        Self { guard_below: order, ..self }
    }
}
