//! All CPUs: how they start, what each calls its own, and how they reach each other.
//!
//! | file | what |
//! |---|---|
//! | `percpu` | data of each CPU, found through GS |
//! | `trampoline` | from real mode to Rust |
//! | `bringup` | starts the CPUs that the firmware lists |
//! | `ipi` | has other CPUs run a function in an interrupt, and waits until they did |
//! | `shootdown` | flushes translations on every CPU |
//! | `work` | has all CPUs run a function as their task |

pub(crate) mod bringup;
pub(crate) mod ipi;
pub(crate) mod percpu;
pub(crate) mod shootdown;
mod trampoline;
pub(crate) mod work;

pub(crate) use percpu::{MAX_CPUS, cpu_count, current};
pub(crate) use work::run_on_all;

/// Stand-in.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct CpuId(usize);
impl CpuId {
    pub(crate) const BOOT: Self = Self(0);
    pub(crate) const fn new(n: usize) -> Self { Self(n) }
    pub(crate) const fn number(self) -> usize { self.0 }
}
impl core::fmt::Display for CpuId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result { write!(f, "CPU {}", self.0) }
}
