//! What the guest said in one boot, line by line.
//!
//! It only collects. What it means is decided in [`ending`](crate::ending) for
//! the boot and in [`cases`](crate::cases) for each case.

use std::collections::VecDeque;

use pageblock_protocol::{CaseKind, Line, Value, Verdict};

/// How many of the last lines are kept for a report of a bad ending.
const TAIL_LINES: usize = 30;

/// Everything that matters of one boot's serial output.
#[derive(Clone, Debug, Default)]
pub struct Transcript {
    /// The kernel's first words.
    pub hello: Option<Hello>,
    /// Every case that was listed.
    pub listed: Vec<(String, CaseKind)>,
    /// Measurements in the order of their first report, with their last value.
    pub stats: Vec<(String, i64)>,
    /// The scenario's table.
    pub rows: Vec<Row>,
    /// What the reader should know.
    pub notes: Vec<String>,
    /// What did not hold.
    pub broken: Vec<String>,
    /// The kernel's last words, if it died.
    pub last_words: Option<LastWords>,
    /// How it says it ended.
    pub done: Option<Verdict>,
    /// The first protocol line that could not be understood, and why.
    pub garbled: Option<String>,
    /// The last lines of all, protocol and log.
    pub tail: VecDeque<String>,
}

/// What the kernel says of itself when it is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The version of its protocol.
    pub version: u32,
    /// CPUs that run.
    pub cpus: u32,
    /// Usable memory in MiB.
    pub memory_mib: u64,
}

/// One row of a scenario's table.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row {
    /// What the row is about.
    pub name: String,
    /// Its columns.
    pub cells: Vec<(String, Cell)>,
}

/// One field of a table.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// A number.
    Integer(i64),
    /// A number with a fraction.
    Decimal(f64),
    /// A word.
    Word(String),
}

/// What a dying kernel says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LastWords {
    /// It panicked.
    Panic {
        /// Where, as `file:line`.
        place: String,
        /// What it said.
        message: String,
    },
    /// A CPU took an exception that nothing handles.
    Fault {
        /// Which.
        name: String,
        /// Where, and the registers that matter.
        message: String,
    },
    /// It cannot do what it is asked.
    Refused(String),
}

impl Transcript {
    /// Takes in one line of serial output, without its line break. Returns the
    /// protocol line in it, if it is one.
    pub fn hear<'l>(&mut self, raw: &'l str) -> Option<Line<'l>> {
        self.keep_in_tail(raw);
        let line = match Line::parse(raw)? {
            Ok(line) => line,
            Err(error) => {
                self.garbled.get_or_insert_with(|| format!("`{}`: {error}", printable(raw)));
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
            Line::Stat { key, value } => match self.stats.iter_mut().find(|(k, _)| k == key) {
                Some((_, last)) => *last = value,
                None => self.stats.push((key.to_owned(), value)),
            },
            Line::Row(name) => self.rows.push(Row { name: name.to_owned(), cells: Vec::new() }),
            Line::Cell { key, value } => match self.rows.last_mut() {
                Some(row) => row.cells.push((key.to_owned(), value.into())),
                None => self.garbled = Some(format!("`{line}`: no row began")),
            },
            Line::Note(text) => self.notes.push(text.to_string()),
            Line::Broken(text) => self.broken.push(text.to_string()),
            // Of several CPUs that die, the first one's words matter.
            Line::Panic { place, message } => {
                self.last_words.get_or_insert_with(|| LastWords::Panic {
                    place: place.to_string(),
                    message: message.to_string(),
                });
            }
            Line::Fault { name, message } => {
                self.last_words.get_or_insert_with(|| LastWords::Fault {
                    name: name.to_owned(),
                    message: message.to_string(),
                });
            }
            Line::Refused(text) => {
                self.last_words.get_or_insert_with(|| LastWords::Refused(text.to_string()));
            }
            Line::Done(verdict) => self.done = Some(verdict),
            // Those who care listen to the boot; see `boot::Listener`.
            Line::Count(_)
            | Line::Start(_)
            | Line::Pass(_)
            | Line::Fail { .. }
            | Line::Skip { .. }
            | Line::Progress { .. } => {}
        }
    }

    /// The last value of a measurement.
    pub fn stat(&self, key: &str) -> Option<i64> {
        self.stats.iter().find(|(k, _)| k == key).map(|&(_, value)| value)
    }

    fn keep_in_tail(&mut self, raw: &str) {
        if self.tail.len() == TAIL_LINES {
            self.tail.pop_front();
        }
        self.tail.push_back(printable(raw));
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

/// A line that cannot disturb the terminal it is printed on.
pub fn printable(raw: &str) -> String {
    raw.chars().filter(|c| *c == '\t' || !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hear(lines: &[&str]) -> Transcript {
        let mut transcript = Transcript::default();
        for line in lines {
            transcript.hear(line);
        }
        transcript
    }

    #[test]
    fn what_the_guest_says_is_collected() {
        let transcript = hear(&[
            "SeaBIOS",
            "@pb hello 1 4 1023",
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
        assert_eq!(transcript.garbled, None);
    }

    #[test]
    fn of_several_deaths_the_first_counts() {
        let transcript = hear(&[
            "@pb panic src/a.rs:1 first",
            "@pb fault page-fault second",
            "@pb panic src/b.rs:2 third",
        ]);
        assert_eq!(
            transcript.last_words,
            Some(LastWords::Panic { place: "src/a.rs:1".to_owned(), message: "first".to_owned() })
        );
    }

    #[test]
    fn a_torn_line_is_remembered() {
        let transcript = hear(&["@pb pass a@pb done held", "@pb stat x"]);
        let garbled = transcript.garbled.unwrap();
        assert!(garbled.contains("pass a@pb done held"), "{garbled}");
        assert_eq!(transcript.done, None);
        assert!(hear(&["@pb cell key 1"]).garbled.is_some());
    }

    #[test]
    fn the_tail_is_short_and_harmless() {
        let mut transcript = Transcript::default();
        for i in 0..1000 {
            transcript.hear(&format!("\u{1b}[31mline {i}\r"));
        }
        assert_eq!(transcript.tail.len(), TAIL_LINES);
        assert_eq!(transcript.tail.back().unwrap(), "[31mline 999");
    }
}
