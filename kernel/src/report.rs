//! What the kernel says on COM1: protocol lines, and log text between them.
//!
//! A line is printed under one lock with interrupts masked, so lines of different CPUs never mix. Only
//! the [`last_words`] of a dying kernel break the lock, and start a line of their own.

#![expect(unsafe_code, reason = "a dying kernel breaks a lock")]

use core::fmt::{self, Write};
use core::hint;
use core::panic::Location;

use log::{LevelFilter, Log, Metadata, Record};
use pageblock_protocol::{Line, LogText, Place, VERSION};
use spin::Mutex;
use x86_64::instructions::interrupts::without_interrupts;

use crate::arch::serial::Serial;
use crate::{memory, smp, time};

static OUTPUT: Mutex<Serial> = Mutex::new(Serial::closed());

/// Opens the port, and sends what the `log` crate gets there.
pub(crate) fn init() {
    *OUTPUT.lock() = Serial::open();
    // Refused only if there is a logger already, and then there is nothing to do.
    let _ = log::set_logger(&Logger);
    log::set_max_level(LevelFilter::Info);
}

/// Says that the kernel is up.
pub(crate) fn hello() {
    let (cpus, memory_mib) = (smp::cpu_count() as u32, memory::managed_bytes() >> 20);
    line(Line::Hello { version: VERSION, cpus, memory_mib });
}

/// Says a line of the protocol.
pub(crate) fn line(line: Line<'_>) {
    print(format_args!("{line}\n"));
}

/// Where that is in the sources. The compiler names a test case by the way that it took there,
/// `kernel/src/../../tests/..`.
pub(crate) fn place<'a>(location: &Location<'a>) -> Place<'a> {
    let file = location.file();
    let file = file.rsplit_once("../").map_or(file, |(_, file)| file);
    Place { file, line: location.line() }
}

/// Says a line of the protocol whatever state the kernel is in. Interrupts are masked.
pub(crate) fn last_words(line: Line<'_>) {
    /// Long enough for another CPU to finish its line, if it still can.
    const TRIES: u32 = 10_000_000;
    for _ in 0..TRIES {
        if let Some(mut output) = OUTPUT.try_lock() {
            // A port that cannot be written to leaves nothing else to do.
            let _ = writeln!(output, "{line}");
            return;
        }
        hint::spin_loop();
    }
    // SAFETY: the holder is this CPU, in what the kernel died of, or a CPU that has stopped.
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
        let (level, cpu, us) = (record.level(), smp::current().number(), time::now_us());
        let text = LogText {
            head: format_args!("{:3}.{:06} cpu {cpu} {level}", us / 1_000_000, us % 1_000_000),
            message: *record.args(),
        };
        print(format_args!("{text}\n"));
    }

    fn flush(&self) {}
}
