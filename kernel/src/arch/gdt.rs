//! Segments, and the stacks that interrupts switch to.
//!
//! Every gate of the IDT names one of these stacks. The host's precompiled `core` keeps locals below
//! the stack pointer (the red zone), so an interrupt must never go on using the interrupted stack.
//! Handlers run with interrupts masked, so one stack serves all interrupts of a CPU. Exceptions can
//! hit a handler; those that can be survived have a stack that no interrupt uses.

#![expect(unsafe_code, reason = "loads segment registers")]

use x86_64::instructions::segmentation::{CS, DS, ES, SS, Segment};
use x86_64::instructions::tables::load_tss;
use x86_64::registers::segmentation::SegmentSelector;
use x86_64::structures::gdt::{Descriptor, GlobalDescriptorTable};
use x86_64::structures::tss::TaskStateSegment;

use crate::memory::early::EarlyMemory;
use crate::smp::stack::Stack;

/// One of the stacks that a gate can switch to.
#[derive(Clone, Copy, Debug)]
#[repr(u16)]
pub(crate) enum InterruptStack {
    /// Timer and interprocessor interrupts.
    Interrupt,
    /// Page faults, which go on after a migration.
    PageFault,
    /// Exceptions that end the kernel.
    Exception,
    /// The exception on top of an exception.
    DoubleFault,
    /// Non-maskable interrupts and machine checks.
    NonMaskable,
}

impl InterruptStack {
    const ALL: [Self; 5] =
        [Self::Interrupt, Self::PageFault, Self::Exception, Self::DoubleFault, Self::NonMaskable];

    /// The number that gates use, counted from 0.
    pub(crate) const fn index(self) -> u16 {
        self as u16
    }
}

const STACK_BYTES: usize = 32 * 1024;

/// The tables of one CPU, which it goes on using for good.
#[derive(Debug)]
pub(crate) struct Tables {
    gdt: GlobalDescriptorTable,
    code: SegmentSelector,
    data: SegmentSelector,
    tss: SegmentSelector,
}

impl Tables {
    /// Tables and stacks for one CPU.
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

    /// Makes this CPU use them.
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
        // SAFETY: the selector is that of a TSS that lives for good and that no other CPU uses.
        unsafe { load_tss(self.tss) };
    }
}
