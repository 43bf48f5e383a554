//! Where every exception and interrupt arrives.
//!
//! Each of the 256 vectors has a stub that pushes its number and joins the common entry, which saves
//! all registers, SSE state included, because the precompiled `core` uses it in handlers too.
//! [`super::gdt`] says on which stacks this happens. Interrupts stay masked until `iretq`.

#![expect(unsafe_code, reason = "assembly entry")]

#[cfg(feature = "image")]
use core::arch::global_asm;

use x86_64::VirtAddr;
use x86_64::registers::control::Cr2;
use x86_64::structures::idt::PageFaultErrorCode;

use super::apic;
use super::hook::Hook;
use crate::{oops, smp, time};

/// The vectors that this kernel uses. Higher is more urgent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Vector {
    /// Every CPU's own periodic timer.
    Timer = 0x40,
    /// Another CPU asks for something, see [`smp::ipi`].
    Request = 0x50,
    /// The local APIC changed its mind.
    Spurious = 0xff,
}

impl Vector {
    /// Its place in the IDT.
    pub(crate) const fn number(self) -> u8 {
        self as u8
    }
}

/// The registers of what was interrupted.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct TrapFrame {
    r15: u64,
    r14: u64,
    r13: u64,
    r12: u64,
    r11: u64,
    r10: u64,
    r9: u64,
    r8: u64,
    rbp: u64,
    rdi: u64,
    rsi: u64,
    rdx: u64,
    rcx: u64,
    rbx: u64,
    rax: u64,
    vector: u64,
    /// What the CPU says about an exception; 0 where it says nothing.
    pub(crate) error_code: u64,
    pub(crate) rip: u64,
    cs: u64,
    rflags: u64,
    pub(crate) rsp: u64,
    ss: u64,
}

/// What a fault hook did about a page fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FaultOutcome {
    /// The access can be tried again.
    Handled,
    /// It was a mistake.
    Unhandled,
}

/// Looks at a page fault before it becomes an oops. Runs with interrupts masked and must not wait for
/// another CPU: it may let time pass and have the access tried again.
pub(crate) type FaultHook = fn(VirtAddr, PageFaultErrorCode) -> FaultOutcome;

static FAULT_HOOK: Hook<FaultHook> = Hook::empty();

/// Installs `hook` for all CPUs, and returns the one before.
pub(crate) fn set_fault_hook(hook: Option<FaultHook>) -> Option<FaultHook> {
    FAULT_HOOK.replace(hook)
}

const STUB_BYTES: usize = 16;

#[cfg(feature = "image")]
global_asm!(
    ".balign 16",
    ".global trap_stubs",
    "trap_stubs:",
    ".set trap_vector, 0",
    ".rept 256",
    ".balign {stub_bytes}",
    // Some exceptions push an error code; the others get one here.
    ".if (trap_vector != 8) && ((trap_vector < 10) || (trap_vector > 14)) && (trap_vector != 17) && (trap_vector != 21) && (trap_vector != 29) && (trap_vector != 30)",
    "pushq $0",
    ".endif",
    "pushq $trap_vector",
    "jmp trap_entry",
    ".set trap_vector, trap_vector + 1",
    ".endr",
    "trap_entry:",
    "pushq %rax",
    "pushq %rbx",
    "pushq %rcx",
    "pushq %rdx",
    "pushq %rsi",
    "pushq %rdi",
    "pushq %rbp",
    "pushq %r8",
    "pushq %r9",
    "pushq %r10",
    "pushq %r11",
    "pushq %r12",
    "pushq %r13",
    "pushq %r14",
    "pushq %r15",
    "cld",
    "movq %rsp, %rdi",
    "movq %rsp, %rbx",
    "subq $512, %rsp",
    "andq $-16, %rsp",
    "fxsave64 (%rsp)",
    "call {dispatch}",
    "fxrstor64 (%rsp)",
    "movq %rbx, %rsp",
    "popq %r15",
    "popq %r14",
    "popq %r13",
    "popq %r12",
    "popq %r11",
    "popq %r10",
    "popq %r9",
    "popq %r8",
    "popq %rbp",
    "popq %rdi",
    "popq %rsi",
    "popq %rdx",
    "popq %rcx",
    "popq %rbx",
    "popq %rax",
    "addq $16, %rsp", // vector and error code
    "iretq",
    stub_bytes = const STUB_BYTES,
    dispatch = sym dispatch,
    options(att_syntax),
);

unsafe extern "C" {
    static trap_stubs: u8;
}

/// The address of a vector's stub.
pub(super) fn stub(vector: u8) -> usize {
    (&raw const trap_stubs).addr() + usize::from(vector) * STUB_BYTES
}

extern "C" fn dispatch(frame: &mut TrapFrame) {
    const TIMER: u64 = Vector::Timer as u64;
    const REQUEST: u64 = Vector::Request as u64;
    const SPURIOUS: u64 = Vector::Spurious as u64;
    const PAGE_FAULT: u64 = 14;
    match frame.vector {
        TIMER => {
            apic::end_of_interrupt();
            time::tick();
        }
        REQUEST => {
            apic::end_of_interrupt();
            smp::ipi::serve();
        }
        SPURIOUS => {}
        PAGE_FAULT => page_fault(frame),
        exception @ 0..32 => oops::exception(EXCEPTIONS[exception as usize], None, frame),
        unknown => panic!("interrupt {unknown:#x} came, which nothing should send"),
    }
}

fn page_fault(frame: &TrapFrame) {
    let Ok(address) = Cr2::read() else {
        oops::exception("page-fault", None, frame);
    };
    let code = PageFaultErrorCode::from_bits_truncate(frame.error_code);
    let outcome = FAULT_HOOK.get().map_or(FaultOutcome::Unhandled, |hook| hook(address, code));
    if outcome == FaultOutcome::Unhandled {
        oops::exception("page-fault", Some(address), frame);
    }
}

static EXCEPTIONS: [&str; 32] = [
    "divide-error",
    "debug",
    "non-maskable-interrupt",
    "breakpoint",
    "overflow",
    "bound-range-exceeded",
    "invalid-opcode",
    "device-not-available",
    "double-fault",
    "exception-9",
    "invalid-tss",
    "segment-not-present",
    "stack-segment-fault",
    "general-protection-fault",
    "page-fault",
    "exception-15",
    "x87-floating-point",
    "alignment-check",
    "machine-check",
    "simd-floating-point",
    "virtualization",
    "control-protection",
    "exception-22",
    "exception-23",
    "exception-24",
    "exception-25",
    "exception-26",
    "exception-27",
    "hypervisor-injection",
    "vmm-communication",
    "security",
    "exception-31",
];
