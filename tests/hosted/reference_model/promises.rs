//! What a machine of this test promises with `unsafe`: memory that exists, and CPUs that never
//! access the pcplists of another one.

#![expect(unsafe_code, reason = "frames that exist are written, and pcplists have no lock")]

use std::cell::Cell;

use pageblock::{CpuId, PAGE_SIZE, PcpAccess, PfnRange, Platform, Tuning};

use crate::support::Threads;

/// CPUs whose pcplists have no lock. One thread is all of them, one after the other.
#[derive(Debug)]
pub(crate) struct OwnerOnly {
    pub(crate) cpus: usize,
}

impl Platform for OwnerOnly {
    // SAFETY: the number of the CPU is below `cpus`, only one thread calls the allocator, nothing
    // interrupts it, and so a barrier has no effect.
    const PCP_ACCESS: PcpAccess<Self> = unsafe { PcpAccess::owner_only(|machine| machine.cpus) };

    fn current_cpu(&self) -> CpuId {
        Threads.current_cpu()
    }
}

/// CPUs that take turns: another one may call the allocator after each lock hold of a call.
#[derive(Default)]
pub(crate) struct Interleaved {
    /// How many masks have not been restored.
    masks: Cell<usize>,
    /// What is called after each lock hold.
    other: Cell<Option<*const dyn Fn()>>,
}

impl Interleaved {
    /// Runs `step`, and `other` after each of its lock holds.
    pub(super) fn run(&self, other: &dyn Fn(), step: impl FnOnce()) {
        // SAFETY: only the lifetime changes, and the pointer is given up before it ends.
        let other = unsafe { std::mem::transmute::<*const dyn Fn(), *const (dyn Fn() + 'static)>(other) };
        self.other.set(Some(other));
        let _end = SetToNone(&self.other);
        step();
    }
}

/// Sets a cell to `None` when it is dropped, by a panic too.
struct SetToNone<'a, T>(&'a Cell<Option<T>>);

impl<T> Drop for SetToNone<'_, T> {
    fn drop(&mut self) {
        self.0.set(None);
    }
}

impl Platform for Interleaved {
    fn current_cpu(&self) -> CpuId {
        Threads.current_cpu()
    }

    fn mask_interrupts(&self) -> usize {
        self.masks.replace(self.masks.get() + 1)
    }

    fn restore_interrupts(&self, masks: usize) {
        self.masks.set(masks);
        if let Some(other) = self.other.get().filter(|_| masks == 0) {
            // SAFETY: `run` has not returned, so that the reference that it was given is valid.
            unsafe { (*other)() };
        }
    }
}

/// The frames from 0 up to some number, which exist.
#[derive(Debug)]
pub(super) struct Mapped {
    words: usize,
    start: *mut u64,
    /// What `start` points to. Only accessed through that.
    _memory: Vec<u64>,
}

impl Mapped {
    const WORDS: usize = PAGE_SIZE as usize / 8;

    pub(super) fn new(frames: usize) -> Self {
        let mut memory = vec![0; frames * Self::WORDS];
        Self { words: memory.len(), start: memory.as_mut_ptr(), _memory: memory }
    }

    /// Fills freed pages, and looks at them when they are allocated.
    pub(super) fn poisoned(&self, tuning: Tuning) -> Tuning {
        // SAFETY: the machine has no memory above these frames, which outlive it. No code of the
        // test reads them.
        unsafe { tuning.poison_at(self.start.expose_provenance() as u64) }
    }

    /// Their user writes them.
    pub(super) fn write(&self, frames: PfnRange) {
        for pfn in frames.iter() {
            let word = pfn.number() * Self::WORDS + pfn.number() % Self::WORDS;
            assert!(word < self.words, "{pfn} does not exist");
            // SAFETY: it is one of the words, and nobody has a reference to them.
            unsafe { self.start.wrapping_add(word).write(0x5e1f) };
        }
    }
}
