//! Why a range was not isolated.

use core::error::Error;
use core::fmt;

use crate::base::{Obstacle, Pfn, PfnRange, RangeError};

/// Why a range could not be isolated. Nothing of it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum IsolateError {
    /// The range makes no sense.
    Range(RangeError),
    /// Someone else has isolated a part of the range.
    Overlap {
        /// What was asked for.
        range: PfnRange,
        /// The range that is isolated. If it touches others that are, all of them as one.
        with: PfnRange,
    },
    /// A frame of the range is owned by someone who cannot move it.
    Unmovable {
        /// The first such frame.
        pfn: Pfn,
        /// Why it cannot be moved.
        reason: Obstacle,
    },
}

impl fmt::Display for IsolateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Range(error) => error.fmt(f),
            Self::Overlap { range, with } => write!(f, "{range} overlaps {with}, which is isolated"),
            Self::Unmovable { pfn, reason } => write!(f, "{pfn} blocks the range: {reason}"),
        }
    }
}

impl Error for IsolateError {}

impl From<RangeError> for IsolateError {
    fn from(error: RangeError) -> Self {
        Self::Range(error)
    }
}
