//! The interrupt descriptor table: the stub and the stack of each vector.

#![expect(unsafe_code, reason = "installs handlers by address")]

use spin::Once;
use x86_64::VirtAddr;
use x86_64::structures::idt::{Entry, InterruptDescriptorTable};

use crate::arch::gdt::InterruptStack;
use crate::arch::trap_entry;

static IDT: Once<InterruptDescriptorTable> = Once::new();

/// Loads the table, which all CPUs share, on this CPU.
pub(crate) fn load() {
    IDT.call_once(build).load();
}

fn build() -> InterruptDescriptorTable {
    let mut idt = InterruptDescriptorTable::new();
    let fatal = InterruptStack::Exception;
    set(&mut idt.divide_error, 0, fatal);
    set(&mut idt.debug, 1, fatal);
    set(&mut idt.non_maskable_interrupt, 2, InterruptStack::NonMaskable);
    set(&mut idt.breakpoint, 3, fatal);
    set(&mut idt.overflow, 4, fatal);
    set(&mut idt.bound_range_exceeded, 5, fatal);
    set(&mut idt.invalid_opcode, 6, fatal);
    set(&mut idt.device_not_available, 7, fatal);
    set(&mut idt.double_fault, 8, InterruptStack::DoubleFault);
    set(&mut idt.invalid_tss, 10, fatal);
    set(&mut idt.segment_not_present, 11, fatal);
    set(&mut idt.stack_segment_fault, 12, fatal);
    set(&mut idt.general_protection_fault, 13, fatal);
    set(&mut idt.page_fault, 14, InterruptStack::PageFault);
    set(&mut idt.x87_floating_point, 16, fatal);
    set(&mut idt.alignment_check, 17, fatal);
    set(&mut idt.machine_check, 18, InterruptStack::NonMaskable);
    set(&mut idt.simd_floating_point, 19, fatal);
    set(&mut idt.virtualization, 20, fatal);
    set(&mut idt.cp_protection_exception, 21, fatal);
    set(&mut idt.hv_injection_exception, 28, fatal);
    set(&mut idt.vmm_communication_exception, 29, fatal);
    set(&mut idt.security_exception, 30, fatal);
    for vector in 32..=u8::MAX {
        set(&mut idt[vector], vector, InterruptStack::Interrupt);
    }
    idt
}

fn set<F>(entry: &mut Entry<F>, vector: u8, stack: InterruptStack) {
    let stub = VirtAddr::new(trap_entry::stub(vector) as u64);
    // SAFETY: the stub saves and restores all registers and returns with `iretq`.
    let options = unsafe { entry.set_handler_addr(stub) };
    // SAFETY: every CPU's TSS has that stack, and `InterruptStack` says which vectors use it.
    unsafe { options.set_stack_index(stack.index()) };
}
