//! Floor 13: CMA: areas whose pages movable allocations use until a contiguous range is allocated.
//!
//! | file | what it has |
//! |---|---|
//! | [`error`] | why an area was not made, or a range not allocated or freed |
//! | [`bitmap`] | which parts of an area are allocated |
//! | [`convert`] | gives pageblocks the type CMA |
//! | [`place`] | finds free pageblocks for a new area |
//! | [`area`] | [`CmaArea`]: make, allocate, free |

mod area;
mod bitmap;
mod convert;
mod error;
mod place;

pub use area::{CmaArea, CmaStats};
pub use error::CmaError;
