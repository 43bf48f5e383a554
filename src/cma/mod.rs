//! Floor 13: CMA: an area that is lent to movable allocations and gives contiguous ranges on
//! demand.
//!
//! | file | what it has |
//! |---|---|
//! | [`error`] | why an area was not set up, or gave no range |
//! | [`bitmap`] | which parts of an area are allocated |
//! | [`place`] | a stretch of free pageblocks for a new area |
//! | [`area`] | [`CmaArea`](area::CmaArea): set up, allocate, free |

mod area;
mod bitmap;
mod error;
mod place;

pub use area::{CmaArea, CmaStats};
pub use error::CmaError;
