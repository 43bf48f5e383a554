//! What the allocator asks of this kernel: all the glue there is.

use pageblock::{CpuId, Platform};
use x86_64::instructions::interrupts;

use crate::smp;

/// The machine that this kernel runs on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ThisMachine;

impl Platform for ThisMachine {
    #[inline]
    fn current_cpu(&self) -> CpuId {
        smp::current()
    }

    #[inline]
    fn without_interrupts<R>(&self, f: impl FnOnce() -> R) -> R {
        interrupts::without_interrupts(f)
    }
}
