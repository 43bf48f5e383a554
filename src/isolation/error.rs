//! Why a range was not isolated.

use core::error::Error;
use core::fmt;

use crate::base::{Obstacle, Pfn, PfnRange, RangeError};

/// Why a range was not isolated. No part of it is isolated then.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum IsolateError {
    /// The range is empty, is not in one zone, or has a frame that is not managed.
    Range(RangeError),
    /// Another isolated range overlaps this one.
    Overlap {
        /// The range that was given.
        range: PfnRange,
        /// The range that is isolated. If it touches others that are, all of them as one.
        with: PfnRange,
    },
    /// A frame of the range cannot be migrated.
    Unmovable {
        /// The first such frame.
        pfn: Pfn,
        /// Why it cannot be migrated.
        reason: Obstacle,
    },
}

impl fmt::Display for IsolateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Range(error) => error.fmt(f),
            Self::Overlap { range, with } => write!(f, "{range} overlaps {with}, which is isolated"),
            Self::Unmovable { pfn, reason } => write!(f, "{pfn} cannot be migrated: {reason}"),
        }
    }
}

impl Error for IsolateError {}

impl From<RangeError> for IsolateError {
    fn from(error: RangeError) -> Self {
        Self::Range(error)
    }
}
