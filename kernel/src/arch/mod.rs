//! The machine: one device or CPU facility per file.
//!
//! | file | what |
//! |---|---|
//! | `acpi` | which CPUs there are, from the MADT |
//! | `apic` | the local interrupt controller: IPIs and the timer |
//! | `gdt` | segments, and the stacks that interrupts switch to |
//! | `idt` | which vector goes where |
//! | `pic` | the old interrupt controller, silenced |
//! | `pit` | the one clock of known frequency |
//! | `qemu_exit` | the way out |
//! | `serial` | COM1 |
//! | `trap` | every exception and interrupt arrives here |

pub(crate) mod acpi;
pub(crate) mod apic;
pub(crate) mod gdt;
pub(crate) mod hook;
pub(crate) mod idt;
pub(crate) mod pic;
pub(crate) mod pit;
pub(crate) mod qemu_exit;
pub(crate) mod serial;
pub(crate) mod trap;

pub(crate) use trap::{FaultOutcome, set_fault_hook};
