//! How an in-kernel test case ended.

use std::fmt;

use crate::guest::boot::Outcome;
use crate::guest::ending::Ending;
use crate::guest::transcript::Fatal;

/// The number of the guest's last lines in the report of a failure.
const TAIL_LINES: usize = 12;

/// How an in-kernel test case ended. [`Display`](fmt::Display) prints it for the output of a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CaseEnd {
    /// The case passed.
    Passed,
    /// The case cannot run on this machine.
    Skipped {
        /// Why.
        reason: String,
    },
    /// A check of the case failed.
    Failed {
        /// The source line, as `file:line`.
        place: String,
        /// The message of the check.
        message: String,
    },
    /// The boot ended while the case was running.
    Died {
        /// How the boot ended.
        ending: Ending,
        /// The guest's last lines.
        tail: Vec<String>,
    },
    /// The case did not run, or its end was not reported.
    Missed {
        /// Why.
        reason: String,
        /// The guest's last lines.
        tail: Vec<String>,
    },
}

impl CaseEnd {
    pub(crate) fn missed(reason: &str, tail: Vec<String>) -> Self {
        Self::Missed { reason: reason.to_owned(), tail }
    }

    /// Whether the case passed or was skipped.
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
                    Ending::Fatal(Fatal::Panic { .. }) => "panicked",
                    Ending::Fatal(Fatal::Fault { .. }) => "faulted",
                    Ending::Hung(_) => "hung",
                    _ => "died",
                };
                write!(f, "{kind}: {ending}{}", Tail(tail))
            }
            Self::Missed { reason, tail } => write!(f, "missed: {reason}{}", Tail(tail)),
        }
    }
}

/// Prints the last lines of a guest, indented.
pub(crate) struct Tail<'a>(pub(crate) &'a [String]);

impl fmt::Display for Tail<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.0.is_empty() {
            f.write_str("\nThe guest's last lines:")?;
        }
        self.0.iter().try_for_each(|line| write!(f, "\n  | {line}"))
    }
}

/// The last lines of the guest, and those of QEMU's standard error.
pub(crate) fn tail(outcome: &Outcome) -> Vec<String> {
    let lines = &outcome.transcript.tail;
    let skipped = lines.len().saturating_sub(TAIL_LINES);
    let serial = lines.iter().skip(skipped).cloned();
    let qemu = outcome.qemu_messages.iter().cloned();
    serial.chain(qemu).collect()
}
