//! The report of a panic or of an unhandled exception, which ends the kernel.
//!
//! It allocates nothing and waits for no other CPU for long.

use core::fmt;
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicBool, Ordering};

use pageblock_protocol::{ExitCode, Line, Place, Text};
use x86_64::VirtAddr;
use x86_64::instructions::{hlt, interrupts};

use crate::arch::trap::TrapFrame;
use crate::arch::{percpu, qemu_exit};
use crate::report::console::{emergency_line, place};
use crate::report::events;

#[cfg_attr(feature = "image", panic_handler)]
fn panic(info: &PanicInfo<'_>) -> ! {
    let place = match info.location() {
        Some(location) => place(location),
        None => Place { file: "unknown", line: 0 },
    };
    let cpu = percpu::current();
    let message = format_args!("{} ({cpu})", info.message());
    end(ExitCode::Panicked, Line::Panic { place, message: Text::new(message) })
}

/// Reports an exception by its name and ends the kernel. `address` is the accessed one, if known.
pub(super) fn unhandled_exception(name: &'static str, address: Option<VirtAddr>, frame: &TrapFrame) -> ! {
    let cpu = percpu::current();
    let TrapFrame { error_code, rip, rsp, .. } = *frame;
    let accessing = Accessing(address);
    let message = format_args!("at {rip:#x} on {cpu}, error code {error_code:#x}, stack {rsp:#x}{accessing}");
    end(ExitCode::Faulted, Line::Fault { name, message: Text::new(message) })
}

struct Accessing(Option<VirtAddr>);

impl fmt::Display for Accessing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(address) => write!(f, ", accessing {:#x}", address.as_u64()),
            None => Ok(()),
        }
    }
}

/// Prints `line` and ends QEMU, unless a report has begun already: only the first one is printed.
fn end(code: ExitCode, line: Line<'_>) -> ! {
    static REPORTED: AtomicBool = AtomicBool::new(false);
    interrupts::disable();
    if REPORTED.swap(true, Ordering::AcqRel) {
        loop {
            hlt();
        }
    }
    emergency_line(line);
    events::report(emergency_line);
    qemu_exit::exit(code)
}
