//! The command line of the kernel: the scenario and its parameters.
//!
//! It consists of words of the form `key=value`, in any order: `scenario=cma cma=256 seed=7`.
//! Missing keys have their defaults, so a boot without a command line (a disk image, for example)
//! runs the main scenario. An unknown word is an error.

use core::fmt;

use crate::scenario::Scenario;

/// The most bytes of a command line that the kernel accepts. QEMU's limit is about twice as high.
pub const MAX_LENGTH: usize = 2048;

/// The most jobs that the kernel can run at the same time.
pub const MAX_JOBS: u32 = 128;

/// What the host does to a DIMM.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DimmChange {
    /// It inserts the DIMM.
    Insert,
    /// It asks for the DIMM while a page of it is pinned: the guest refuses.
    Refused,
    /// It asks for the DIMM, and the guest ejects it.
    Remove,
}

/// What the host does after all sizes of the memory device in the scenario `plug`, in this order:
/// the number of the DIMM, and what is done to it.
pub const DIMM_CHANGES: [(u32, DimmChange); 5] = [
    (0, DimmChange::Insert),
    (0, DimmChange::Refused),
    (0, DimmChange::Remove),
    (1, DimmChange::Insert),
    (1, DimmChange::Remove),
];

/// The configuration of a boot. [`Display`](fmt::Display) writes the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BootConfig<'a> {
    /// `scenario=NAME`
    pub scenario: Scenario,
    /// `cma=MIB`: the size of the CMA area.
    pub cma_mib: u32,
    /// `jobs=N`: the number of build-like jobs.
    pub jobs: u32,
    /// `cycles=N`: the number of contiguous allocations.
    pub cycles: u32,
    /// `chunk=MIB`: the size of each contiguous allocation.
    pub chunk_mib: u32,
    /// `interval-ms=N`: the time from the start of one contiguous allocation to the next.
    pub interval_ms: u32,
    /// `operations=N`: the allocations and frees of all kinds after which a soak ends; 0 for no
    /// limit.
    pub operations: u64,
    /// `minutes=N`: the time after which a soak ends; 0 for no limit.
    pub minutes: u32,
    /// `seed=N`: the seed of all pseudo-random choices.
    pub seed: u64,
    /// `fault=NAME`: the historical accounting mistake to switch on.
    pub fault: Option<&'a str>,
    /// `samples=1`: send samples for the pictures of a report.
    pub samples: bool,
    /// `trace=1`: send the last events of the allocator at the end. For an image that has them.
    pub trace: bool,
    /// `report=0`: do not report free memory to the host.
    pub report: bool,
    /// `display=1`: draw the map of memory on the display device.
    pub display: bool,
    /// `cases=NAME,NAME`: the test cases to run.
    pub cases: Selection<'a>,
}

impl Default for BootConfig<'_> {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Which test cases to run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Selection<'a> {
    /// Every plain case.
    #[default]
    Plain,
    /// The cases with these names, separated by commas.
    Named(&'a str),
}

impl Selection<'_> {
    /// Whether the case of that name and kind is selected.
    pub fn selects(&self, name: &str, kind: crate::CaseKind) -> bool {
        match self {
            Self::Plain => kind == crate::CaseKind::Plain,
            Self::Named(names) => names.split(',').any(|n| n == name),
        }
    }
}

