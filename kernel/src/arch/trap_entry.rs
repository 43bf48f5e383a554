//! The assembly entry of exceptions and interrupts.
//!
//! Each of the 256 vectors has a stub that pushes its number and joins the common entry. That saves
//! all registers, SSE state included, because the precompiled `core` uses SSE in handlers too, and
//! calls [`dispatch`](crate::arch::trap::dispatch) with a `TrapFrame`. The IDT chooses the stacks.
//! Interrupts stay masked until `iretq`.

#![expect(unsafe_code, reason = "assembly")]

#[cfg(feature = "image")]
use core::arch::global_asm;

#[cfg(feature = "image")]
use crate::arch::trap::dispatch;

const STUB_BYTES: usize = 16;

#[cfg(feature = "image")]
global_asm!(
    ".balign 16",
    ".global trap_stubs",
    "trap_stubs:",
    ".set trap_vector, 0",
    ".rept 256",
    ".balign {stub_bytes}",
    // The exceptions for which the CPU pushes no error code get one here.
    ".if (trap_vector != 8) && ((trap_vector < 10) || (trap_vector > 14)) && (trap_vector != 17) \
     && (trap_vector != 21) && (trap_vector != 29) && (trap_vector != 30)",
    "pushq $0",
    ".endif",
    "pushq $trap_vector",
    "jmp trap_entry",
    ".set trap_vector, trap_vector + 1",
    ".endr",
    "trap_entry:",
    ".irp register, rax, rbx, rcx, rdx, rsi, rdi, rbp, r8, r9, r10, r11, r12, r13, r14, r15",
    "pushq %\\register",
    ".endr",
    "cld",
    "movq %rsp, %rdi",
    "movq %rsp, %rbx",
    "subq $512, %rsp",
    "andq $-16, %rsp",
    "fxsave64 (%rsp)",
    "call {dispatch}",
    "fxrstor64 (%rsp)",
    "movq %rbx, %rsp",
    ".irp register, r15, r14, r13, r12, r11, r10, r9, r8, rbp, rdi, rsi, rdx, rcx, rbx, rax",
    "popq %\\register",
    ".endr",
    "addq $16, %rsp", // vector and error code
    "iretq",
    stub_bytes = const STUB_BYTES,
    dispatch = sym dispatch,
    options(att_syntax),
);

unsafe extern "C" {
    static trap_stubs: u8;
}

/// The address of the stub of `vector`.
pub(super) fn stub(vector: u8) -> usize {
    (&raw const trap_stubs).addr() + usize::from(vector) * STUB_BYTES
}
