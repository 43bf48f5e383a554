//! The other CPUs: how they start, and how CPUs run code on each other.
//!
//! | file | what |
//! |---|---|
//! | `trampoline` | from real mode to the first Rust function of a CPU |
//! | `bringup` | starts the CPUs that the firmware lists |
//! | `ipi` | runs a function on all other CPUs, in an interrupt handler |
//! | `shootdown` | flushes translations on every CPU |
//! | `work` | runs a function on every CPU, as its task |

pub(crate) mod bringup;
pub(crate) mod ipi;
pub(crate) mod shootdown;
mod trampoline;
pub(crate) mod work;

pub(crate) use work::run_on_all;

pub(crate) use crate::arch::percpu::{MAX_CPUS, cpu_count, current};