/// An error in a command line, with the word that contains it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigError<'a> {
    /// A word without `=`.
    NotKeyValue(&'a str),
    /// A word whose key is not one of [`BootConfig`]'s.
    UnknownKey(&'a str),
    /// A word whose value is not a number, or is too large.
    NotANumber(&'a str),
    /// A word whose value is not the name of a scenario.
    UnknownScenario(&'a str),
    /// A word without a value after `=`.
    EmptyValue(&'a str),
}

impl<'a> BootConfig<'a> {
    /// The main scenario, with the parameters that the README shows.
    pub const DEFAULT: Self = Self {
        scenario: Scenario::Cma,
        cma_mib: 256,
        jobs: 16,
        cycles: 30,
        chunk_mib: 8,
        interval_ms: 100,
        operations: 0,
        minutes: 0,
        seed: 1,
        fault: None,
        samples: false,
        trace: false,
        report: true,
        display: false,
        cases: Selection::Plain,
    };

    /// Parses a command line.
    pub fn parse(command_line: &'a str) -> Result<Self, ConfigError<'a>> {
        let mut config = Self::default();
        for word in command_line.split_ascii_whitespace() {
            config.set(word)?;
        }
        Ok(config)
    }

    fn set(&mut self, word: &'a str) -> Result<(), ConfigError<'a>> {
        let (key, value) = word.split_once('=').ok_or(ConfigError::NotKeyValue(word))?;
        if value.is_empty() {
            return Err(ConfigError::EmptyValue(word));
        }
        let number = || value.parse().map_err(|_| ConfigError::NotANumber(word));
        match key {
            "scenario" => {
                self.scenario = Scenario::from_name(value).ok_or(ConfigError::UnknownScenario(word))?;
            }
            "cma" => self.cma_mib = number()?,
            "jobs" => self.jobs = number()?,
            "cycles" => self.cycles = number()?,
            "chunk" => self.chunk_mib = number()?,
            "interval-ms" => self.interval_ms = number()?,
            "operations" => {
                self.operations = value.parse().map_err(|_| ConfigError::NotANumber(word))?;
            }
            "minutes" => self.minutes = number()?,
            "seed" => {
                self.seed = value.parse().map_err(|_| ConfigError::NotANumber(word))?;
            }
            "fault" => self.fault = Some(value),
            "samples" => self.samples = number()? != 0,
            "trace" => self.trace = number()? != 0,
            "report" => self.report = number()? != 0,
            "display" => self.display = number()? != 0,
            "cases" => self.cases = Selection::Named(value),
            _ => return Err(ConfigError::UnknownKey(word)),
        }
        Ok(())
    }
}

impl fmt::Display for BootConfig<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            scenario,
            cma_mib,
            jobs,
            cycles,
            chunk_mib,
            interval_ms,
            operations,
            minutes,
            seed,
            fault,
            samples,
            trace,
            report,
            display,
            cases,
        } = self;
        write!(
            f,
            "scenario={scenario} cma={cma_mib} jobs={jobs} cycles={cycles} chunk={chunk_mib} \
             interval-ms={interval_ms} seed={seed}"
        )?;
        if *operations != 0 {
            write!(f, " operations={operations}")?;
        }
        if *minutes != 0 {
            write!(f, " minutes={minutes}")?;
        }
        if let Some(fault) = fault {
            write!(f, " fault={fault}")?;
        }
        if *samples {
            f.write_str(" samples=1")?;
        }
        if *trace {
            f.write_str(" trace=1")?;
        }
        if !*report {
            f.write_str(" report=0")?;
        }
        if *display {
            f.write_str(" display=1")?;
        }
        if let Selection::Named(names) = cases {
            write!(f, " cases={names}")?;
        }
        Ok(())
    }
}

impl fmt::Display for ConfigError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotKeyValue(word) => write!(f, "`{word}` is not of the form key=value"),
            Self::UnknownKey(word) => write!(f, "`{word}`: no such option"),
            Self::NotANumber(word) => write!(f, "`{word}`: not a number, or too large"),
            Self::UnknownScenario(word) => write!(f, "`{word}`: no such scenario"),
            Self::EmptyValue(word) => write!(f, "`{word}`: the value is missing"),
        }
    }
}

impl core::error::Error for ConfigError<'_> {}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;
    use crate::CaseKind;

    #[test]
    fn no_command_line_is_the_main_job() {
        assert_eq!(BootConfig::parse(""), Ok(BootConfig::default()));
        assert_eq!(BootConfig::parse(" \t\n"), Ok(BootConfig::default()));
        assert_eq!(BootConfig::default().scenario, Scenario::Cma);
    }

    #[test]
    fn configs_survive_the_command_line() {
        let config = BootConfig {
            scenario: Scenario::Cases,
            cma_mib: 64,
            jobs: 1,
            cycles: 2,
            chunk_mib: 3,
            interval_ms: 5000,
            operations: u64::MAX,
            minutes: 6,
            seed: u64::MAX,
            fault: Some("merge-across"),
            samples: true,
            trace: true,
            report: false,
            display: true,
            cases: Selection::Named("a::b,c::d"),
        };
        for config in [config, BootConfig::default()] {
            let line = config.to_string();
            assert_eq!(BootConfig::parse(&line), Ok(config));
        }
    }

    #[test]
    fn errors_carry_the_offending_word() {
        use ConfigError::{EmptyValue, NotANumber, NotKeyValue, UnknownKey, UnknownScenario};
        for (line, error) in [
            ("quiet", NotKeyValue("quiet")),
            ("seed=1 cyclse=3", UnknownKey("cyclse=3")),
            ("cycles=many", NotANumber("cycles=many")),
            ("cycles=-1", NotANumber("cycles=-1")),
            ("cma=4294967296", NotANumber("cma=4294967296")),
            ("scenario=nope", UnknownScenario("scenario=nope")),
            ("jobs= cycles=3", EmptyValue("jobs=")),
        ] {
            let found = BootConfig::parse(line).unwrap_err();
            assert_eq!(found, error, "{line}");
            assert!(line.contains(found.to_string().split('`').nth(1).unwrap()));
        }
    }

    #[test]
    fn explicit_cases_run_only_by_name() {
        let all = Selection::Plain;
        assert!(all.selects("cma::one", CaseKind::Plain));
        assert!(!all.selects("bad::panics", CaseKind::Explicit));
        let some = Selection::Named("bad::panics,cma::two");
        assert!(some.selects("bad::panics", CaseKind::Explicit));
        assert!(some.selects("cma::two", CaseKind::Plain));
        assert!(!some.selects("cma::one", CaseKind::Plain));
        assert!(!some.selects("cma", CaseKind::Plain));
    }
}
