//! Floor 1: plain values, errors that several floors share, and the traits that a kernel implements.
//!
//! Nothing here has state or takes a lock; every other floor imports from here.

pub(crate) mod errors;
pub(crate) mod frame_kind;
pub(crate) mod geometry;
pub(crate) mod guard_pages;
pub(crate) mod migrate;
pub(crate) mod migratetype;
pub(crate) mod order;
pub(crate) mod pageblock;
pub(crate) mod pcp_slot;
pub(crate) mod pfn;
pub(crate) mod platform;
pub(crate) mod request;
pub(crate) mod zone_kind;
