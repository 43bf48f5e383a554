//! What the allocator needs from this kernel: the number of the CPU, interrupts, and a barrier.

#![expect(unsafe_code, reason = "promises how this kernel's CPUs behave")]

use core::sync::atomic::{Ordering, fence};

use pageblock::{CpuId, PcpAccess, Platform};
use x86_64::instructions::interrupts;

use crate::smp::{self, ipi};
use crate::sync::Hook;

/// Waits for the host's answer to a report of free memory, while a driver makes reports. Returns
/// whether there was one to wait for.
pub(crate) static WAIT_FOR_REPORT: Hook<fn() -> bool> = Hook::empty();

/// This kernel, as the allocator sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ThisMachine;

/// The same kernel with the default access mode: without the promise, and so without the barrier.
/// The benchmark measures an allocator with it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DefaultMode;

impl Platform for DefaultMode {
    #[inline(always)]
    fn current_cpu(&self) -> CpuId {
        ThisMachine.current_cpu()
    }

    #[inline(always)]
    fn mask_interrupts(&self) -> usize {
        ThisMachine.mask_interrupts()
    }

    #[inline(always)]
    fn restore_interrupts(&self, previous: usize) {
        ThisMachine.restore_interrupts(previous);
    }
}

impl Platform for ThisMachine {
    // SAFETY: in the order of the promise:
    // - The number of a CPU is what `percpu::init_this_cpu` stored at GS:0 in the CPU's first call,
    //   and differs between CPUs. The allocator is made with the number of CPUs after the last one
    //   has come online. A CPU that does not start in time ends the kernel (`bringup`), so no CPU
    //   gets a number that the allocator does not cover.
    // - Tasks are functions that `smp::work` calls on a CPU and that return on it; the jobs of the
    //   executor change CPUs only between two such calls. A CPU that halts (`sync::Lock`) continues
    //   where it was after an interrupt. Handlers run with interrupts masked and return, or end the
    //   kernel. Only the timer's handlers allocate, and they free only what they allocated
    //   themselves (`jobs::interrupts`).
    // - `barrier_on_every_cpu`: below.
    const PCP_ACCESS: PcpAccess<Self> = unsafe { PcpAccess::owner_only(|_| smp::cpu_count()) };

    #[inline(always)]
    fn current_cpu(&self) -> CpuId {
        smp::current()
    }

    #[inline(always)]
    fn mask_interrupts(&self) -> usize {
        let enabled = interrupts::are_enabled();
        if enabled {
            interrupts::disable();
        }
        usize::from(enabled)
    }

    #[inline(always)]
    fn restore_interrupts(&self, previous: usize) {
        if previous != 0 {
            interrupts::enable();
        }
    }

    /// Has every other online CPU execute a fence in an interrupt handler.
    ///
    /// This keeps the deadlock rule of [`ipi`]: no CPU waits with interrupts masked for a CPU that
    /// is in this function. The allocator calls it with none of its locks held. CPUs that wait for
    /// a lock of this kernel ([`Lock`](crate::sync::Lock)) have interrupts enabled, and CPUs that
    /// wait for an answer to a request of their own serve others meanwhile. Timer handlers allocate
    /// with `Depth::Atomic`, which never drains, so no handler interrupts a request with one of its
    /// own.
    fn barrier_on_every_cpu(&self) {
        fence(Ordering::SeqCst);
        ipi::call_others(|_, _| fence(Ordering::SeqCst), 0, 0);
        fence(Ordering::SeqCst);
    }

    fn wait_for_report(&self) -> bool {
        // The driver's lock is held while the host works, and a CPU that waits for it must answer
        // the requests of others.
        interrupts::are_enabled() && WAIT_FOR_REPORT.get().is_some_and(|wait| wait())
    }
}
