//! Decides what a run shows: checks the guest's verdict against the numbers that it reported.

use std::fmt;

use pageblock_protocol::Verdict;

use crate::guest::boot::Outcome;
use crate::guest::ending::Ending;
use crate::host::status::Status;
use crate::qemu::machine::Machine;
use crate::scenario::spec::ScenarioSpec;

/// What a run shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// The launcher's exit status.
    pub status: Status,
    /// Why, one sentence each. The first is the summary.
    pub reasons: Vec<String>,
}

impl Judgement {
    /// Judges a boot of that scenario on that machine.
    pub fn of(spec: &ScenarioSpec, machine: Machine, outcome: &Outcome) -> Self {
        let Ending::Done(verdict) = outcome.ending else {
            return Self::new(outcome.ending.status(), [outcome.ending.to_string()]);
        };
        let transcript = &outcome.transcript;
        let cpus = transcript.hello.map_or(0, |hello| hello.cpus);
        if cpus != machine.cpus {
            let reason = format!("{cpus} CPUs are running instead of {}", machine.cpus);
            return Self::new(Status::Crashed, [reason]);
        }
        let missing: Vec<String> = spec
            .required
            .iter()
            .filter(|key| transcript.stat(key).is_none())
            .map(|key| format!("the kernel did not report `{key}`"))
            .collect();
        if !missing.is_empty() {
            return Self::new(Status::Crashed, missing);
        }
        let mut broken = transcript.broken.clone();
        // If the kernel reports nothing that did not hold, its measurements may still show it.
        let checked = if broken.is_empty() { spec.must_be_zero } else { &[] };
        for key in checked {
            if let Some(value) = transcript.stat(key).filter(|value| *value != 0) {
                broken.push(format!("{} is {value} and must be 0", key.replace('_', " ")));
            }
        }
        if verdict == Verdict::Held && broken.is_empty() {
            let zero = |key: &&&str| transcript.stat(key) == Some(0);
            if let Some(key) = spec.must_not_be_zero.iter().find(zero) {
                let reason = format!("nothing was tested: {} is 0", key.replace('_', " "));
                return Self::new(Status::Crashed, [reason]);
            }
            return Self::new(Status::Held, [outcome.ending.to_string()]);
        }
        broken.insert(0, Ending::Done(Verdict::Broken).to_string());
        Self::new(Status::Broken, broken)
    }

    /// What is said about a run that the user ended like that, in that boot of so many, and that
    /// has results.
    pub fn of_a_part(ending: &Ending, boot: usize, boots: usize) -> Self {
        let when = if boots == 1 { String::new() } else { format!(" in boot {boot} of {boots}") };
        Self::new(ending.status(), [format!("{ending}{when}; these are the results until then")])
    }

    /// Whether the run has results: it did not crash, and nothing was missing.
    pub const fn has_results(&self) -> bool {
        matches!(self.status, Status::Held | Status::Broken)
    }

    fn new(status: Status, reasons: impl Into<Vec<String>>) -> Self {
        Self { status, reasons: reasons.into() }
    }
}

impl fmt::Display for Judgement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, reason) in self.reasons.iter().enumerate() {
            let lead = if i == 0 { "" } else { "\n  " };
            let reason = reason.trim_end().replace('\n', "\n    ");
            write!(f, "{lead}{reason}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::guest::transcript::Transcript;
    use crate::scenario::table::find;

    /// Judges a boot that reports every required measurement as 0, but for those that must not be,
    /// and then sends those lines.
    fn judge(lines: &[&str], ending: Ending) -> Judgement {
        let spec = find("cma").unwrap();
        let mut transcript = Transcript::default();
        transcript.receive("@pb hello 2 4 1024");
        for key in spec.required {
            let value = u8::from(spec.must_not_be_zero.contains(key));
            transcript.receive(&format!("@pb stat {key} {value}"));
        }
        for line in lines {
            transcript.receive(line);
        }
        Judgement::of(spec, MACHINE, &outcome(transcript, ending))
    }

    fn outcome(transcript: Transcript, ending: Ending) -> Outcome {
        Outcome {
            transcript,
            ending,
            qemu_messages: Vec::new(),
            command: String::new(),
            took: Duration::ZERO,
        }
    }

    const MACHINE: Machine = Machine { cpus: 4, memory_mib: 1024 };
    const HELD: Ending = Ending::Done(Verdict::Held);
    const BROKEN: Ending = Ending::Done(Verdict::Broken);

    #[test]
    fn a_run_without_drift_holds() {
        let judgement = judge(&["@pb stat audits 1000"], HELD);
        assert_eq!(judgement.status, Status::Held);
        assert!(judgement.has_results());
    }

    #[test]
    fn drift_is_broken_even_if_the_kernel_says_it_held() {
        for key in ["missed_pages", "max_abs_drift_pages", "contents_corrupted"] {
            let line = format!("@pb stat {key} 512");
            let judgement = judge(&[&line], HELD);
            assert_eq!(judgement.status, Status::Broken);
            let says = format!("{} is 512 and must be 0", key.replace('_', " "));
            assert!(judgement.to_string().contains(&says), "{judgement}");
        }
    }

    #[test]
    fn the_kernel_reports_more_than_the_numbers_show() {
        let judgement = judge(&["@pb broken a page is in two places\\nat once\\n"], BROKEN);
        assert_eq!(judgement.status, Status::Broken);
        assert_eq!(
            judgement.to_string(),
            "an invariant did not hold\n  a page is in two places\n    at once"
        );
        assert_eq!(judge(&["@pb broken x"], HELD).status, Status::Broken);
        assert_eq!(judge(&[], BROKEN).status, Status::Broken);
    }

    #[test]
    fn a_run_without_measurements_is_a_crash() {
        let spec = find("cma").unwrap();
        let mut transcript = Transcript::default();
        transcript.receive("@pb hello 2 4 1024");
        let judgement = Judgement::of(spec, MACHINE, &outcome(transcript, HELD));
        assert_eq!(judgement.status, Status::Crashed);
        assert!(!judgement.has_results());
        assert!(judgement.to_string().contains("the kernel did not report `audits`"));
    }

    #[test]
    fn a_run_that_tested_nothing_does_not_hold() {
        for key in ["audits", "succeeded"] {
            let judgement = judge(&[&format!("@pb stat {key} 0")], HELD);
            assert_eq!(judgement.status, Status::Crashed);
            assert_eq!(judgement.to_string(), format!("nothing was tested: {key} is 0"));
        }
    }

    #[test]
    fn fewer_cpus_than_asked_for_are_a_crash() {
        let judgement = judge(&["@pb hello 2 3 1024"], HELD);
        assert_eq!(judgement.status, Status::Crashed);
        assert_eq!(judgement.to_string(), "3 CPUs are running instead of 4");
    }

    #[test]
    fn other_endings_keep_their_status() {
        let judgement = judge(&[], Ending::Reset);
        assert_eq!(judgement.status, Status::Crashed);
        assert!(!judgement.has_results());
        assert_eq!(judge(&[], Ending::Interrupted).status, Status::Interrupted);
    }
}
