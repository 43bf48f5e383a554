//! The report of a failed boot.

use std::fmt;

use crate::guest::boot::Outcome;
use crate::qemu::emulator::Qemu;
use crate::report::events;

/// The guest's last lines, QEMU's messages, and the command that repeats the boot.
#[derive(Clone, Copy, Debug)]
pub struct PostMortem<'r> {
    /// The failed boot.
    pub outcome: &'r Outcome,
    /// The emulator.
    pub qemu: &'r Qemu,
}

impl fmt::Display for PostMortem<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { outcome, qemu } = self;
        let took = outcome.took.as_secs_f64();
        let tail = &outcome.transcript.tail;
        if tail.is_empty() {
            writeln!(f, "The guest sent nothing in {took:.1} s.")?;
        } else {
            writeln!(f, "The guest's last lines, after {took:.1} s:")?;
        }
        tail.iter().try_for_each(|line| writeln!(f, "  | {line}"))?;
        let events = events::lines(&outcome.transcript.events);
        if !events.is_empty() {
            writeln!(f, "The allocator's last events:")?;
        }
        events.iter().try_for_each(|line| writeln!(f, "  | {line}"))?;
        if !outcome.qemu_messages.is_empty() {
            writeln!(f, "Messages of QEMU:")?;
        }
        let messages = &outcome.qemu_messages;
        messages.iter().try_for_each(|line| writeln!(f, "  | {line}"))?;
        writeln!(f, "{}, started as:", qemu.version())?;
        write!(f, "  {}", outcome.command)
    }
}
