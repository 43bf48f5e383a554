//! The CPUs that allocators see: each thread is pinned to a processor and knows its number.

use std::cell::Cell;
use std::sync::{Once, OnceLock};

use rustix::thread::{self, CpuSet, MembarrierCommand};

/// The number of CPUs that allocators are configured for.
pub(crate) const CPUS: usize = 2;

thread_local! {
    static CURRENT: Cell<usize> = const { Cell::new(0) };
}

/// The number of this thread's CPU. It is one load relative to a segment register, as in a kernel.
#[inline(always)]
pub(crate) fn current() -> usize {
    CURRENT.get()
}

/// Makes this thread CPU `number`, on the processor that it is on.
pub(crate) fn become_cpu(number: usize) {
    assert!(number < CPUS);
    CURRENT.set(number);
}

/// Makes this thread CPU `number` and pins it to the `number`th processor that this process may
/// use.
///
/// Returns false if there are not so many processors.
pub(crate) fn pin(number: usize) -> bool {
    become_cpu(number);
    // The affinity before any thread was pinned: new threads inherit that of their parent.
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

/// Makes every thread of this process execute a full memory barrier, and waits until all have.
pub(crate) fn barrier_on_every_cpu() {
    static REGISTERED: Once = Once::new();
    REGISTERED.call_once(|| {
        thread::membarrier(MembarrierCommand::RegisterPrivateExpedited).expect("Linux 4.14 has membarrier");
    });
    thread::membarrier(MembarrierCommand::PrivateExpedited).expect("registered");
}
