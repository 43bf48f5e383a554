//! Kernel stacks, and the detection of a stack overflow.
//!
//! Stacks lie in the direct map, where no guard page can be left out. Instead a word some way above
//! the end of a stack holds a known value, and every timer interrupt checks that it still does. The
//! memory below that word is the reserve in which an overflow is noticed before it does damage.

#![expect(unsafe_code, reason = "a word at the end of a stack")]

use core::mem::MaybeUninit;
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

use bootloader_api::BootInfo;
use pageblock::CpuId;
use x86_64::VirtAddr;

use crate::arch::percpu::{MAX_CPUS, current};

/// Bytes at the end of a stack that must stay unused.
const RESERVE: usize = 16 * 1024;
const UNTOUCHED: u64 = 0x7374_6163_6b20_656e;

/// By CPU: the word that is checked; null before there is one.
static GUARD_WORDS: [AtomicPtr<AtomicU64>; MAX_CPUS] = [const { AtomicPtr::new(ptr::null_mut()) }; MAX_CPUS];

/// Memory of a stack, for as long as the kernel runs.
///
/// # Invariants
///
/// It is writable, larger than the reserve, and used as a stack only, from its top down.
#[derive(Debug)]
pub(crate) struct Stack {
    start: *mut u8,
    bytes: usize,
}

impl Stack {
    /// A stack in `memory`.
    pub(crate) fn new(memory: &'static mut [MaybeUninit<u8>]) -> Self {
        assert!(memory.len() > RESERVE, "too small for a stack");
        // INVARIANT: the memory is borrowed permanently, and only for this.
        Self { start: memory.as_mut_ptr().cast(), bytes: memory.len() }
    }

    /// The stack on which the boot CPU was started.
    pub(crate) fn of_boot(boot_info: &BootInfo) -> Self {
        let start = ptr::with_exposed_provenance_mut(boot_info.kernel_stack_bottom as usize);
        // INVARIANT: by the boot protocol; the size is at least the requested one.
        Self { start, bytes: boot_info.kernel_stack_len as usize }
    }

    /// The initial stack pointer.
    pub(crate) fn top(&self) -> VirtAddr {
        VirtAddr::from_ptr(self.start.wrapping_add(self.bytes))
    }
}

/// Has every timer interrupt of `cpu` check `stack` for an overflow.
pub(crate) fn watch(cpu: CpuId, stack: &Stack) {
    let word: *mut AtomicU64 = stack.start.wrapping_add(RESERVE).cast();
    // SAFETY: within the stack and not in use, by the invariants of `Stack`.
    unsafe { word.write(AtomicU64::new(UNTOUCHED)) };
    GUARD_WORDS[cpu.number()].store(word, Ordering::Release);
}

/// Panics if the stack of this CPU's task has overflowed into the reserve.
pub(crate) fn check() {
    let word = GUARD_WORDS[current().number()].load(Ordering::Acquire);
    // SAFETY: null, or a word of a stack that `watch` stored; stacks are never freed.
    let found = unsafe { word.as_ref() }.map_or(UNTOUCHED, |word| word.load(Ordering::Relaxed));
    assert!(found == UNTOUCHED, "the stack is used up");
}
