//! How a case ended, in words that a test's output can show.

use std::fmt;

use crate::boot::Outcome;
use crate::ending::Ending;

/// How many of the guest's last lines go with a bad end.
const TAIL_LINES: usize = 12;

/// How a case ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CaseEnd {
    /// As it should.
    Passed,
    /// It cannot run on this machine.
    Skipped {
        /// Why.
        reason: String,
    },
    /// A check failed.
    Failed {
        /// Where, as `file:line`.
        place: String,
        /// What was found instead.
        message: String,
    },
    /// It took the kernel down.
    Died {
        /// How.
        ending: Ending,
        /// The guest's last lines.
        tail: Vec<String>,
    },
    /// It never began.
    Missed {
        /// Why.
        reason: String,
        /// The guest's last lines.
        tail: Vec<String>,
    },
}

impl CaseEnd {
    pub(super) fn missed(reason: &str, tail: Vec<String>) -> Self {
        Self::Missed { reason: reason.to_owned(), tail }
    }

    /// Whether the case may count as good.
    pub const fn is_good(&self) -> bool {
        matches!(self, Self::Passed | Self::Skipped { .. })
    }
}

impl fmt::Display for CaseEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passed => f.write_str("passed"),
            Self::Skipped { reason } => write!(f, "skipped: {reason}"),
            Self::Failed { place, message } => write!(f, "failed at {place}: {message}"),
            Self::Died { ending, tail } => {
                let kind = match ending {
                    Ending::Panicked { .. } => "panicked",
                    Ending::Faulted { .. } => "faulted",
                    Ending::Hung(_) => "hung",
                    _ => "died",
                };
                write!(f, "{kind}: {ending}{}", Tail(tail))
            }
            Self::Missed { reason, tail } => write!(f, "missed: {reason}{}", Tail(tail)),
        }
    }
}

/// The guest's last lines, under a sentence.
pub(super) struct Tail<'a>(pub(super) &'a [String]);

impl fmt::Display for Tail<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.0.is_empty() {
            f.write_str("\nThe guest's last lines:")?;
        }
        self.0.iter().try_for_each(|line| write!(f, "\n  | {line}"))
    }
}

/// The guest's last lines, and QEMU's.
pub(super) fn tail(outcome: &Outcome) -> Vec<String> {
    let lines = &outcome.transcript.tail;
    let skipped = lines.len().saturating_sub(TAIL_LINES);
    let serial = lines.iter().skip(skipped).cloned();
    let qemu = outcome.qemu_messages.iter().cloned();
    serial.chain(qemu).collect()
}
