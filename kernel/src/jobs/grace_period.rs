//! Grace periods: the time until every CPU has begun another step (RCU of Linux).
//!
//! A call of the allocator begins and ends within one step of a task, or in an interrupt handler
//! that returns within it. So when every CPU has begun another step, all calls that were running
//! have returned. **Why a step that begins later does not see what was there before:** the CPU
//! counts the step and then executes a fence, and the one that waits executes a fence and then
//! reads the count. If it reads a count without that step, its own stores come before the fence of
//! the CPU, and the step sees them.

use core::sync::atomic::{AtomicU64, Ordering, fence};

use crate::smp::{self, MAX_CPUS};

/// The steps that each CPU has begun.
static BEGUN: [AtomicU64; MAX_CPUS] = [const { AtomicU64::new(0) }; MAX_CPUS];

/// This CPU is in no step and is about to begin one, or to look for one.
pub(super) fn note_step() {
    // Release: what the last step did happens before a grace period that ends with this.
    BEGUN[smp::current().number()].fetch_add(1, Ordering::Release);
    fence(Ordering::SeqCst);
}

/// A grace period that has begun, and may be over.
#[derive(Debug)]
pub(crate) struct GracePeriod([u64; MAX_CPUS]);

impl GracePeriod {
    /// Begins one, in a step of a task.
    pub(crate) fn begin() -> Self {
        fence(Ordering::SeqCst);
        Self(core::array::from_fn(|cpu| BEGUN[cpu].load(Ordering::Relaxed)))
    }

    /// Whether it is over. True at the earliest in a later step of the task that began it.
    pub(crate) fn is_over(&self) -> bool {
        let begun = BEGUN.iter().take(smp::cpu_count());
        begun.zip(self.0).all(|(begun, before)| begun.load(Ordering::Acquire) > before)
    }
}
