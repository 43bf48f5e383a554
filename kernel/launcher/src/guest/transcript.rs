//! The record of one boot: everything that the guest reported over its serial port.
//!
//! This file only collects. `guest/ending.rs` decides how the boot ended, `scenario/judgement.rs`
//! what it shows, and `cases/batch.rs` how each in-kernel test case ended.

use std::collections::VecDeque;

use pageblock_protocol::{CaseKind, Line, Value, Verdict, stat};

use crate::guest::residency::Residency;
use crate::guest::samples::Samples;

/// The number of last lines that are kept for the report of a failure.
const TAIL_LINES: usize = 30;

/// Everything that the guest reported in one boot.
#[derive(Clone, Debug, Default)]
pub struct Transcript {
    /// The first line of the protocol: the kernel is up.
    pub hello: Option<Hello>,
    /// The size of the CMA area, if the guest has one. It consists of whole pageblocks, so it may
    /// be larger than the command line asks for.
    pub cma_area_mib: Option<i64>,
    /// The in-kernel test cases, if the boot was to list them.
    pub listed: Vec<(String, CaseKind)>,
    /// The last value of each measurement, in the order of their first reports.
    pub stats: Vec<(String, i64)>,
    /// The rows of the scenario's own table.
    pub rows: Vec<Row>,
    /// The samples for the pictures of a report.
    pub samples: Samples,
    /// The memory that the guest used and that the host held, of each boot that was watched.
    pub residency: Vec<Residency>,
    /// Remarks for the user.
    pub notes: Vec<String>,
    /// The invariants that did not hold.
    pub broken: Vec<String>,
    /// What the allocator did before something went wrong, in the order of time.
    pub events: Vec<Event>,
    /// The first fatal error of the kernel.
    pub fatal: Option<Fatal>,
    /// The verdict of the kernel at its end.
    pub done: Option<Verdict>,
    /// The first malformed line of the protocol, and what is wrong with it.
    pub malformed: Option<String>,
    /// The last lines of all, protocol and log.
    pub tail: VecDeque<String>,
}

/// What the kernel reports when it is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The version of the protocol that the kernel uses.
    pub version: u32,
    /// The number of CPUs that run.
    pub cpus: u32,
    /// The memory that the page allocator manages, in MiB.
    pub memory_mib: u64,
}

/// What the allocator did at one moment. [`Display`](std::fmt::Display) prints it as a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The number of the CPU that did it.
    pub cpu: u32,
    /// The time since the boot, in microseconds.
    pub at_us: u64,
    /// What it did.
    pub text: String,
}

/// One row of a scenario's table.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row {
    /// The first column: what the row is about.
    pub name: String,
    /// The other columns, by name.
    pub cells: Vec<(String, Cell)>,
}

/// One field of a table.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// A number.
    Integer(i64),
    /// A decimal number.
    Decimal(f64),
    /// A word.
    Word(String),
}

/// An error that ends the kernel. [`Display`](std::fmt::Display) prints it as a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fatal {
    /// The kernel panicked.
    Panic {
        /// The source line, as `file:line`.
        place: String,
        /// The panic message.
        message: String,
    },
    /// A CPU raised an exception that the kernel does not handle.
    Fault {
        /// The exception.
        name: String,
        /// The address and the registers that matter.
        message: String,
    },
    /// The kernel cannot do what its command line asks for.
    Refused(String),
}

impl Row {
    /// The field in that column.
    pub fn cell(&self, key: &str) -> Option<&Cell> {
        self.cells.iter().find(|(known, _)| known == key).map(|(_, cell)| cell)
    }

    /// Whether the row is a request that was refused, and named after the frame that was in the
    /// way.
    pub fn is_refusal(&self) -> bool {
        self.cell(stat::REASON).is_some()
    }

    /// Whether the row has a target, and whether it misses it. What never came to a number misses
    /// its target.
    pub fn misses_target(&self) -> Option<bool> {
        let target = self.cell(stat::TARGET)?.number()?;
        let measured = self.cell(stat::INSTRUCTIONS).or_else(|| self.cell(stat::MEASURED))?;
        Some(measured.number().is_none_or(|number| number > target))
    }
}

impl Cell {
    /// The value as a number, if it is one.
    pub fn number(&self) -> Option<f64> {
        match self {
            #[expect(clippy::cast_precision_loss, reason = "measurements, far below 2^53")]
            Self::Integer(value) => Some(*value as f64),
            Self::Decimal(value) => Some(*value),
            Self::Word(_) => None,
        }
    }
}

