//! The processors of this machine, as a kernel would see them: a thread is pinned to one and knows its number.
//!
//! Neighbours: the adapters of allocators with per-CPU parts ask [`current`]; the workload of two threads pins itself.

use std::cell::Cell;
use std::sync::{Once, OnceLock};

use rustix::thread::{self, CpuSet, MembarrierCommand};

/// The CPUs that allocators are told of.
pub(crate) const CPUS: usize = 2;

thread_local! {
    static CURRENT: Cell<usize> = const { Cell::new(0) };
}

/// The number of the CPU that this thread stands for. A kernel reads it from a register; this is one load off one.
#[inline(always)]
pub(crate) fn current() -> usize {
    CURRENT.get()
}

/// Makes this thread CPU `number`, and keeps it on the `number`th processor that this process may use. False if there are not so many.
pub(crate) fn pin(number: usize) -> bool {
    assert!(number < CPUS);
    CURRENT.set(number);
    // As it was before anyone was pinned: threads inherit.
    static ALLOWED: OnceLock<Vec<usize>> = OnceLock::new();
    let allowed = ALLOWED.get_or_init(|| match thread::sched_getaffinity(None) {
        Ok(allowed) => (0..CpuSet::MAX_CPU).filter(|&it| allowed.is_set(it)).collect(),
        Err(_) => Vec::new(),
    });
    let Some(&processor) = allowed.get(number) else {
        return false;
    };
    let mut one = CpuSet::new();
    one.set(processor);
    thread::sched_setaffinity(None, &one).is_ok()
}

/// Returns when every thread of this process has executed a full memory barrier.
pub(crate) fn barrier_on_every_cpu() {
    static REGISTERED: Once = Once::new();
    REGISTERED.call_once(|| {
        thread::membarrier(MembarrierCommand::RegisterPrivateExpedited).expect("Linux 4.14 has membarrier");
    });
    thread::membarrier(MembarrierCommand::PrivateExpedited).expect("registered");
}
