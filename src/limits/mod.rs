//! Floor 4: limits: the watermarks of zones, and the size of pcplists.

mod pcp_limits;
mod watermarks;

pub(crate) use pcp_limits::{CACHED_ORDERS, LARGEST, PcpLimits, capacity, exchange_capacity};
pub use watermarks::{Mark, Watermarks};
pub(crate) use watermarks::{default_min_pages, lowmem_reserves};