impl Transcript {
    /// Records one line of serial output, without its line break, and parses it.
    ///
    /// Returns `None` if it is log text or malformed.
    pub fn receive<'l>(&mut self, raw: &'l str) -> Option<Line<'l>> {
        self.keep_in_tail(raw);
        let line = match Line::parse(raw)? {
            Ok(line) => line,
            Err(error) => {
                self.malformed.get_or_insert_with(|| format!("`{}`: {error}", printable(raw)));
                return None;
            }
        };
        self.collect(&line);
        Some(line)
    }

    fn collect(&mut self, line: &Line<'_>) {
        match *line {
            Line::Hello { version, cpus, memory_mib } => {
                self.hello = Some(Hello { version, cpus, memory_mib });
            }
            Line::Case { name, kind } => self.listed.push((name.to_owned(), kind)),
            Line::Stat { key: stat::CMA_AREA_MIB, value } => self.cma_area_mib = Some(value),
            Line::Stat { key, value } => self.set_stat(key, value),
            Line::Row(name) => self.rows.push(Row { name: name.to_owned(), cells: Vec::new() }),
            Line::Cell { key, value } => match self.rows.last_mut() {
                Some(row) => row.cells.push((key.to_owned(), value.into())),
                None => self.malformed = Some(format!("`{line}`: no row began")),
            },
            Line::Sample { series, at_us, sample } => self.samples.receive(series, at_us, sample),
            Line::Note(text) => self.notes.push(text.to_string()),
            Line::Broken(text) => self.broken.push(text.to_string()),
            Line::Event { cpu, at_us, text } => {
                // Each CPU's come in order, one CPU after the other.
                let at = self.events.partition_point(|event| event.at_us <= at_us);
                self.events.insert(at, Event { cpu, at_us, text: text.to_string() });
            }
            // One CPU's fatal error often leads to those of others: the first one is the cause.
            Line::Panic { place, message } => {
                self.fatal.get_or_insert_with(|| Fatal::Panic {
                    place: place.to_string(),
                    message: message.to_string(),
                });
            }
            Line::Fault { name, message } => {
                self.fatal.get_or_insert_with(|| Fatal::Fault {
                    name: name.to_owned(),
                    message: message.to_string(),
                });
            }
            Line::Refused(text) => {
                self.fatal.get_or_insert_with(|| Fatal::Refused(text.to_string()));
            }
            Line::Done(verdict) => self.done = Some(verdict),
            // Listeners of the boot handle these.
            Line::Count(_)
            | Line::Start(_)
            | Line::Pass(_)
            | Line::Fail { .. }
            | Line::Skip { .. }
            | Line::Used { .. }
            | Line::Resized { .. }
            | Line::Progress { .. } => {}
        }
    }

    /// The last value of a measurement.
    pub fn stat(&self, key: &str) -> Option<i64> {
        self.stats.iter().find(|(k, _)| k == key).map(|&(_, value)| value)
    }

    /// Sets the last value of a measurement, also to one that the launcher has made.
    pub(crate) fn set_stat(&mut self, key: &str, value: i64) {
        match self.stats.iter_mut().find(|(known, _)| known == key) {
            Some((_, last)) => *last = value,
            None => self.stats.push((key.to_owned(), value)),
        }
    }

    /// Whether the guest reported anything that a table shows.
    pub fn has_measurements(&self) -> bool {
        !self.stats.is_empty() || !self.rows.is_empty()
    }

    fn keep_in_tail(&mut self, raw: &str) {
        if self.tail.len() == TAIL_LINES {
            self.tail.pop_front();
        }
        self.tail.push_back(printable(raw));
    }
}

impl std::fmt::Display for Fatal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Panic { place, message } => write!(f, "the kernel panicked at {place}: {message}"),
            Self::Fault { name, message } => write!(f, "the kernel took a {name} {message}"),
            Self::Refused(text) => write!(f, "the kernel cannot do this: {text}"),
        }
    }
}

impl From<Value<'_>> for Cell {
    fn from(value: Value<'_>) -> Self {
        match value {
            Value::Integer(value) => Self::Integer(value),
            #[expect(clippy::cast_precision_loss, reason = "measurements, far below 2^53")]
            Value::Thousandths(value) => Self::Decimal(value as f64 / 1000.0),
            Value::Word(word) => Self::Word(word.to_owned()),
        }
    }
}

