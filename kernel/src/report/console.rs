//! The console on COM1: protocol lines, and log text between them.
//!
//! A line is printed under one lock with interrupts masked, so lines of different CPUs never mix.
//! Only [`emergency_line`] breaks the lock, for the report of a panic, and begins a new line.

#![expect(unsafe_code, reason = "the report of a panic breaks a lock")]

use core::fmt::{self, Write};
use core::hint;
use core::panic::Location;

use log::{LevelFilter, Log, Metadata, Record};
use pageblock_protocol::{Line, LogText, Place};
use spin::Mutex;
use x86_64::instructions::interrupts::without_interrupts;

use crate::arch::percpu;
use crate::arch::serial::Serial;
use crate::time;

static OUTPUT: Mutex<Serial> = Mutex::new(Serial::closed());

/// Opens the port, and prints records of the `log` crate there.
pub(super) fn init() {
    *OUTPUT.lock() = Serial::open();
    // This fails only if a logger is installed already, which is the same one.
    let _ = log::set_logger(&Logger);
    log::set_max_level(LevelFilter::Info);
}

/// Prints a line of the protocol.
pub(crate) fn line(line: Line<'_>) {
    print(format_args!("{line}\n"));
}

/// The source location as the protocol has it, relative to the repository. The compiler's path of a
/// test case leads through the kernel's folder: `kernel/src/../../tests/..`.
pub(crate) fn place<'a>(location: &Location<'a>) -> Place<'a> {
    let file = location.file();
    let file = file.rsplit_once("../").map_or(file, |(_, file)| file);
    Place { file, line: location.line() }
}

/// Prints a line even if the console's lock is never released. Interrupts are masked.
pub(super) fn emergency_line(line: Line<'_>) {
    /// Long enough for another CPU to finish its line, if it still can.
    const TRIES: u32 = 10_000_000;
    for _ in 0..TRIES {
        if let Some(mut output) = OUTPUT.try_lock() {
            // If the port cannot be written to, nothing else can be done.
            let _ = writeln!(output, "{line}");
            return;
        }
        hint::spin_loop();
    }
    // SAFETY: the holder is this CPU, which panicked while printing, or a CPU that has stopped.
    unsafe { OUTPUT.force_unlock() };
    let _ = writeln!(OUTPUT.lock(), "\n{line}");
}

fn print(text: fmt::Arguments<'_>) {
    without_interrupts(|| {
        // The port does not fail.
        let _ = OUTPUT.lock().write_fmt(text);
    });
}

struct Logger;

impl Log for Logger {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let (level, cpu, us) = (record.level(), percpu::current().number(), time::now_us());
        let text = LogText {
            head: format_args!("{:3}.{:06} cpu {cpu} {level}", us / 1_000_000, us % 1_000_000),
            message: *record.args(),
        };
        print(format_args!("{text}\n"));
    }

    fn flush(&self) {}
}
