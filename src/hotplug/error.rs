//! Why a range did not go offline or online.

use core::fmt;

use crate::base::{FrameKind, Order, Pfn, PfnRange, RangeError};
use crate::contig::ContigError;

/// Why a range did not go offline or online. It is as it was, except for pages that have migrated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum HotplugError {
    /// The range does not start and end at pageblocks.
    Unaligned {
        /// What was given.
        range: PfnRange,
        /// The order of a pageblock.
        pageblock: Order,
    },
    /// The range makes no sense.
    Range(RangeError),
    /// The kernel refused.
    Vetoed {
        /// What was given.
        range: PfnRange,
    },
    /// The range could not be isolated or emptied.
    Contig(ContigError),
    /// A frame to be brought online is not offline.
    NotOffline {
        /// The first such frame.
        pfn: Pfn,
        /// What it is.
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
            Self::Vetoed { range } => write!(f, "the kernel keeps {range}"),
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
