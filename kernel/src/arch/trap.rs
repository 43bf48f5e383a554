//! Exceptions and interrupts: calls the handler that is registered.
//!
//! Higher parts of the kernel register what they handle, so that this file imports none of them:
//! interrupts with [`register`], page faults with [`set_fault_hook`], and the report of all other
//! exceptions with [`set_unhandled_hook`]. The assembly in `trap_entry` calls [`dispatch`].

use pageblock_protocol::ExitCode;
use x86_64::VirtAddr;
use x86_64::registers::control::Cr2;
use x86_64::structures::idt::PageFaultErrorCode;

use crate::arch::qemu_exit;
use crate::sync::Hook;

/// The interrupt vectors that this kernel uses. A higher number has a higher priority.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Vector {
    /// The periodic timer of every CPU.
    Timer = 0x40,
    /// An interprocessor interrupt (IPI).
    Ipi = 0x50,
    /// A spurious interrupt of the local APIC, which needs no handling.
    Spurious = 0xff,
}

impl Vector {
    /// Its index in the IDT.
    pub(crate) const fn number(self) -> u8 {
        self as u8
    }
}

/// The registers of the interrupted code.
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
    /// The error code of an exception; 0 if it has none.
    pub(crate) error_code: u64,
    pub(crate) rip: u64,
    cs: u64,
    rflags: u64,
    pub(crate) rsp: u64,
    ss: u64,
}

static HANDLERS: [Hook<fn()>; 256] = [const { Hook::empty() }; 256];
static FAULT_HOOK: Hook<FaultHook> = Hook::empty();
static UNHANDLED_HOOK: Hook<UnhandledHook> = Hook::empty();

/// Has `handler` called for the interrupts of `vector`, with interrupts masked.
pub(crate) fn register(vector: Vector, handler: fn()) {
    HANDLERS[usize::from(vector.number())].replace(Some(handler));
}

/// What the fault hook did about a page fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FaultOutcome {
    /// The access can be tried again.
    Handled,
    /// The access is an error.
    Unhandled,
}

/// Handles page faults, with interrupts masked. It must not wait for another CPU: it may return
/// after a while and have the access tried again.
pub(crate) type FaultHook = fn(VirtAddr, PageFaultErrorCode) -> FaultOutcome;

/// Installs `hook` for all CPUs. Returns the previous one.
pub(crate) fn set_fault_hook(hook: Option<FaultHook>) -> Option<FaultHook> {
    FAULT_HOOK.replace(hook)
}

/// Reports an exception by its name, with the accessed address if the CPU gives one.
pub(crate) type UnhandledHook = fn(&'static str, Option<VirtAddr>, &TrapFrame) -> !;

/// Installs the function that ends the kernel after an exception that nothing handles.
pub(crate) fn set_unhandled_hook(hook: UnhandledHook) {
    UNHANDLED_HOOK.replace(Some(hook));
}

/// Handles the exception or interrupt that `frame` describes, with interrupts masked.
pub(super) extern "C" fn dispatch(frame: &mut TrapFrame) {
    const PAGE_FAULT: usize = 14;
    match frame.vector as usize {
        PAGE_FAULT => page_fault(frame),
        exception @ 0..32 => unhandled(name(exception), None, frame),
        vector => match HANDLERS[vector].get() {
            Some(handler) => handler(),
            None => panic!("interrupt {vector:#x} has no handler"),
        },
    }
}

fn page_fault(frame: &TrapFrame) {
    let Ok(address) = Cr2::read() else { unhandled("page-fault", None, frame) };
    let code = PageFaultErrorCode::from_bits_truncate(frame.error_code);
    let outcome = FAULT_HOOK.get().map_or(FaultOutcome::Unhandled, |hook| hook(address, code));
    if outcome == FaultOutcome::Unhandled {
        unhandled("page-fault", Some(address), frame);
    }
}

fn unhandled(name: &'static str, address: Option<VirtAddr>, frame: &TrapFrame) -> ! {
    match UNHANDLED_HOOK.get() {
        Some(hook) => hook(name, address, frame),
        None => qemu_exit::exit(ExitCode::Faulted),
    }
}

fn name(exception: usize) -> &'static str {
    EXCEPTIONS.split(' ').nth(exception).unwrap_or("exception")
}

/// The names of the exceptions, by vector.
const EXCEPTIONS: &str = "\
    divide-error debug non-maskable-interrupt breakpoint overflow bound-range-exceeded \
    invalid-opcode device-not-available double-fault exception-9 invalid-tss segment-not-present \
    stack-segment-fault general-protection-fault page-fault exception-15 x87-floating-point \
    alignment-check machine-check simd-floating-point virtualization control-protection \
    exception-22 exception-23 exception-24 exception-25 exception-26 exception-27 \
    hypervisor-injection vmm-communication security exception-31";
