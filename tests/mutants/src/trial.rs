//! Runs a test program with one mutant until a test fails.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;
use std::{fmt, thread};

use rustix::process::{Resource, Rlimit, setrlimit};

/// A mutant may ask for memory without end: more than this is refused, and the program ends.
const MEMORY: u64 = 8 << 30;

/// What the tests made of a mutant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// This test failed, or the program ended before its time.
    Caught(String),
    /// No test ended for a long time.
    Hung,
    /// Nothing happened.
    Missed,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Caught(test) => write!(f, "caught by {test}"),
            Self::Hung => write!(f, "hung"),
            Self::Missed => write!(f, "missed"),
        }
    }
}

/// A test program.
pub(crate) struct Program {
    path: PathBuf,
    stall: Duration,
}

/// Limits the address space of this process and of those that it starts.
pub(crate) fn limit_memory() {
    setrlimit(Resource::As, Rlimit { current: Some(MEMORY), maximum: Some(MEMORY) }).expect("a lower limit");
}

impl Program {
    /// `stall` is the longest time without a test that ends.
    pub(crate) fn new(path: &Path, stall: Duration) -> Self {
        Self { path: path.to_owned(), stall }
    }

    /// Runs the tests that `arguments` select, one after the other, with mutant `number`.
    pub(crate) fn run(&self, arguments: &[&str], number: u32) -> Outcome {
        let mut child = Command::new(&self.path)
            .arg("--test-threads=1")
            .args(arguments)
            .env("PAGEBLOCK_MUTANT", number.to_string())
            .env("PROPTEST_FAILURE_PERSISTENCE", "off")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the test program starts");
        let output = BufReader::new(child.stdout.take().unwrap());
        let (sender, receiver) = channel();
        let reader = thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let outcome = loop {
            match receiver.recv_timeout(self.stall) {
                Ok(line) => {
                    if let Some(test) = line.strip_suffix(" ... FAILED") {
                        let test = test.trim_start_matches("test ").trim_end_matches(" - should panic");
                        break Outcome::Caught(test.to_owned());
                    }
                }
                Err(RecvTimeoutError::Timeout) => break Outcome::Hung,
                Err(RecvTimeoutError::Disconnected) => {
                    break match child.wait().unwrap().code() {
                        Some(0) => Outcome::Missed,
                        _ => Outcome::Caught("the end of the program".to_owned()),
                    };
                }
            }
        };
        drop(receiver);
        let _ = child.kill();
        child.wait().unwrap();
        reader.join().unwrap();
        outcome
    }
}
