//! The lines that the kernel speaks and their printer. Their parser is beside it,
//! in `parse`; `tests` takes every line through both.
//!
//! A line is [`PREFIX`], a word, and what the word is followed by. The prefix
//! stands at the beginning of a line and nowhere else: the kernel prints
//! everything else through [`LogText`](crate::LogText), and starts a line of its
//! own when it interrupts another CPU's half-printed one to report its death.
//!
//! | line | meaning |
//! |---|---|
//! | `hello VERSION CPUS MEMORY-MIB` | the kernel is up, with so many CPUs running |
//! | `count N` | so many cases, or steps of the scenario, follow |
//! | `case NAME plain\|explicit` | there is such a case |
//! | `start NAME` | the case begins |
//! | `pass NAME` | it passed |
//! | `fail NAME FILE:LINE MESSAGE` | it failed there |
//! | `skip NAME REASON` | it cannot run on this machine |
//! | `progress DONE TOTAL LABEL` | how far the scenario is |
//! | `stat KEY VALUE` | a measurement |
//! | `row NAME` | a row of the scenario's table begins |
//! | `cell KEY VALUE` | a field of that row |
//! | `note TEXT` | something the reader should know |
//! | `broken TEXT` | something that had to hold did not |
//! | `panic FILE:LINE MESSAGE` | the kernel's last words |
//! | `fault NAME MESSAGE` | its last words after an exception |
//! | `refused TEXT` | its last words if it cannot do what it is asked |
//! | `done held\|broken` | the end |

use core::fmt::{self, Display, Write};

use crate::text::Text;

mod parse;

pub use parse::LineError;

/// What every protocol line begins with.
pub const PREFIX: &str = "@pb ";

/// One line of the protocol. [`Display`] prints it without the line break.
#[derive(Clone, Copy, Debug)]
pub enum Line<'a> {
    /// The kernel is up.
    Hello {
        /// [`VERSION`](crate::VERSION) of the kernel's protocol.
        version: u32,
        /// CPUs that run.
        cpus: u32,
        /// Usable memory in MiB.
        memory_mib: u64,
    },
    /// So many cases or steps follow.
    Count(u32),
    /// There is such a case.
    Case {
        /// Its name: a path without spaces or commas.
        name: &'a str,
        /// Who selects it.
        kind: CaseKind,
    },
    /// The case begins.
    Start(&'a str),
    /// The case passed.
    Pass(&'a str),
    /// The case failed.
    Fail {
        /// Its name.
        name: &'a str,
        /// The check that failed.
        place: Place<'a>,
        /// What was found instead.
        message: Text<'a>,
    },
    /// The case cannot run on this machine.
    Skip {
        /// Its name.
        name: &'a str,
        /// Why.
        reason: Text<'a>,
    },
    /// How far the scenario is.
    Progress {
        /// Steps done.
        done: u64,
        /// Steps in all.
        total: u64,
        /// What a step is, or what is being done now.
        label: Text<'a>,
    },
    /// A measurement.
    Stat {
        /// One of the names in [`stat`](crate::stat).
        key: &'a str,
        /// Its value.
        value: i64,
    },
    /// A row of the scenario's table begins.
    Row(&'a str),
    /// A field of the row that began last.
    Cell {
        /// The column.
        key: &'a str,
        /// The value.
        value: Value<'a>,
    },
    /// Something the reader should know.
    Note(Text<'a>),
    /// Something that had to hold did not.
    Broken(Text<'a>),
    /// The kernel panicked.
    Panic {
        /// Where.
        place: Place<'a>,
        /// What it said.
        message: Text<'a>,
    },
    /// A CPU took an exception that nothing handles.
    Fault {
        /// The exception, as one word.
        name: &'a str,
        /// Where, and the registers that matter.
        message: Text<'a>,
    },
    /// The kernel cannot do what it is asked.
    Refused(Text<'a>),
    /// The end.
    Done(Verdict),
}

/// A source line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// The file, as the compiler names it.
    pub file: &'a str,
    /// The line, counted from 1.
    pub line: u32,
}

/// Who selects a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CaseKind {
    /// Runs unless something else is selected.
    Plain,
    /// Runs only when it is named: it ends badly on purpose.
    Explicit,
}

/// How a boot ended that came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Everything held.
    Held,
    /// Something did not.
    Broken,
}

/// A field of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// A number.
    Integer(i64),
    /// A number with a fraction, in thousandths.
    Thousandths(i64),
    /// A word.
    Word(&'a str),
}

impl<'a> From<&core::panic::Location<'a>> for Place<'a> {
    fn from(location: &core::panic::Location<'a>) -> Self {
        Self { file: location.file(), line: location.line() }
    }
}

impl Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

impl Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(PREFIX)?;
        match self {
            Self::Hello { version, cpus, memory_mib } => write!(f, "hello {version} {cpus} {memory_mib}"),
            Self::Count(count) => write!(f, "count {count}"),
            Self::Case { name, kind } => write!(f, "case {name} {kind}"),
            Self::Start(name) => write!(f, "start {name}"),
            Self::Pass(name) => write!(f, "pass {name}"),
            Self::Fail { name, place, message } => with_text(f, format_args!("fail {name} {place}"), message),
            Self::Skip { name, reason } => with_text(f, format_args!("skip {name}"), reason),
            Self::Progress { done, total, label } => {
                with_text(f, format_args!("progress {done} {total}"), label)
            }
            Self::Stat { key, value } => write!(f, "stat {key} {value}"),
            Self::Row(name) => write!(f, "row {name}"),
            Self::Cell { key, value } => write!(f, "cell {key} {value}"),
            Self::Note(text) => with_text(f, format_args!("note"), text),
            Self::Broken(text) => with_text(f, format_args!("broken"), text),
            Self::Panic { place, message } => with_text(f, format_args!("panic {place}"), message),
            Self::Fault { name, message } => with_text(f, format_args!("fault {name}"), message),
            Self::Refused(text) => with_text(f, format_args!("refused"), text),
            Self::Done(verdict) => write!(f, "done {verdict}"),
        }
    }
}

fn with_text(f: &mut fmt::Formatter<'_>, head: fmt::Arguments<'_>, text: &Text<'_>) -> fmt::Result {
    f.write_fmt(head)?;
    f.write_char(' ')?;
    text.write_wire(f)
}

impl Display for CaseKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain => "plain",
            Self::Explicit => "explicit",
        })
    }
}

impl Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Held => "held",
            Self::Broken => "broken",
        })
    }
}

impl Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Integer(value) => write!(f, "{value}"),
            Self::Thousandths(value) => {
                let sign = if value < 0 { "-" } else { "" };
                let magnitude = value.unsigned_abs();
                write!(f, "{sign}{}.{:03}", magnitude / 1000, magnitude % 1000)
            }
            Self::Word(word) => f.write_str(word),
        }
    }
}

#[cfg(test)]
mod tests;
