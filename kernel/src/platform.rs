//! What the allocator asks of this kernel: all the glue there is.

#![expect(unsafe_code, reason = "promises what this kernel's CPUs do")]

use core::sync::atomic::{Ordering, fence};

use pageblock::{CpuId, PcpAccess, Platform};
use x86_64::instructions::interrupts;

use crate::smp::{self, ipi};

/// The machine that this kernel runs on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ThisMachine;

impl Platform for ThisMachine {
    // SAFETY: in the order of the promise:
    // - A CPU's number is what `percpu::adopt` stored at GS:0 as that CPU's first act, another one for each. The
    //   allocator is made after the last CPU has joined, with their count. A CPU that starts later than
    //   it may ends the kernel (`bringup`), so that none has a number that the count does not cover.
    // - Tasks are functions that `smp::work` calls on a CPU, and that return there; the executor's jobs change CPUs between
    //   two calls only. Whoever halts (`space::lock`) is interrupted, and goes on where it was. Handlers run with interrupts
    //   masked and return, or end the kernel; those that allocate are the timer's, which frees what it allocated itself,
    //   and nothing else (`jobs::interrupts`).
    // - `barrier_on_every_cpu`: below.
    const PCP_ACCESS: PcpAccess = unsafe { PcpAccess::owner_only() };

    #[inline(always)]
    fn current_cpu(&self) -> CpuId {
        smp::current()
    }

    #[inline]
    fn without_interrupts<R>(&self, f: impl FnOnce() -> R) -> R {
        interrupts::without_interrupts(f)
    }

    /// Has every other CPU that runs execute a fence in an interrupt handler. Others do not exist for the allocator: see
    /// above.
    ///
    /// By the deadlock rule of [`ipi`], and the other way round: nobody waits for an allocator's lock, or in a window of the
    /// allocator, with interrupts masked, while the one that it waits for is in here. The allocator calls this with none of
    /// its locks held; CPUs that wait for a lock of this kernel's own (`space::lock`) have interrupts enabled; those that wait for
    /// an answer themselves serve others. Timer handlers allocate with `Depth::Atomic`, which never drains, so that
    /// none makes a request in the middle of another one.
    fn barrier_on_every_cpu(&self) {
        fence(Ordering::SeqCst);
        ipi::call_others(|_, _| fence(Ordering::SeqCst), 0, 0);
        fence(Ordering::SeqCst);
    }
}
