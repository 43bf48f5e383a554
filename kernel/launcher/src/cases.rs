//! In-kernel test cases, with as many boots as they need.
//!
//! One boot serves many cases. When a case takes the kernel down, it gets that
//! as its result, and the kernel boots again for the cases that remain. Every
//! case that was asked for gets exactly one [`CaseEnd`].

use std::collections::VecDeque;
use std::time::Duration;

use pageblock_protocol::config::MAX_LENGTH;
use pageblock_protocol::{BootConfig, CaseKind, Line, Scenario, Selection, Verdict};

use crate::boot::{Interrupt, Limits, Listener, Outcome};
use crate::ending::Ending;
use crate::qemu::{Debugger, Machine};
use crate::rig::{BootError, Rig};
use crate::transcript::printable;

mod end;

pub use end::CaseEnd;
use end::{Tail, tail};

/// Runs cases on one machine.
#[derive(Clone, Copy, Debug)]
pub struct CaseRunner<'r> {
    /// What boots need.
    pub rig: &'r Rig,
    /// The hardware they boot on.
    pub machine: Machine,
    /// How long a boot may take.
    pub boot_limit: Duration,
    /// How long a case may be silent.
    pub case_limit: Duration,
    /// Set when the user wants to stop.
    pub interrupt: &'r Interrupt,
    /// Whether the guest's serial output goes to standard error as it comes.
    pub serial: Serial,
}

/// What becomes of the guest's serial output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Serial {
    /// Its last lines go with a bad end.
    #[default]
    Kept,
    /// It is shown as it comes, too.
    Shown,
}

/// What is to say about a run besides the cases.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// How often the kernel booted.
    pub boots: u32,
    /// What the kernel said that contradicts itself. A run in which this is not
    /// empty is not to be trusted.
    pub contradictions: Vec<String>,
}

/// The cases cannot be listed.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    /// The boot could not begin.
    #[error(transparent)]
    Boot(#[from] BootError),
    /// It ended badly.
    #[error("the kernel does not list its cases: {ending}{}", Tail(.tail))]
    Ended {
        /// How.
        ending: Ending,
        /// The guest's last lines.
        tail: Vec<String>,
    },
}

impl CaseRunner<'_> {
    /// The names of all cases, in the order in which they run.
    pub fn list(&self) -> Result<Vec<(String, CaseKind)>, ListError> {
        let config = BootConfig { scenario: Scenario::ListCases, ..BootConfig::default() };
        let outcome = self.boot(&config, &mut ())?;
        match outcome.ending {
            Ending::Done(Verdict::Held) => Ok(outcome.transcript.listed),
            ref ending => Err(ListError::Ended { ending: ending.clone(), tail: tail(&outcome) }),
        }
    }

    /// Runs the named cases and reports each as soon as it has ended.
    pub fn run(&self, names: &[String], report: &mut dyn FnMut(&str, CaseEnd)) -> Result<Summary, BootError> {
        let mut remaining: VecDeque<&str> = names.iter().map(String::as_str).collect();
        let mut summary = Summary::default();
        while !remaining.is_empty() && !self.interrupt.is_set() {
            let batch = next_batch(&remaining);
            summary.boots += 1;
            self.run_batch(&batch, &mut remaining, &mut summary, report)?;
        }
        for name in remaining {
            report(name, CaseEnd::missed("interrupted", Vec::new()));
        }
        Ok(summary)
    }

    /// One boot. Takes at least one case off `remaining`.
    fn run_batch(
        &self,
        batch: &[&str],
        remaining: &mut VecDeque<&str>,
        summary: &mut Summary,
        report: &mut dyn FnMut(&str, CaseEnd),
    ) -> Result<(), BootError> {
        let selected = batch.join(",");
        let config = BootConfig {
            scenario: Scenario::Cases,
            cases: Selection::Named(&selected),
            ..BootConfig::default()
        };
        let before = remaining.len();
        let mut progress = BatchProgress {
            remaining,
            running: None,
            failures: 0,
            serial: self.serial,
            contradictions: &mut summary.contradictions,
            report,
        };
        let outcome = self.boot(&config, &mut progress)?;
        progress.close(batch, before, &outcome);
        Ok(())
    }

    fn boot(&self, config: &BootConfig<'_>, listener: &mut dyn Listener) -> Result<Outcome, BootError> {
        let limits = Limits { deadline: Some(self.boot_limit), silence: Some(self.case_limit) };
        self.rig.boot(self.machine, Debugger::None, config, limits, self.interrupt, listener)
    }
}

/// As many of the next cases as one command line can name.
fn next_batch<'n>(remaining: &VecDeque<&'n str>) -> Vec<&'n str> {
    const FOR_THE_OTHER_WORDS: usize = 256;
    let mut length = FOR_THE_OTHER_WORDS;
    remaining
        .iter()
        .enumerate()
        .take_while(|(i, name)| {
            length += name.len() + ",".len();
            *i == 0 || length <= MAX_LENGTH
        })
        .map(|(_, name)| *name)
        .collect()
}

/// What happened to a batch of cases so far.
struct BatchProgress<'p, 'n> {
    remaining: &'p mut VecDeque<&'n str>,
    running: Option<String>,
    failures: usize,
    serial: Serial,
    contradictions: &'p mut Vec<String>,
    report: &'p mut dyn FnMut(&str, CaseEnd),
}

impl Listener for BatchProgress<'_, '_> {
    fn hear(&mut self, raw: &str, line: Option<&Line<'_>>) {
        if self.serial == Serial::Shown {
            eprintln!("{}", printable(raw));
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

impl BatchProgress<'_, '_> {
    fn end_running(&mut self, name: &str, end: CaseEnd) {
        if self.running.take().as_deref() != Some(name) {
            self.contradict(format!("`{name}` ended and had not begun"));
        }
        self.end(name, end);
    }

    /// Reports a case's end, once.
    fn end(&mut self, name: &str, end: CaseEnd) {
        match self.remaining.iter().position(|n| *n == name) {
            Some(at) => {
                self.remaining.remove(at);
                (self.report)(name, end);
            }
            None => self.contradict(format!("`{name}` was not asked for, or ended twice")),
        }
    }

    /// The boot is over: settles what it left open.
    fn close(mut self, batch: &[&str], before: usize, outcome: &Outcome) {
        if let Some(name) = self.running.take() {
            let ending = outcome.ending.clone();
            if matches!(ending, Ending::Done(_)) {
                self.contradict(format!("the kernel was done while `{name}` was running"));
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
        let nothing_ended = self.remaining.len() == before;
        if is_over || nothing_ended {
            self.miss_the_rest(batch, outcome);
        }
    }

    fn check_verdict(&mut self, verdict: Verdict) {
        let failures = self.failures;
        if (verdict == Verdict::Broken) != (failures > 0) {
            self.contradict(format!("`done {verdict}` after {failures} failed cases"));
        }
    }

    fn miss_the_rest(&mut self, batch: &[&str], outcome: &Outcome) {
        let reason = match outcome.ending {
            Ending::Done(_) => "the kernel did not run it".to_owned(),
            ref ending => ending.to_string(),
        };
        let missed: Vec<&str> = self.remaining.iter().copied().filter(|name| batch.contains(name)).collect();
        for name in missed {
            self.end(name, CaseEnd::missed(&reason, tail(outcome)));
        }
    }

    fn contradict(&mut self, what: String) {
        self.contradictions.push(what);
    }
}

#[cfg(test)]
mod tests;
