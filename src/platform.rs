//! The one upward call: what the allocator asks of the kernel that it lives in.
//!
//! Both methods have defaults that stay correct, only slower: a kernel with one CPU and no interrupts
//! plugs in a unit struct. Nothing here is unsafe: a wrong answer costs speed or (if interrupts are
//! not masked although handlers allocate) ends in a deadlock, never in a frame handed out twice.
//!
//! There is no method to call other CPUs, on purpose: any CPU drains another's lists by taking their lock
//! ([`pcp::drain`](crate::pcp)), so that nothing here would use one. The kernel needs such calls for the TLB flush of a
//! migration, which is its own affair ([`Migrate`](crate::Migrate)).

use core::fmt;

/// A CPU's number: dense, from 0 for the boot CPU.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct CpuId(usize);

impl CpuId {
    /// The CPU that the kernel started on.
    pub const BOOT: Self = Self(0);

    /// The CPU with this number.
    #[must_use]
    pub const fn new(number: usize) -> Self {
        Self(number)
    }

    /// The number.
    #[must_use]
    pub const fn number(self) -> usize {
        self.0
    }
}

impl fmt::Display for CpuId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CPU {}", self.0)
    }
}

/// What the allocator asks of its kernel.
///
/// ```
/// /// One CPU, and no interrupt handler that allocates.
/// struct Bare;
/// impl pageblock::Platform for Bare {}
/// ```
pub trait Platform {
    /// The CPU that this code runs on, as long as interrupts stay masked.
    ///
    /// Chooses which per-CPU lists are used, nothing else: they are locked, so that an answer that
    /// is out of date costs speed only. Without this method all CPUs share the first one's lists.
    /// Numbers beyond the CPU count given at construction wrap around.
    fn current_cpu(&self) -> CpuId {
        CpuId::BOOT
    }

    /// Runs `f` with interrupts masked on this CPU, then restores what was before.
    ///
    /// Implement it as soon as any interrupt handler allocates or frees
    /// (`x86_64::instructions::interrupts::without_interrupts` has this shape): the allocator's locks
    /// are only ever held inside `f`, so a handler can never wait for the code that it interrupted.
    /// Calls nest.
    fn without_interrupts<R>(&self, f: impl FnOnce() -> R) -> R {
        f()
    }
}
