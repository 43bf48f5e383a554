//! All CPUs: how they start, what each calls its own, and how they reach each other.
//!
//! | file | what |
//! |---|---|
//! | `percpu` | data of each CPU, found through GS |
//! | `trampoline` | from real mode to Rust |
//! | `bringup` | starts the CPUs that the firmware lists |
//! | `ipi` | has other CPUs run a function in an interrupt, and waits until they did |
//! | `shootdown` | flushes translations on every CPU |
//! | `stack` | notices when a stack is used up |
//! | `work` | has all CPUs run a function as their task |

pub(crate) mod bringup;
pub(crate) mod ipi;
pub(crate) mod percpu;
pub(crate) mod shootdown;
pub(crate) mod stack;
mod trampoline;
pub(crate) mod work;

pub(crate) use pageblock::CpuId;
pub(crate) use percpu::{MAX_CPUS, cpu_count, current};
pub(crate) use work::run_on_all;
