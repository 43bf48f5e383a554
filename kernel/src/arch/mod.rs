//! The CPU and the devices: one facility per file.
//!
//! | file | what |
//! |---|---|
//! | `acpi` | which CPUs the firmware lists in the MADT |
//! | `apic` | the local APIC: interprocessor interrupts and the timer |
//! | `display` | the framebuffer of QEMU's display device |
//! | `gdt` | segments, and the stacks that interrupts switch to |
//! | `idt` | the table of the 256 vectors |
//! | `percpu` | data of each CPU, found through GS |
//! | `pic` | the legacy interrupt controllers, which stay masked |
//! | `qemu_exit` | the device that ends QEMU |
//! | `serial` | COM1 |
//! | `stack` | kernel stacks and the check for an overflow |
//! | `tick` | the periodic timer interrupt |
//! | `trap` | exceptions and interrupts, and the handlers that are registered for them |
//! | `trap_entry` | their assembly entry |

pub(crate) mod acpi;
pub(crate) mod apic;
pub(crate) mod display;
pub(crate) mod gdt;
pub(crate) mod idt;
pub(crate) mod percpu;
pub(crate) mod pic;
pub(crate) mod qemu_exit;
pub(crate) mod serial;
pub(crate) mod stack;
pub(crate) mod tick;
pub(crate) mod trap;
mod trap_entry;
