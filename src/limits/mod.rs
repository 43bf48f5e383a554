//! Floor 4: arithmetic on page counts: what a zone keeps back, and how much a pcplist may hold.

mod pcp_limits;
mod watermarks;

pub(crate) use pcp_limits::{CACHED_ORDERS, LARGEST, PcpLimits, capacity};
pub use watermarks::{Mark, Watermarks};
pub(crate) use watermarks::{default_min_pages, lowmem_reserves};
