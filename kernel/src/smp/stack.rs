//! Stacks, and the notice that a task runs out of one.
//!
//! Stacks lie in the mapping of all physical memory, where no guard page can be left out. Instead a
//! word some way above a stack's end has a known value, and every timer interrupt looks whether it
//! still has. What is below that word is the room to notice in.

#![expect(unsafe_code, reason = "a word at the end of a stack")]

use core::mem::MaybeUninit;
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

use bootloader_api::BootInfo;
use x86_64::VirtAddr;

use super::CpuId;
use super::percpu;

/// Bytes of a stack that nobody should get to.
const RESERVE: usize = 16 * 1024;
const UNTOUCHED: u64 = 0x7374_6163_6b20_656e;

/// Memory that a CPU's stack is in, for good.
///
/// # Invariants
///
/// It is writable, larger than the reserve, and nothing but a stack; what is in use of it is at its top.
#[derive(Debug)]
pub(crate) struct Stack {
    start: *mut u8,
    bytes: usize,
}

impl Stack {
    /// A stack in that memory.
    pub(crate) fn new(memory: &'static mut [MaybeUninit<u8>]) -> Self {
        assert!(memory.len() > RESERVE, "too small for a stack");
        // INVARIANT: the memory is borrowed for good, and only for this.
        Self { start: memory.as_mut_ptr().cast(), bytes: memory.len() }
    }

    /// The stack that this CPU was booted on.
    pub(crate) fn of_boot(boot_info: &BootInfo) -> Self {
        let start = ptr::with_exposed_provenance_mut(boot_info.kernel_stack_bottom as usize);
        // INVARIANT: by the boot protocol; the size is what we asked for, or more.
        Self { start, bytes: boot_info.kernel_stack_len as usize }
    }

    /// Where an empty stack starts to grow down from.
    pub(crate) fn top(&self) -> VirtAddr {
        VirtAddr::from_ptr(self.start.wrapping_add(self.bytes))
    }
}

/// The word to look at; null before there is one.
#[derive(Debug)]
pub(crate) struct StackEnd(AtomicPtr<AtomicU64>);

impl StackEnd {
    pub(super) const fn unknown() -> Self {
        Self(AtomicPtr::new(ptr::null_mut()))
    }
}

/// From now on that CPU looks whether its stack is used up.
pub(crate) fn watch(cpu: CpuId, stack: &Stack) {
    let word: *mut AtomicU64 = stack.start.wrapping_add(RESERVE).cast();
    // SAFETY: within the stack and not in use, by the invariants of `Stack`.
    unsafe { word.write(AtomicU64::new(UNTOUCHED)) };
    percpu::of(cpu).stack_end.0.store(word, Ordering::Release);
}

/// Panics if the stack of this CPU's task is used up.
pub(crate) fn check() {
    let word = percpu::own().stack_end.0.load(Ordering::Acquire);
    // SAFETY: null, or what `watch` stored: a word of a stack, which stays for good.
    let found = unsafe { word.as_ref() }.map_or(UNTOUCHED, |word| word.load(Ordering::Relaxed));
    assert!(found == UNTOUCHED, "the stack is used up");
}
