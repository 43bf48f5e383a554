//! Build-like jobs: what uses the memory while contiguous ranges are taken from under it.
//!
//! ```text
//!   executor (one run queue, every CPU takes the next task from it)
//!      |
//!   job (a compiler process as a state machine)     interrupts (a tick allocates and frees)
//!      |         \
//!   file_cache    plan (how large jobs get, when memory is short)
//! ```
//!
//! A task is stepped by whichever CPU picks it, so that pages are freed on other CPUs than they were
//! allocated on, and address spaces wander from CPU to CPU. Below: `space`. Above: `scenarios`.

pub(crate) mod executor;
pub(crate) mod file_cache;
pub(crate) mod hoard;
pub(crate) mod interrupts;
mod job;
mod plan;

pub(crate) use executor::{Progress, Task};
pub(crate) use job::{Job, finished};
pub(crate) use plan::Plan;

/// How many jobs can run at once.
pub(crate) const MAX_JOBS: usize = 128;
