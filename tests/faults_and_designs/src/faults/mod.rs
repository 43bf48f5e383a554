//! Each historical fault, at the interleaving that shows it.
//!
//! The drift must be what it was in history, and none with the fault off.

mod guards;
mod merges;
mod moves;
mod pcplists;
mod reports;
mod stale_reads;
