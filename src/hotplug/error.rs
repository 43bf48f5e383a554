//! Why a range did not go offline or online.

use core::fmt;

use crate::base::{FrameKind, Order, Pfn, PfnRange, RangeError};
use crate::contig::ContigError;

/// Why a range did not go offline or online. It is unchanged, but pages may have migrated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum HotplugError {
    /// The range does not consist of whole pageblocks.
    Unaligned {
        /// The range that was given.
        range: PfnRange,
        /// The order of a pageblock.
        pageblock: Order,
    },
    /// The range is empty, is not in one zone, or has a frame that is not managed.
    Range(RangeError),
    /// The [`HotplugNotifier`](crate::HotplugNotifier) refused.
    Vetoed {
        /// The range that was given.
        range: PfnRange,
    },
    /// The range was not isolated, or a frame of it did not become free.
    Contig(ContigError),
    /// A frame of a range that is to go online is not offline.
    NotOffline {
        /// The first such frame.
        pfn: Pfn,
        /// The kind of that frame.
        kind: FrameKind,
    },
}

impl fmt::Display for HotplugError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unaligned { range, pageblock } => {
                write!(f, "{range} is not whole pageblocks of {pageblock}")
            }
            Self::Range(error) => error.fmt(f),
            Self::Vetoed { range } => write!(f, "the notifier refused {range}"),
            Self::Contig(error) => error.fmt(f),
            Self::NotOffline { pfn, kind } => write!(f, "{pfn} is not offline: it is {kind}"),
        }
    }
}

impl core::error::Error for HotplugError {}

impl From<RangeError> for HotplugError {
    fn from(error: RangeError) -> Self {
        Self::Range(error)
    }
}

impl From<ContigError> for HotplugError {
    fn from(error: ContigError) -> Self {
        Self::Contig(error)
    }
}
