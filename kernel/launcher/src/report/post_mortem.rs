//! What helps to find out why a boot went wrong.

use std::fmt;

use crate::boot::Outcome;
use crate::qemu::Qemu;

/// The guest's last lines and how to boot it again.
#[derive(Clone, Copy, Debug)]
pub struct PostMortem<'r> {
    /// What happened.
    pub outcome: &'r Outcome,
    /// On which emulator.
    pub qemu: &'r Qemu,
}

impl fmt::Display for PostMortem<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { outcome, qemu } = self;
        let took = outcome.took.as_secs_f64();
        let tail = &outcome.transcript.tail;
        if tail.is_empty() {
            writeln!(f, "The guest said nothing in {took:.1} s.")?;
        } else {
            writeln!(f, "The guest's last lines, after {took:.1} s:")?;
        }
        tail.iter().try_for_each(|line| writeln!(f, "  | {line}"))?;
        if !outcome.qemu_messages.is_empty() {
            writeln!(f, "QEMU's own words:")?;
        }
        let messages = &outcome.qemu_messages;
        messages.iter().try_for_each(|line| writeln!(f, "  | {line}"))?;
        writeln!(f, "{}, started as:", qemu.version())?;
        write!(f, "  {}", outcome.command)
    }
}
