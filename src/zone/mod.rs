//! Floor 7: a zone: memory that devices of one kind can reach, its lock, and what the lock
//! protects.
//!
//! | file | what it has |
//! |---|---|
//! | [`registry`] | the ranges of the zone that are isolated |
//! | [`published`] | the counters that are read without the lock |
//! | [`lock`] | [`Zone`](lock::Zone) and [`ZoneInner`](lock::ZoneInner), which is behind its lock |
//! | [`atomic_reserve`] | pageblocks kept for high-order atomic requests |
//! | [`alloc`] | the watermark check, and the allocation of a block in the same lock hold |

mod alloc;
mod atomic_reserve;
mod lock;
mod published;
mod registry;

pub(crate) use lock::{Zone, ZoneInner};
pub(crate) use published::{Published, at_least_zero};
pub(crate) use registry::{Refused, Registry};
