//! Floor 7: a zone: the memory that a class of devices can reach, its lock, and what that protects.
//!
//! | file | what it has |
//! |---|---|
//! | [`published`] | the counters that are read without the lock |
//! | [`lock`] | [`Zone`], and [`ZoneInner`], which its lock protects |
//! | [`atomic_reserve`] | pageblocks that are reserved for high-order atomic requests |
//! | [`reach`] | how far a request may go in a zone |
//! | [`reporting`] | which blocks a zone can do without while they are reported to the host |
//! | [`standing`] | how far a zone is from its low mark, and when that is to be evaluated |
//! | [`evaluate`] | the evaluation |
//! | [`alloc`] | the watermark check and the allocation of a block, in one lock hold |

mod alloc;
mod atomic_reserve;
mod evaluate;
mod lock;
mod published;
mod reach;
mod reporting;
mod standing;

pub(crate) use lock::{LowmemReserves, Zone, ZoneInner};
pub(crate) use published::{Published, at_least_zero};
pub(crate) use reach::Reach;
pub(crate) use standing::{NO_STANDING, Standing, Standings};