impl std::fmt::Display for Cell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Integer(value) => value.fmt(f),
            Self::Decimal(value) => write!(f, "{value:.3}"),
            Self::Word(word) => word.fmt(f),
        }
    }
}

/// A line without control characters, which could change the state of the terminal.
pub(crate) fn printable(raw: &str) -> String {
    raw.chars().filter(|c| *c == '\t' || !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receive(lines: &[&str]) -> Transcript {
        let mut transcript = Transcript::default();
        for line in lines {
            transcript.receive(line);
        }
        transcript
    }

    #[test]
    fn every_report_is_collected() {
        let transcript = receive(&[
            "SeaBIOS",
            "@pb hello 2 4 1023",
            "@pb stat audits 1",
            "@pb stat missed_pages -3",
            "@pb stat audits 2",
            "@pb note the TSC runs at 2 GHz",
            "@pb row merge-across",
            "@pb cell missed_pages 7",
            "@pb cell ns 1.250",
            "@pb cell detected yes",
            "@pb broken DMA: free is 3 too low",
            "@pb done broken",
        ]);
        assert_eq!(transcript.hello.unwrap().cpus, 4);
        assert_eq!(transcript.stats, [("audits".to_owned(), 2), ("missed_pages".to_owned(), -3)]);
        assert_eq!(transcript.stat("audits"), Some(2));
        assert_eq!(transcript.stat("audit"), None);
        assert_eq!(transcript.notes, ["the TSC runs at 2 GHz"]);
        assert_eq!(transcript.broken, ["DMA: free is 3 too low"]);
        assert_eq!(transcript.rows[0].name, "merge-across");
        assert_eq!(
            transcript.rows[0].cells,
            [
                ("missed_pages".to_owned(), Cell::Integer(7)),
                ("ns".to_owned(), Cell::Decimal(1.25)),
                ("detected".to_owned(), Cell::Word("yes".to_owned())),
            ]
        );
        assert_eq!(transcript.done, Some(Verdict::Broken));
        assert_eq!(transcript.malformed, None);
    }

    #[test]
    fn the_size_of_the_cma_area_is_no_measurement() {
        let transcript = receive(&["@pb stat cma_area_mib 2", "@pb stat audits 1"]);
        assert_eq!(transcript.cma_area_mib, Some(2));
        assert_eq!(transcript.stats, [("audits".to_owned(), 1)]);
    }

    #[test]
    fn a_row_misses_its_target_if_it_costs_more() {
        let transcript = receive(&[
            "@pb row dear",
            "@pb cell instructions 90.001",
            "@pb cell target 90",
            "@pb row good",
            "@pb cell instructions 90.000",
            "@pb cell target 90",
            "@pb row free",
            "@pb cell instructions 90.000",
            "@pb row late",
            "@pb cell measured never",
            "@pb cell target 90",
        ]);
        let missed: Vec<_> = transcript.rows.iter().map(Row::misses_target).collect();
        assert_eq!(missed, [Some(true), Some(false), None, Some(true)]);
    }

    #[test]
    fn of_several_fatal_errors_the_first_counts() {
        let transcript = receive(&[
            "@pb panic src/a.rs:1 first",
            "@pb fault page-fault second",
            "@pb panic src/b.rs:2 third",
        ]);
        assert_eq!(
            transcript.fatal,
            Some(Fatal::Panic { place: "src/a.rs:1".to_owned(), message: "first".to_owned() })
        );
    }

    #[test]
    fn a_malformed_line_is_recorded() {
        let transcript = receive(&["@pb pass a@pb done held", "@pb stat x"]);
        let malformed = transcript.malformed.unwrap();
        assert!(malformed.contains("pass a@pb done held"), "{malformed}");
        assert_eq!(transcript.done, None);
        assert!(receive(&["@pb cell key 1"]).malformed.is_some());
    }

    #[test]
    fn the_tail_is_short_and_without_control_characters() {
        let mut transcript = Transcript::default();
        for i in 0..1000 {
            transcript.receive(&format!("\u{1b}[31mline {i}\r"));
        }
        assert_eq!(transcript.tail.len(), TAIL_LINES);
        assert_eq!(transcript.tail.back().unwrap(), "[31mline 999");
    }
}
