//! The end of a kernel that went wrong: a panic, or an exception that nothing handles.
//!
//! Allocates nothing, waits for nobody for long, says what happened, and leaves.

use core::fmt;
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicBool, Ordering};

use pageblock_protocol::{ExitCode, Line, Place, Text};
use x86_64::VirtAddr;
use x86_64::instructions::{hlt, interrupts};

use crate::arch::qemu_exit;
use crate::arch::trap::TrapFrame;
use crate::{report, smp};

static DYING: AtomicBool = AtomicBool::new(false);

#[cfg_attr(feature = "image", panic_handler)]
fn panic(info: &PanicInfo<'_>) -> ! {
    let place = match info.location() {
        Some(location) => report::place(location),
        None => Place { file: "unknown", line: 0 },
    };
    let cpu = smp::current();
    die(ExitCode::Panicked, |say| {
        say(Line::Panic { place, message: Text::new(format_args!("{} ({cpu})", info.message())) });
    })
}

/// Ends the kernel because of an exception. `address` is what was accessed, if the CPU says so.
pub(crate) fn exception(name: &'static str, address: Option<VirtAddr>, frame: &TrapFrame) -> ! {
    let cpu = smp::current();
    let TrapFrame { error_code, rip, rsp, .. } = *frame;
    die(ExitCode::Faulted, |say| {
        let message = format_args!(
            "at {rip:#x} on {cpu}, error code {error_code:#x}, stack {rsp:#x}{}",
            Accessing(address)
        );
        say(Line::Fault { name, message: Text::new(message) });
    })
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

fn die(code: ExitCode, words: impl FnOnce(fn(Line<'_>))) -> ! {
    interrupts::disable();
    if DYING.swap(true, Ordering::AcqRel) {
        // Another CPU is at it, or this one is at it again. Only the first has something to say.
        stop();
    }
    words(report::last_words);
    qemu_exit::exit(code)
}

fn stop() -> ! {
    loop {
        hlt();
    }
}
