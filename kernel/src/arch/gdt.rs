//! Segments, and the stacks that interrupts switch to (IST).
//!
//! Every gate of the IDT names one of these stacks. The host's precompiled `core` keeps locals
//! below the stack pointer (the red zone), so a handler must never run on the interrupted stack.
//! Handlers run with interrupts masked, so one stack serves all interrupts of a CPU. An exception
//! can occur in a handler; page faults, after which the kernel continues, have a stack of their
//! own.

#![expect(unsafe_code, reason = "loads segment registers")]

use x86_64::instructions::segmentation::{CS, DS, ES, SS, Segment};
use x86_64::instructions::tables::load_tss;
use x86_64::registers::segmentation::SegmentSelector;
use x86_64::structures::gdt::{Descriptor, GlobalDescriptorTable};
use x86_64::structures::tss::TaskStateSegment;

use crate::arch::stack::Stack;
use crate::physical::early::EarlyMemory;

/// A stack that a gate can switch to.
#[derive(Clone, Copy, Debug)]
#[repr(u16)]
pub(crate) enum InterruptStack {
    /// Timer and interprocessor interrupts.
    Interrupt,
    /// Page faults: the interrupted code continues when a migration has finished.
    PageFault,
    /// Exceptions that end the kernel.
    Exception,
    /// An exception during the delivery of another one.
    DoubleFault,
    /// Non-maskable interrupts and machine checks.
    NonMaskable,
}

impl InterruptStack {
    const ALL: [Self; 5] =
        [Self::Interrupt, Self::PageFault, Self::Exception, Self::DoubleFault, Self::NonMaskable];

    /// Its index in the interrupt stack table, counted from 0.
    pub(crate) const fn index(self) -> u16 {
        self as u16
    }
}

const STACK_BYTES: usize = 32 * 1024;

/// The tables of one CPU, for as long as the kernel runs.
#[derive(Debug)]
pub(crate) struct Tables {
    gdt: GlobalDescriptorTable,
    code: SegmentSelector,
    data: SegmentSelector,
    tss: SegmentSelector,
}

impl Tables {
    /// Allocates tables and stacks for one CPU.
    pub(crate) fn new(memory: &mut EarlyMemory) -> &'static Self {
        let mut tss = TaskStateSegment::new();
        for stack in InterruptStack::ALL {
            let memory = Stack::new(memory.bytes(STACK_BYTES));
            tss.interrupt_stack_table[usize::from(stack.index())] = memory.top();
        }
        let tss: &'static _ = memory.place(tss);
        let mut gdt = GlobalDescriptorTable::new();
        let code = gdt.append(Descriptor::kernel_code_segment());
        let data = gdt.append(Descriptor::kernel_data_segment());
        let tss = gdt.append(Descriptor::tss_segment(tss));
        memory.place(Self { gdt, code, data, tss })
    }

    /// Loads the tables on this CPU.
    pub(crate) fn load(&'static self) {
        self.gdt.load();
        // SAFETY: the selector is that of a 64-bit code segment.
        unsafe { CS::set_reg(self.code) };
        // SAFETY: the selector is that of a data segment.
        unsafe { SS::set_reg(self.data) };
        // SAFETY: as above.
        unsafe { DS::set_reg(self.data) };
        // SAFETY: as above.
        unsafe { ES::set_reg(self.data) };
        // SAFETY: the selector is that of a TSS that is never freed and that no other CPU uses.
        unsafe { load_tss(self.tss) };
    }
}
