//! How large the blocks and the batch are.

use crate::base::{Geometry, Order};
use crate::reporting::error::ReportError;

/// How many blocks of which size are reported at a time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReportOptions {
    order: Option<Order>,
    blocks: usize,
}

impl Default for ReportOptions {
    /// Up to 32 blocks (`PAGE_REPORTING_CAPACITY` in Linux) of at least the pageblock order.
    fn default() -> Self {
        Self { order: None, blocks: 32 }
    }
}

impl ReportOptions {
    /// Sets the smallest order of a block that is reported. Default: the pageblock order, which is
    /// also the least.
    #[must_use]
    pub const fn order(self, order: Order) -> Self {
        Self { order: Some(order), ..self }
    }

    /// Sets the most blocks of a batch. Default: 32.
    #[must_use]
    pub const fn blocks(self, blocks: usize) -> Self {
        Self { blocks, ..self }
    }

    /// The smallest order, and the most blocks, after a check of both.
    pub(super) fn checked<G: Geometry>(self) -> Result<(Order, usize), ReportError> {
        let (order, min, max) = (self.order.unwrap_or(G::PAGEBLOCK_ORDER), G::PAGEBLOCK_ORDER, G::MAX_ORDER);
        if order > max {
            return Err(ReportError::OrderTooLarge { order, max });
        }
        if order < min {
            return Err(ReportError::OrderTooSmall { order, min });
        }
        if self.blocks == 0 { Err(ReportError::NoBlocks) } else { Ok((order, self.blocks)) }
    }
}
