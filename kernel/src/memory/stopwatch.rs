//! A platform that measures for how long the allocator masks interrupts.

use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use pageblock::{CpuId, Platform};

use crate::time;

/// The nesting depth of the masks, and the TSC when the outermost one began.
static DEPTH: AtomicUsize = AtomicUsize::new(0);
static BEGAN: AtomicU64 = AtomicU64::new(0);
/// The longest time from an outermost mask to its end.
static LONGEST: AtomicU64 = AtomicU64::new(0);
/// The CPU that executes the calls, as the allocator is told.
static CPU: AtomicUsize = AtomicUsize::new(0);

/// The default access mode, on a machine with many CPUs of which one calls at a time. Interrupts
/// are not masked: the caller does that for the whole of a measured call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stopwatch;

impl Stopwatch {
    /// The number of CPUs of the machine.
    pub(crate) const CPUS: usize = 64;

    /// Makes the following calls those of this CPU.
    pub(crate) fn run_on(cpu: usize) {
        CPU.store(cpu, Ordering::Relaxed);
    }

    /// The longest time, in TSC cycles, for which interrupts were to be masked since the last call
    /// of this.
    pub(crate) fn take_longest() -> u64 {
        LONGEST.swap(0, Ordering::Relaxed)
    }
}

impl Platform for Stopwatch {
    fn current_cpu(&self) -> CpuId {
        CpuId::new(CPU.load(Ordering::Relaxed))
    }

    // Not inlined, so that the number of instructions between the two stamps is always the same.
    #[inline(never)]
    fn mask_interrupts(&self) -> usize {
        let depth = DEPTH.load(Ordering::Relaxed);
        DEPTH.store(depth + 1, Ordering::Relaxed);
        if depth == 0 {
            BEGAN.store(time::tsc(), Ordering::Relaxed);
        }
        depth
    }

    #[inline(never)]
    fn restore_interrupts(&self, previous: usize) {
        if previous == 0 {
            let masked = time::tsc() - BEGAN.load(Ordering::Relaxed);
            LONGEST.store(LONGEST.load(Ordering::Relaxed).max(masked), Ordering::Relaxed);
        }
        DEPTH.store(previous, Ordering::Relaxed);
    }
}
