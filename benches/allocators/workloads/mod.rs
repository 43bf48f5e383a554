//! The workloads: what the allocators are made to do, on 4 GiB of frames.
//!
//! [`list`] names them. Those with a time and a count for an allocation and its free implement
//! [`steady::Steady`]; the others are functions that return a result of their own.

pub(crate) mod bursts;
pub(crate) mod exhaust;
pub(crate) mod fragmentation;
pub(crate) mod full;
pub(crate) mod init;
pub(crate) mod list;
pub(crate) mod machines;
pub(crate) mod misuse;
pub(crate) mod mixed;
pub(crate) mod pairs;
pub(crate) mod states;
pub(crate) mod steady;
pub(crate) mod threads;
