//! The parser of [`Line`]. It accepts exactly what the printer prints.

use core::fmt::{self, Display};

use crate::line::{CaseKind, Latency, Line, PREFIX, Place, Sample, Value, Verdict};
use crate::text::Text;

/// An error in a line that begins with the prefix of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineError<'a> {
    /// What the parser expected.
    pub expected: &'static str,
    /// What it found instead.
    pub found: &'a str,
}

impl<'a> Line<'a> {
    /// Parses a line, without its line break.
    ///
    /// The result is `None` for log text, and an error for a line that has the prefix of the
    /// protocol but is not valid, for example because two CPUs printed at once.
    pub fn parse(line: &'a str) -> Option<Result<Self, LineError<'a>>> {
        let rest = line.strip_suffix('\r').unwrap_or(line);
        rest.strip_prefix(PREFIX).map(Self::parse_body)
    }

    fn parse_body(body: &'a str) -> Result<Self, LineError<'a>> {
        let mut words = Words(body);
        let line = match words.word("a word after the prefix")? {
            "hello" => Self::Hello {
                version: words.number("the protocol's version")?,
                cpus: words.number("the number of CPUs")?,
                memory_mib: words.number("MiB of memory")?,
            },
            "count" => Self::Count(words.number("a count")?),
            "case" => Self::Case { name: words.word("a case's name")?, kind: words.case_kind()? },
            "start" => Self::Start(words.word("a case's name")?),
            "pass" => Self::Pass(words.word("a case's name")?),
            "fail" => Self::Fail {
                name: words.word("a case's name")?,
                place: words.place()?,
                message: words.text(),
            },
            "skip" => Self::Skip { name: words.word("a case's name")?, reason: words.text() },
            "progress" => Self::Progress {
                done: words.number("steps done")?,
                total: words.number("steps in all")?,
                label: words.text(),
            },
            "stat" => {
                Self::Stat { key: words.word("a measurement's name")?, value: words.number("a measurement")? }
            }
            "row" => Self::Row(words.word("a row's name")?),
            "cell" => Self::Cell {
                key: words.word("a column's name")?,
                value: Value::parse(words.word("a value")?),
            },
            "sample" => Self::Sample {
                series: words.word("a series")?,
                at_us: words.number("a time in microseconds")?,
                sample: words.sample()?,
            },
            "used" => {
                Self::Used { at_ms: words.number("milliseconds")?, kib: words.number("KiB that are used")? }
            }
            "resized" => Self::Resized {
                number: words.number("the number of changes")?,
                plugged_mib: words.number("MiB that are plugged")?,
                managed_pages: words.number("pages that are managed")?,
                record_pages: words.number("pages for records")?,
            },
            "note" => Self::Note(words.text()),
            "broken" => Self::Broken(words.text()),
            "event" => Self::Event {
                cpu: words.number("the number of a CPU")?,
                at_us: words.number("a time in microseconds")?,
                text: words.text(),
            },
            "panic" => Self::Panic { place: words.place()?, message: words.text() },
            "fault" => Self::Fault { name: words.word("an exception")?, message: words.text() },
            "refused" => Self::Refused(words.text()),
            "done" => Self::Done(words.verdict()?),
            found => {
                return Err(LineError { expected: "a word of the protocol", found });
            }
        };
        words.end()?;
        Ok(line)
    }
}

impl<'a> Value<'a> {
    pub(super) fn parse(word: &'a str) -> Self {
        if let Ok(value) = word.parse() {
            return Self::Integer(value);
        }
        Self::parse_thousandths(word).unwrap_or(Self::Word(word))
    }

    fn parse_thousandths(word: &str) -> Option<Self> {
        let (sign, magnitude) = match word.strip_prefix('-') {
            Some(magnitude) => (-1, magnitude),
            None => (1, word),
        };
        let (whole, fraction) = magnitude.split_once('.')?;
        let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(fraction) || fraction.len() != 3 {
            return None;
        }
        let whole: i64 = whole.parse().ok()?;
        let fraction: i64 = fraction.parse().ok()?;
        let value = whole.checked_mul(1000)?.checked_add(fraction)?;
        Some(Self::Thousandths(sign * value))
    }
}

/// The words of a line that are not parsed yet.
struct Words<'a>(&'a str);

impl<'a> Words<'a> {
    fn word(&mut self, expected: &'static str) -> Result<&'a str, LineError<'a>> {
        let (word, rest) = self.0.split_once(' ').unwrap_or((self.0, ""));
        if word.is_empty() {
            let found = self.0;
            return Err(LineError { expected, found });
        }
        self.0 = rest;
        Ok(word)
    }

    fn number<N: core::str::FromStr>(&mut self, expected: &'static str) -> Result<N, LineError<'a>> {
        let found = self.word(expected)?;
        found.parse().map_err(|_| LineError { expected, found })
    }

    fn place(&mut self) -> Result<Place<'a>, LineError<'a>> {
        let expected = "FILE:LINE";
        let found = self.word(expected)?;
        let error = LineError { expected, found };
        let (file, line) = found.rsplit_once(':').ok_or(error)?;
        let line = line.parse().map_err(|_| error)?;
        Ok(Place { file, line })
    }

    fn case_kind(&mut self) -> Result<CaseKind, LineError<'a>> {
        let expected = "`plain` or `explicit`";
        match self.word(expected)? {
            "plain" => Ok(CaseKind::Plain),
            "explicit" => Ok(CaseKind::Explicit),
            found => Err(LineError { expected, found }),
        }
    }

    fn verdict(&mut self) -> Result<Verdict, LineError<'a>> {
        let expected = "`held` or `broken`";
        match self.word(expected)? {
            "held" => Ok(Verdict::Held),
            "broken" => Ok(Verdict::Broken),
            found => Err(LineError { expected, found }),
        }
    }

    fn sample(&mut self) -> Result<Sample<'a>, LineError<'a>> {
        let expected = "a kind of sample";
        match self.word(expected)? {
            "audit" => Ok(Sample::Audit {
                counter: self.number("the free counter")?,
                truth: self.number("the free pages")?,
            }),
            "latency" => Ok(Sample::Latency(Latency {
                whole: self.number("microseconds")?,
                isolate: self.number("microseconds to isolate")?,
                migrate: self.number("microseconds to migrate")?,
                audits: self.number("microseconds of audits")?,
                test: self.number("microseconds to test")?,
            })),
            "orders" => Ok(Sample::Orders(self.word("numbers of blocks")?)),
            "map" => Ok(Sample::Map(self.word("pageblocks")?)),
            found => Err(LineError { expected, found }),
        }
    }

    /// The rest of the line.
    fn text(&mut self) -> Text<'a> {
        Text::from_wire(core::mem::take(&mut self.0))
    }

    fn end(&self) -> Result<(), LineError<'a>> {
        if self.0.is_empty() {
            return Ok(());
        }
        Err(LineError { expected: "the end of the line", found: self.0 })
    }
}

impl Display for LineError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { expected, found } = self;
        write!(f, "expected {expected}, found `{found}`")
    }
}

impl core::error::Error for LineError<'_> {}
