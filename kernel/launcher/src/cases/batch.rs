//! One boot of the kernel for a batch of in-kernel test cases.

use std::collections::VecDeque;

use pageblock_protocol::{Line, Verdict};

use crate::cases::end::{CaseEnd, tail};
use crate::guest::boot::{Listener, Outcome};
use crate::guest::ending::Ending;
use crate::guest::transcript::printable;
use crate::host::streams::say;

/// Whether the guest's serial output is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Serial {
    /// It is not printed; its last lines are part of the report of a failure.
    #[default]
    Kept,
    /// It is printed to standard error at once.
    Shown,
}

/// The progress of a batch: assigns an end to each case, from the lines that the guest sends.
pub(crate) struct Batch<'p, 'n> {
    /// The cases without an end, of this batch and of later ones.
    remaining: &'p mut VecDeque<&'n str>,
    /// The number of cases without an end before the boot.
    remaining_before: usize,
    running: Option<String>,
    failures: usize,
    serial: Serial,
    contradictions: &'p mut Vec<String>,
    report: &'p mut dyn FnMut(&str, CaseEnd),
}

impl<'p, 'n> Batch<'p, 'n> {
    pub(crate) fn new(
        remaining: &'p mut VecDeque<&'n str>,
        serial: Serial,
        contradictions: &'p mut Vec<String>,
        report: &'p mut dyn FnMut(&str, CaseEnd),
    ) -> Self {
        let remaining_before = remaining.len();
        Self { remaining, remaining_before, running: None, failures: 0, serial, contradictions, report }
    }
}

impl Listener for Batch<'_, '_> {
    fn receive(&mut self, raw: &str, line: Option<&Line<'_>>) {
        if self.serial == Serial::Shown {
            say(format_args!("{}", printable(raw)));
        }
        match line {
            Some(Line::Start(name)) => {
                if let Some(other) = self.running.replace((*name).to_owned()) {
                    self.contradict(format!("`{name}` began while `{other}` was running"));
                    self.end(&other, CaseEnd::missed("it began and never ended", vec![]));
                }
            }
            Some(Line::Pass(name)) => self.end_running(name, CaseEnd::Passed),
            Some(Line::Skip { name, reason }) => {
                let reason = reason.to_string();
                self.end_running(name, CaseEnd::Skipped { reason });
            }
            Some(Line::Fail { name, place, message }) => {
                self.failures += 1;
                let (place, message) = (place.to_string(), message.to_string());
                self.end_running(name, CaseEnd::Failed { place, message });
            }
            _ => {}
        }
    }
}

impl Batch<'_, '_> {
    fn end_running(&mut self, name: &str, end: CaseEnd) {
        if self.running.take().as_deref() != Some(name) {
            self.contradict(format!("`{name}` ended and had not begun"));
        }
        self.end(name, end);
    }

    /// Reports the end of a case that has none yet.
    fn end(&mut self, name: &str, end: CaseEnd) {
        match self.remaining.iter().position(|n| *n == name) {
            Some(at) => {
                self.remaining.remove(at);
                (self.report)(name, end);
            }
            None => self.contradict(format!("`{name}` was not selected, or ended twice")),
        }
    }

    /// Assigns ends to the cases that have none when the boot is over, and checks its verdict.
    pub(crate) fn close(mut self, names: &[&str], outcome: &Outcome) {
        if let Some(name) = self.running.take() {
            let ending = outcome.ending.clone();
            if matches!(ending, Ending::Done(_)) {
                self.contradict(format!("the kernel finished while `{name}` was running"));
            }
            let tail = tail(outcome);
            self.end(&name, CaseEnd::Died { ending, tail });
        } else if !matches!(outcome.ending, Ending::Done(_) | Ending::Interrupted) {
            self.contradict(format!("between two cases, {}", outcome.ending));
        }
        if let Ending::Done(verdict) = outcome.ending {
            self.check_verdict(verdict);
        }
        let is_over = matches!(outcome.ending, Ending::Done(_));
        let nothing_ended = self.remaining.len() == self.remaining_before;
        if is_over || nothing_ended {
            self.miss_the_rest(names, outcome);
        }
    }

    fn check_verdict(&mut self, verdict: Verdict) {
        let failures = self.failures;
        if (verdict == Verdict::Broken) != (failures > 0) {
            self.contradict(format!("`done {verdict}` after {failures} failed cases"));
        }
    }

    /// Reports as missed all cases of this boot that have no end.
    fn miss_the_rest(&mut self, names: &[&str], outcome: &Outcome) {
        let reason = match outcome.ending {
            Ending::Done(_) => "the kernel did not run it".to_owned(),
            ref ending => ending.to_string(),
        };
        let missed: Vec<&str> = self.remaining.iter().copied().filter(|name| names.contains(name)).collect();
        for name in missed {
            self.end(name, CaseEnd::missed(&reason, tail(outcome)));
        }
    }

    fn contradict(&mut self, what: String) {
        self.contradictions.push(what);
    }
}
