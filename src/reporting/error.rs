//! Why a batch was not taken.

use core::error::Error;
use core::fmt;

use crate::base::{Order, ZoneKind};

/// Why no batch of free blocks was taken. Nothing has changed then.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ReportError {
    /// Blocks below the pageblock order are not reported: they are in the pageblocks that requests
    /// are served from first, and the host would have to split its huge pages.
    OrderTooSmall {
        /// The order that was given.
        order: Order,
        /// The smallest order, that of a pageblock.
        min: Order,
    },
    /// There are no blocks of this order. If a pageblock is larger than the largest block, no order
    /// can be reported.
    OrderTooLarge {
        /// The order that was given.
        order: Order,
        /// The largest order.
        max: Order,
    },
    /// The batch must have room for at least one block.
    NoBlocks,
    /// Freed pages are filled with a pattern ([`Tuning::poison_at`](crate::Tuning::poison_at)),
    /// which the host would discard.
    Poisoned,
    /// Another batch of the zone is out, and no other zone has a block to report.
    BatchOut {
        /// The highest such zone.
        zone: ZoneKind,
    },
}

impl fmt::Display for ReportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OrderTooSmall { order, min } => {
                write!(f, "{order} is below the smallest that is reported, {min}")
            }
            Self::OrderTooLarge { order, max } => write!(f, "{order} is above the largest, {max}"),
            Self::NoBlocks => f.write_str("a batch of no blocks"),
            Self::Poisoned => f.write_str("the pattern in free pages would be discarded"),
            Self::BatchOut { zone } => write!(f, "another batch of zone {zone} is being reported"),
        }
    }
}

impl Error for ReportError {}
