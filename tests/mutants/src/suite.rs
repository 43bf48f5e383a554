//! The tests, in an order in which most mutants are noticed soon.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;

use crate::build::Built;
use crate::trial::{Outcome, Program};

/// Tests of the hosted program that take long: they run when no other test has noticed a mutant.
const SLOW: &[&str] = &[
    "stress::",
    "reference_model::",
    "removed_records::",
    "random_maps",
    "records_live_in",
    "a_mover_and_a_free_race",
    "added_records::memory_is_added",
    "exchange::an_isolation_finds",
    "guard::a_million",
    "hwpoison::cpus",
    "owner_word::many",
    "reserves::an_atomic_request_takes_what",
    "reserves::cached_pages_of_a_low",
    "reserves::nobody_is_refused",
    "sparse::memory_may_be",
    "sparse::twelve",
];
/// Without a line of output for so long, the quick tests hang.
const QUICK_STALL: Duration = Duration::from_secs(25);
/// Likewise for the slow ones, of which one may take most of a minute.
const SLOW_STALL: Duration = Duration::from_secs(180);
/// So many of the hosted tests run before the others.
const RECENT: usize = 30;

/// The unit tests and the hosted tests.
pub(crate) struct Suite {
    unit_tests: Program,
    hosted_tests: Program,
    slow_tests: Option<Program>,
    /// The hosted tests that noticed the last mutants, the latest first: they are likely to notice
    /// the next one, too.
    recent: Mutex<VecDeque<String>>,
}

impl Suite {
    /// `quick` leaves the slow tests out.
    pub(crate) fn new(built: &Built, quick: bool) -> Self {
        Self {
            unit_tests: Program::new(&built.unit_tests, QUICK_STALL),
            hosted_tests: Program::new(&built.hosted_tests, QUICK_STALL),
            slow_tests: (!quick).then(|| Program::new(&built.hosted_tests, SLOW_STALL)),
            recent: Mutex::default(),
        }
    }

    /// Runs tests with mutant `number` until one fails.
    pub(crate) fn run(&self, number: u32) -> Outcome {
        let mut outcome = self.unit_tests.run(&[], number);
        if outcome == Outcome::Missed {
            outcome = self.run_recent(number);
        }
        if outcome == Outcome::Missed {
            outcome = self.run_hosted(number);
        }
        if outcome == Outcome::Missed
            && let Some(slow_tests) = &self.slow_tests
        {
            outcome = slow_tests.run(SLOW, number);
        }
        outcome
    }

    fn run_recent(&self, number: u32) -> Outcome {
        let recent: Vec<_> = self.recent.lock().unwrap().iter().cloned().collect();
        if recent.is_empty() {
            return Outcome::Missed;
        }
        let arguments: Vec<_> = ["--exact"].into_iter().chain(recent.iter().map(String::as_str)).collect();
        self.hosted_tests.run(&arguments, number)
    }

    fn run_hosted(&self, number: u32) -> Outcome {
        let skipped: Vec<_> = SLOW.iter().flat_map(|test| ["--skip", test]).collect();
        let outcome = self.hosted_tests.run(&skipped, number);
        if let Outcome::Caught(test) = &outcome {
            let mut recent = self.recent.lock().unwrap();
            recent.push_front(test.clone());
            recent.truncate(RECENT);
        }
        outcome
    }
}
