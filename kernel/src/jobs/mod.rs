//! The background load: what uses memory while contiguous ranges are allocated.
//!
//! | file | what |
//! |---|---|
//! | `executor` | one run queue of cooperative tasks for all CPUs |
//! | `grace_period` | the time until every CPU has begun another step |
//! | `page_cache` | a cache of file pages: reclaimable memory |
//! | `block_list` | a list of allocated blocks, which needs no memory of its own |
//! | `interrupts` | allocation and free in the timer interrupt |
//! | `plan` | how much memory the jobs use |
//! | `job` | a job that uses memory like a compiler process |
//!
//! Any CPU may run the next step of a task, so pages are freed on other CPUs than the ones that
//! allocated them, and address spaces move between CPUs.

pub(crate) mod block_list;
pub(crate) mod executor;
mod grace_period;
pub(crate) mod interrupts;
mod job;
pub(crate) mod page_cache;
mod plan;

pub(crate) use executor::{MAX_JOBS, Progress, Task};
pub(crate) use grace_period::GracePeriod;
pub(crate) use job::{Job, finished};
pub(crate) use plan::Plan;
