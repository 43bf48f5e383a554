//! Runs in-kernel test cases, with as many boots as that takes.
//!
//! One boot runs many cases. A case that crashes the kernel gets the crash as its result, and the
//! kernel boots again for the remaining cases. Each selected case gets exactly one [`CaseEnd`].

use std::collections::VecDeque;
use std::time::Duration;

use pageblock_protocol::config::MAX_LENGTH;
use pageblock_protocol::{BootConfig, CaseKind, Scenario, Selection, Verdict};

use crate::cases::batch::{Batch, Serial};
use crate::cases::end::{CaseEnd, Tail, tail};
use crate::guest::boot::{Limits, Listener, Outcome};
use crate::guest::ending::Ending;
use crate::host::interrupt::Interrupt;
use crate::qemu::machine::{Debugger, Machine};
use crate::vm::{BootError, Vm};

/// Runs cases on one machine.
#[derive(Clone, Copy, Debug)]
pub struct CaseRunner<'r> {
    /// The virtual machine.
    pub vm: &'r Vm,
    /// Its hardware.
    pub machine: Machine,
    /// The time that a boot may take.
    pub boot_limit: Duration,
    /// The time from one protocol line to the next that a case may take.
    pub case_limit: Duration,
    /// The user's request to stop.
    pub interrupt: &'r Interrupt,
    /// Whether the guest's serial output is printed.
    pub serial: Serial,
}

/// What a run reports besides the ends of its cases.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// The number of boots.
    pub boots: u32,
    /// Contradictions in the kernel's reports. If there is one, no result can be trusted.
    pub contradictions: Vec<String>,
}

/// Why the cases could not be listed.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    /// The boot could not begin.
    #[error(transparent)]
    Boot(#[from] BootError),
    /// The boot failed.
    #[error("the kernel does not list its cases: {ending}{}", Tail(.tail))]
    Ended {
        /// How the boot ended.
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

    /// Runs the named cases and reports the end of each at once.
    pub fn run(&self, names: &[String], report: &mut dyn FnMut(&str, CaseEnd)) -> Result<Summary, BootError> {
        let mut remaining: VecDeque<&str> = names.iter().map(String::as_str).collect();
        let mut summary = Summary::default();
        while !remaining.is_empty() && !self.interrupt.is_set() {
            let next = names_of_next_boot(&remaining);
            summary.boots += 1;
            self.run_batch(&next, &mut remaining, &mut summary, report)?;
        }
        for name in remaining {
            report(name, CaseEnd::missed("interrupted", Vec::new()));
        }
        Ok(summary)
    }

    /// Runs these cases in one boot. Removes those that ended, at least one, from `remaining`.
    fn run_batch(
        &self,
        names: &[&str],
        remaining: &mut VecDeque<&str>,
        summary: &mut Summary,
        report: &mut dyn FnMut(&str, CaseEnd),
    ) -> Result<(), BootError> {
        let selected = names.join(",");
        let config = BootConfig {
            scenario: Scenario::Cases,
            cases: Selection::Named(&selected),
            ..BootConfig::default()
        };
        let mut batch = Batch::new(remaining, self.serial, &mut summary.contradictions, report);
        let outcome = self.boot(&config, &mut batch)?;
        batch.close(names, &outcome);
        Ok(())
    }

    fn boot(&self, config: &BootConfig<'_>, listener: &mut dyn Listener) -> Result<Outcome, BootError> {
        let limits = Limits { deadline: Some(self.boot_limit), silence: Some(self.case_limit) };
        self.vm.boot(self.machine, Debugger::None, config, limits, self.interrupt, listener)
    }
}

/// The names of as many of the next cases as fit into the kernel's command line.
fn names_of_next_boot<'n>(remaining: &VecDeque<&'n str>) -> Vec<&'n str> {
    const OTHER_WORDS: usize = 256;
    let mut length = OTHER_WORDS;
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

#[cfg(test)]
mod tests;
