//! Runs a function on every CPU, as its task with interrupts enabled.
//!
//! The boot CPU starts it. All other CPUs idle in between.

#![expect(unsafe_code, reason = "lends a closure on one CPU's stack to the others")]

use core::fmt;
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

use pageblock::CpuId;
use x86_64::instructions::interrupts;

use crate::arch::percpu::{all, cpu_count, current};
use crate::smp::ipi;

/// A function that every CPU runs once.
struct Task<'a> {
    body: &'a (dyn Fn(CpuId) + Sync),
    unfinished: AtomicUsize,
}

impl fmt::Debug for Task<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Task").field(&self.unfinished).finish()
    }
}

/// The current task, or the last one.
static TASK: AtomicPtr<Task<'static>> = AtomicPtr::new(ptr::null_mut());
/// The number of tasks started so far.
static GENERATION: AtomicUsize = AtomicUsize::new(0);

/// Runs `body` on every CPU, this one included, and returns when all have returned from it.
///
/// Only the boot CPU's own task may call this: neither an interrupt handler nor `body`.
pub(crate) fn run_on_all(body: impl Fn(CpuId) + Sync) {
    assert_eq!(current(), CpuId::BOOT, "only the boot CPU starts tasks");
    let task = Task { body: &body, unfinished: AtomicUsize::new(cpu_count()) };
    TASK.store((&raw const task).cast_mut().cast(), Ordering::Relaxed);
    // Release: pairs with the Acquire in `idle`, which then reads the task.
    GENERATION.fetch_add(1, Ordering::Release);
    all().filter(|&cpu| cpu != CpuId::BOOT).for_each(ipi::wake);

    body(CpuId::BOOT);
    task.unfinished.fetch_sub(1, Ordering::Relaxed);
    // Acquire: pairs with the Release in `run`. At 0, no CPU uses `task` any more.
    wait_until(|| task.unfinished.load(Ordering::Acquire) == 0);
}

/// The idle loop of every CPU but the boot CPU: waits for a task and runs it.
pub(super) fn idle() -> ! {
    let mut done = 0;
    loop {
        wait_until(|| GENERATION.load(Ordering::Acquire) != done);
        done += 1;
        run();
    }
}

fn run() {
    let task = TASK.load(Ordering::Relaxed);
    // SAFETY: `run_on_all` keeps the task until this CPU has decremented `unfinished` below.
    let task = unsafe { &*task };
    (task.body)(current());
    // Release: pairs with the Acquire in `run_on_all`. The task may be gone after this.
    if task.unfinished.fetch_sub(1, Ordering::Release) == 1 {
        ipi::wake(CpuId::BOOT);
    }
}

/// Halts until an interrupt makes `condition` true.
fn wait_until(condition: impl Fn() -> bool) {
    loop {
        // Masked from the test to the `hlt`, so that the wake-up cannot come in between unnoticed.
        interrupts::disable();
        if condition() {
            interrupts::enable();
            return;
        }
        interrupts::enable_and_hlt();
    }
}
