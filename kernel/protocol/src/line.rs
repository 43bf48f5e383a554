//! The lines that the kernel sends, and their printer. The parser is in `parse`.
//!
//! A line is [`PREFIX`], a word, and the fields of that word. The prefix is only ever at the
//! beginning of a line: the kernel prints all other text through [`LogText`](crate::LogText), and
//! begins a new line when the report of a panic interrupts a half-printed line of another CPU.
//!
//! | line | meaning |
//! |---|---|
//! | `hello VERSION CPUS MEMORY-MIB` | the kernel has booted, with that many CPUs online |
//! | `count N` | the number of cases that follow |
//! | `case NAME plain\|explicit` | a case exists |
//! | `start NAME` | the case begins |
//! | `pass NAME` | it passed |
//! | `fail NAME FILE:LINE MESSAGE` | it failed there |
//! | `skip NAME REASON` | it cannot run on this machine |
//! | `progress DONE TOTAL LABEL` | the progress of the scenario |
//! | `stat KEY VALUE` | a measurement |
//! | `row NAME` | a row of the scenario's table begins |
//! | `cell KEY VALUE` | a field of that row |
//! | `sample SERIES US audit COUNTER TRUTH` | an audit then: the free counter, the free pages |
//! | `sample SERIES US latency N A B C D` | an operation that ended then: its [`Latency`] |
//! | `sample SERIES US orders N,N,..` | the free blocks of each order at that time |
//! | `sample SERIES US map CELLS` | the pageblocks at that time, see [`map`](crate::map) |
//! | `resized N PLUGGED MANAGED RECORDS` | memory came or went, see [`Line::Resized`] |
//! | `used MS KIB` | the memory that the guest uses, that long after the demand began |
//! | `note TEXT` | an explanation for the reader |
//! | `broken TEXT` | an invariant did not hold |
//! | `event CPU US TEXT` | what the allocator did on that CPU then, before something went wrong |
//! | `panic FILE:LINE MESSAGE` | the kernel panicked (the last line but events) |
//! | `fault NAME MESSAGE` | an exception that nothing handles (the last line but events) |
//! | `refused TEXT` | the kernel cannot run the scenario (the last line) |
//! | `done held\|broken` | the end of the run (the last line) |

use core::fmt::{self, Display, Write};

use crate::text::Text;

/// The beginning of every protocol line.
pub const PREFIX: &str = "@pb ";

/// One line of the protocol. [`Display`] prints it without the line break.
#[derive(Clone, Copy, Debug)]
pub enum Line<'a> {
    /// The kernel has booted.
    Hello {
        /// The [`VERSION`](crate::VERSION) of the kernel's protocol.
        version: u32,
        /// The number of CPUs that are online.
        cpus: u32,
        /// The memory of the allocator in MiB.
        memory_mib: u64,
    },
    /// The number of cases that follow.
    Count(u32),
    /// A case exists.
    Case {
        /// Its name: a path without spaces or commas.
        name: &'a str,
        /// How it is selected.
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
        /// The location of the check that failed.
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
    /// The progress of the scenario.
    Progress {
        /// The number of finished steps.
        done: u64,
        /// The number of all steps.
        total: u64,
        /// What a step is, or what the kernel is doing.
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
    /// What was so at one moment, for the pictures of a report.
    Sample {
        /// What it is a sample of.
        series: &'a str,
        /// The time since the boot, in microseconds.
        at_us: u64,
        /// What was so.
        sample: Sample<'a>,
    },
    /// The guest has followed a change of the size of its memory device, or has added or removed a
    /// DIMM, and waits for the next change. The host compares this with what it has plugged. After
    /// the last change it requests one more size, which the guest does not follow, as a sign that
    /// it has compared.
    Resized {
        /// The number of changes so far. 0: the guest is ready for the first.
        number: u32,
        /// What is plugged, in MiB.
        plugged_mib: u64,
        /// The pages of it that the allocator manages.
        managed_pages: u64,
        /// The pages of it that are set aside for records.
        record_pages: u64,
    },
    /// The memory that the guest uses at this moment. The host compares this with the memory that
    /// it gives to the guest.
    Used {
        /// The time since the demand began, in milliseconds.
        at_ms: u64,
        /// The memory that is allocated, in KiB.
        kib: u64,
    },
    /// An explanation for the reader.
    Note(Text<'a>),
    /// An invariant did not hold.
    Broken(Text<'a>),
    /// What the allocator did, shortly before something went wrong.
    Event {
        /// The number of the CPU.
        cpu: u32,
        /// The time since the boot, in microseconds.
        at_us: u64,
        /// The event.
        text: Text<'a>,
    },
    /// The kernel panicked.
    Panic {
        /// The location of the panic.
        place: Place<'a>,
        /// The panic message.
        message: Text<'a>,
    },
    /// A CPU took an exception that nothing handles.
    Fault {
        /// The name of the exception, as one word.
        name: &'a str,
        /// The address, and some registers.
        message: Text<'a>,
    },
    /// The kernel cannot run the scenario.
    Refused(Text<'a>),
    /// The end of the run.
    Done(Verdict),
}

/// What was so at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sample<'a> {
    /// The free counters of all zones, added up, and the free pages that an audit found.
    Audit {
        /// The counters, in pages.
        counter: i64,
        /// The truth, in pages.
        truth: i64,
    },
    /// The duration of an operation.
    Latency(Latency),
    /// The numbers of free blocks, of order 0 first, with commas between them.
    Orders(&'a str),
    /// The pageblocks, in the form of [`map`](crate::map).
    Map(&'a str),
}

/// The duration of a contiguous allocation, and of the parts of its last attempt, in microseconds.
/// What is left of the whole is earlier attempts, and the time between them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Latency {
    /// The whole.
    pub whole: u64,
    /// The isolation of the range and the drain of the pcplists.
    pub isolate: u64,
    /// The migration.
    pub migrate: u64,
    /// The audits that the scenario makes meanwhile.
    pub audits: u64,
    /// The test of the range, and its allocation.
    pub test: u64,
}

/// A source location.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// The file, as the compiler names it.
    pub file: &'a str,
    /// The line, counted from 1.
    pub line: u32,
}

/// How a case is selected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CaseKind {
    /// Runs by default.
    Plain,
    /// Runs only if it is named, because it ends badly on purpose.
    Explicit,
}

/// The result of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All invariants held.
    Held,
    /// An invariant did not hold.
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
            Self::Sample { series, at_us, sample } => write!(f, "sample {series} {at_us} {sample}"),
            Self::Used { at_ms, kib } => write!(f, "used {at_ms} {kib}"),
            Self::Resized { number, plugged_mib, managed_pages, record_pages } => {
                write!(f, "resized {number} {plugged_mib} {managed_pages} {record_pages}")
            }
            Self::Note(text) => with_text(f, format_args!("note"), text),
            Self::Broken(text) => with_text(f, format_args!("broken"), text),
            Self::Event { cpu, at_us, text } => with_text(f, format_args!("event {cpu} {at_us}"), text),
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

impl Display for Sample<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Audit { counter, truth } => write!(f, "audit {counter} {truth}"),
            Self::Latency(Latency { whole, isolate, migrate, audits, test }) => {
                write!(f, "latency {whole} {isolate} {migrate} {audits} {test}")
            }
            Self::Orders(counts) => write!(f, "orders {counts}"),
            Self::Map(cells) => write!(f, "map {cells}"),
        }
    }
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
