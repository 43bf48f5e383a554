//! The command line and what it asks for.
//!
//! Every combination that cannot be is refused here, with the value that is
//! wrong, before anything is built or booted.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{ArgAction, CommandFactory, Parser};
use pageblock_protocol::{BootConfig, Selection};

use crate::accel::{AccelChoice, Clock};
use crate::example::EXAMPLES;
use crate::image::Instruments;
use crate::qemu::{Debugger, Machine, PROGRAM};
use crate::scenarios::{Cpus, Cycle, STORIES, State, Story};

/// As many as the kernel has room for.
const MAX_CPUS: i64 = 64;

/// The kernel and its jobs need this much beside the CMA area.
const MIN_OTHER_MEMORY_MIB: u32 = 64;

/// Nobody waits longer.
const MAX_MEMORY_MIB: i64 = 1 << 20;

/// Boots a kernel whose page allocator counts its free pages exactly, and shows
/// that it does.
#[derive(Debug, Parser)]
#[command(name = "pageblock-launcher", version, max_term_width = 100, disable_help_flag = true)]
#[command(after_help = "Exit status: 0 every invariant held; 1 one did not; 2 usage; 3 something \
                        is missing on this machine; 4 the guest crashed or hung.")]
pub struct Arguments {
    /// What to show; `list` names the scenarios
    #[arg(default_value = "cma", value_parser = parse_request)]
    pub scenario: Request,

    /// After `example`: which of the small kernels in `examples/` to boot
    pub name: Option<String>,

    /// CPUs of the guest [default: 4]; of the largest guest of bench [default: 8]
    #[arg(long, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=MAX_CPUS))]
    pub cpus: Option<u32>,

    /// Memory of the guest
    #[arg(long, value_name = "MIB", default_value_t = 1024)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=MAX_MEMORY_MIB))]
    pub memory: u32,

    /// Size of the CMA area [default: 256; for bench none]
    #[arg(long, value_name = "MIB")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=MAX_MEMORY_MIB))]
    pub cma: Option<u32>,

    /// Build-like jobs at a time
    #[arg(long, value_name = "N", default_value_t = DEFAULTS.jobs)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub jobs: u32,

    /// Contiguous allocations to make [default: 30]; rounds of hotplug [default: 20];
    /// thousands of operations of bench at random [default: 200]
    #[arg(long, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub cycles: Option<u32>,

    /// Size of each contiguous allocation [default: 8]; of a block of hotplug [default: 128]
    #[arg(long, value_name = "MIB")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=MAX_MEMORY_MIB))]
    pub chunk: Option<u32>,

    /// From the start of one contiguous allocation to the start of the next
    #[arg(long, value_name = "MS", default_value_t = DEFAULTS.interval_ms)]
    #[arg(value_parser = clap::value_parser!(u32).range(0..=3_600_000))]
    pub interval_ms: u32,

    /// Where all pseudo-random choices start
    #[arg(long, value_name = "N", default_value_t = DEFAULTS.seed)]
    pub seed: u64,

    /// Put a historical accounting mistake back in
    #[arg(long, value_name = "NAME", value_parser = parse_fault)]
    pub fault: Option<String>,

    /// Give up after so many seconds, instead of what the scenario may take
    #[arg(long, value_name = "SECONDS")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    pub timeout: Option<u32>,

    /// Write the results to a file too
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,

    /// How guest instructions run
    #[arg(long, value_enum, default_value_t)]
    pub accel: AccelChoice,

    /// The emulator, if it is not the one in PATH
    #[arg(long, value_name = "PATH", default_value = PROGRAM, env = "PAGEBLOCK_QEMU")]
    pub qemu: OsString,

    /// Wait for a debugger before the first instruction
    #[arg(long)]
    pub gdb: bool,

    /// Show the guest's serial output
    #[arg(long)]
    pub serial: bool,

    /// Print this
    // The short form of help even for `--help`: one line for each option.
    #[arg(short, long, action = ArgAction::HelpShort)]
    help: Option<bool>,

    /// Boot this image instead of building one
    #[arg(long, value_name = "FILE", hide = true)]
    pub image: Option<PathBuf>,
}

/// What the first word asks for.
#[derive(Clone, Copy, Debug)]
pub enum Request {
    /// The scenarios and what they are for.
    List,
    /// One of them.
    Tell(&'static Story),
    /// A small kernel, by name.
    Example,
}

const DEFAULTS: BootConfig<'static> = BootConfig::DEFAULT;

impl Arguments {
    /// Reads the process's arguments. Ends the process if they cannot be.
    pub fn from_command_line() -> Self {
        Self::try_from_words(std::env::args_os()).unwrap_or_else(|error| error.exit())
    }

    /// Reads arguments, the first of which is the program's name.
    pub fn try_from_words<W: Into<OsString> + Clone>(
        words: impl IntoIterator<Item = W>,
    ) -> Result<Self, clap::Error> {
        let arguments = Self::try_parse_from(words)?;
        match arguments.contradiction() {
            None => Ok(arguments),
            Some(message) => Err(Self::command().error(ErrorKind::ValueValidation, message)),
        }
    }

    /// What is wrong with values that are each right by themselves.
    fn contradiction(&self) -> Option<String> {
        let Self { memory, .. } = *self;
        let (cma, chunk) = (self.cma(), self.chunk());
        if let Request::Tell(story) = self.scenario
            && story.instruments == Instruments::Designs
            && self.fault.is_some()
        {
            return Some("--fault does not go with designs: there are no mistakes in that image".to_owned());
        }
        if self.clock() == Clock::Instructions && self.accel == AccelChoice::Kvm {
            return Some(
                "--accel kvm does not go with bench: hardware does not count instructions".to_owned(),
            );
        }
        match (self.scenario, &self.name) {
            (Request::Example, None) => {
                return Some(format!("which example? There are: {}", example_names()));
            }
            (Request::Example, Some(name)) if !EXAMPLES.contains(&name.as_str()) => {
                return Some(format!("no example '{name}'; there are: {}", example_names()));
            }
            (Request::List | Request::Tell(_), Some(name)) => {
                return Some(format!("unexpected argument '{name}' found"));
            }
            _ => {}
        }
        if memory < MIN_OTHER_MEMORY_MIB {
            return Some(format!(
                "--memory {memory} is too small: the kernel needs {MIN_OTHER_MEMORY_MIB} MiB"
            ));
        }
        if cma > memory {
            return Some(format!("--cma {cma} is larger than --memory {memory}"));
        }
        if memory - cma < MIN_OTHER_MEMORY_MIB {
            return Some(format!(
                "--cma {cma} leaves too little of --memory {memory}: \
                 the kernel needs {MIN_OTHER_MEMORY_MIB} MiB beside it"
            ));
        }
        if self.cycle() == Cycle::Chunk && chunk > cma {
            return Some(format!("--chunk {chunk} is larger than --cma {cma}"));
        }
        None
    }

    /// The guest's hardware; that of the largest, if there are several.
    pub fn machine(&self) -> Machine {
        Machine {
            cpus: self.cpus.unwrap_or(self.numbers_of_cpus().default_number()),
            memory_mib: self.memory,
        }
    }

    const fn numbers_of_cpus(&self) -> Cpus {
        match self.scenario {
            Request::Tell(story) => story.cpus,
            Request::List | Request::Example => Cpus::Asked,
        }
    }

    /// What the guest's clock goes by.
    pub const fn clock(&self) -> Clock {
        match self.scenario {
            Request::Tell(story) => story.clock,
            Request::List | Request::Example => Clock::Time,
        }
    }

    /// The size of the CMA area, in MiB.
    pub fn cma(&self) -> u32 {
        self.cma.unwrap_or(self.defaults().cma_mib)
    }

    const fn defaults(&self) -> &BootConfig<'static> {
        match self.scenario {
            Request::Tell(story) => &story.defaults,
            Request::List | Request::Example => &DEFAULTS,
        }
    }

    const fn cycle(&self) -> Cycle {
        match self.scenario {
            Request::Tell(story) => story.cycle,
            Request::List | Request::Example => Cycle::Chunk,
        }
    }

    /// How often the scenario does what it does.
    pub fn cycles(&self) -> u32 {
        self.cycles.unwrap_or(self.defaults().cycles)
    }

    /// With how much memory at a time.
    pub fn chunk(&self) -> u32 {
        self.chunk.unwrap_or(self.defaults().chunk_mib)
    }

    /// The boots that the story takes: on which machine, and what the kernel is told.
    pub fn boots(&self, story: &Story) -> Vec<(Machine, BootConfig<'_>)> {
        let (machine, config) = (self.machine(), self.boot_config(story));
        if story.cpus == Cpus::EachUpTo {
            return (1..=machine.cpus).map(|cpus| (Machine { cpus, ..machine }, config)).collect();
        }
        if self.fault.is_some() || story.faults.is_empty() {
            return vec![(machine, config)];
        }
        let with = |fault: &&'static str| (machine, BootConfig { fault: Some(fault), ..config });
        story.faults.iter().map(with).collect()
    }

    /// What the kernel is told.
    pub fn boot_config(&self, story: &Story) -> BootConfig<'_> {
        BootConfig {
            scenario: story.scenario,
            cma_mib: self.cma(),
            jobs: self.jobs,
            cycles: self.cycles(),
            chunk_mib: self.chunk(),
            interval_ms: self.interval_ms,
            duration_s: DEFAULTS.duration_s,
            seed: self.seed,
            fault: self.fault.as_deref(),
            cases: Selection::Plain,
        }
    }

    /// What the kernel needs beside the allocator.
    pub const fn instruments(&self) -> Instruments {
        match (&self.fault, self.scenario) {
            (Some(_), _) => Instruments::Faults,
            (None, Request::Tell(story)) => story.instruments,
            (None, Request::List | Request::Example) => Instruments::None,
        }
    }

    /// Whether a debugger is wanted.
    pub const fn debugger(&self) -> Debugger {
        if self.gdb { Debugger::Wait } else { Debugger::None }
    }

    /// The deadline that the user chose.
    pub fn timeout(&self) -> Option<Duration> {
        self.timeout.map(|seconds| Duration::from_secs(seconds.into()))
    }
}

fn example_names() -> String {
    EXAMPLES.join(", ")
}

fn parse_request(word: &str) -> Result<Request, String> {
    match word {
        "list" => return Ok(Request::List),
        "example" => return Ok(Request::Example),
        _ => {}
    }
    let names = || {
        STORIES
            .iter()
            .filter(|story| story.state == State::Ready)
            .map(|story| story.scenario.name())
            .chain(["example", "list"])
            .collect::<Vec<_>>()
            .join(", ")
    };
    match Story::from_name(word) {
        Some(story) if story.state == State::Ready => Ok(Request::Tell(story)),
        Some(_) => Err(format!("not in this version; there are: {}", names())),
        None => Err(format!("no such scenario; there are: {}", names())),
    }
}

/// The kernel knows the names; here it must only be one word of its command line.
fn parse_fault(word: &str) -> Result<String, String> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if word.is_empty() || !word.chars().all(is_name) {
        return Err("not a name".to_owned());
    }
    Ok(word.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Arguments, clap::Error> {
        Arguments::try_from_words(std::iter::once("pageblock").chain(line.split_whitespace()))
    }

    fn story(arguments: &Arguments) -> &'static Story {
        match arguments.scenario {
            Request::Tell(story) => story,
            Request::List | Request::Example => panic!("this is no story"),
        }
    }

    #[test]
    fn nothing_said_is_the_main_job() {
        let arguments = parse("").unwrap();
        let config = arguments.boot_config(story(&arguments));
        assert_eq!(config, BootConfig::default());
        assert_eq!(arguments.machine(), Machine { cpus: 4, memory_mib: 1024 });
        assert_eq!(arguments.instruments(), Instruments::None);
        assert_eq!(arguments.timeout(), None);
    }

    #[test]
    fn everything_can_be_said() {
        let arguments = parse(
            "cma --cpus 8 --memory 6144 --cma 1024 --jobs 3 --cycles 5 --chunk 4 \
             --interval-ms 5000 --seed 18446744073709551615 --fault merge-across --timeout 7 \
             --json out.json --accel tcg --qemu /opt/qemu --gdb --serial",
        )
        .unwrap();
        let config = arguments.boot_config(story(&arguments));
        assert_eq!(
            config.to_string(),
            "scenario=cma cma=1024 jobs=3 cycles=5 chunk=4 interval-ms=5000 duration-s=60 \
             seed=18446744073709551615 fault=merge-across"
        );
        assert_eq!(arguments.machine().to_string(), "8 CPUs, 6144 MiB");
        assert_eq!(arguments.instruments(), Instruments::Faults);
        assert_eq!(arguments.debugger(), Debugger::Wait);
        assert_eq!(arguments.timeout(), Some(Duration::from_secs(7)));
        assert_eq!(arguments.qemu, "/opt/qemu");
        assert!(arguments.serial);
    }

    #[test]
    fn scenarios_have_defaults_of_their_own() {
        let hotplug = parse("hotplug").unwrap();
        assert_eq!((hotplug.cycles(), hotplug.chunk()), (20, 128));
        parse("hotplug --chunk 512").unwrap();
        let fewer = parse("hotplug --cycles 3 --chunk 32").unwrap();
        assert_eq!((fewer.cycles(), fewer.chunk()), (3, 32));
        let cma = parse("cma").unwrap();
        assert_eq!((cma.cycles(), cma.chunk()), (30, 8));
    }

    #[test]
    fn each_fault_has_a_boot_of_its_own() {
        let all = parse("faults").unwrap();
        let boots = all.boots(story(&all));
        assert_eq!(boots.len(), story(&all).faults.len());
        assert!(boots.iter().all(|(_, config)| config.fault.is_some()));
        let one = parse("faults --fault merge-across").unwrap();
        let boots = one.boots(story(&one));
        assert_eq!(boots.len(), 1);
        assert_eq!(boots[0].1.fault, Some("merge-across"));
        let cma = parse("cma").unwrap();
        assert_eq!(cma.boots(story(&cma)), [(cma.machine(), cma.boot_config(story(&cma)))]);
    }

    #[test]
    fn each_number_of_cpus_has_a_boot_of_its_own() {
        let numbers = |line| {
            let arguments = parse(line).unwrap();
            let boots = arguments.boots(story(&arguments));
            boots.into_iter().map(|(machine, config)| (machine.cpus, config.cma_mib)).collect::<Vec<_>>()
        };
        assert_eq!(numbers("bench"), [1, 2, 3, 4, 5, 6, 7, 8].map(|cpus| (cpus, 0)));
        assert_eq!(numbers("bench --cpus 2 --cma 64"), [(1, 64), (2, 64)]);
        assert_eq!(numbers("cma --cpus 2"), [(2, 256)]);
    }

    #[test]
    fn what_cannot_be_is_refused_with_its_value() {
        for (line, says) in [
            ("--cpus 0", "'0' for '--cpus"),
            ("--cpus 65", "'65' for '--cpus"),
            ("--cpus many", "'many' for '--cpus"),
            ("--memory 16", "--memory 16 is too small"),
            ("--memory 0", "'0' for '--memory"),
            ("--cma 0", "'0' for '--cma"),
            ("--memory 256 --cma 512", "--cma 512 is larger than --memory 256"),
            ("--memory 256", "--cma 256 leaves too little of --memory 256"),
            ("--chunk 300", "--chunk 300 is larger than --cma 256"),
            ("--chunk 0", "'0' for '--chunk"),
            ("--cycles 0", "'0' for '--cycles"),
            ("--jobs 0", "'0' for '--jobs"),
            ("--interval-ms -1", "unexpected argument"),
            ("--seed x", "'x' for '--seed"),
            ("--timeout 0", "'0' for '--timeout"),
            ("--accel xen", "'xen' for '--accel"),
            ("--fault", "value is required"),
            ("--fault a,b", "'a,b' for '--fault"),
            ("nope", "'nope' for '[SCENARIO]': no such scenario; there are: cma"),
            ("soak", "'soak' for '[SCENARIO]': not in this version"),
            ("bench --accel kvm", "--accel kvm does not go with bench"),
            ("designs --fault merge-across", "--fault does not go with designs"),
            ("faults --chunk 300", "--chunk 300 is larger than --cma 256"),
            ("cma extra", "unexpected argument 'extra'"),
            ("example", "which example? There are: heap, single_cpu"),
            ("example nope", "no example 'nope'; there are: heap, single_cpu"),
            ("--frobnicate", "unexpected argument '--frobnicate'"),
        ] {
            let error = parse(line).expect_err(line);
            assert!(error.to_string().contains(says), "`{line}`: {error}");
            assert_eq!(error.exit_code(), 2, "`{line}`");
        }
    }

    #[test]
    fn small_machines_with_small_areas_can_be() {
        parse("--memory 256 --cma 64").unwrap();
        parse("--memory 65 --cma 1 --chunk 1 --interval-ms 0").unwrap();
    }

    #[test]
    fn the_list_can_be_asked_for() {
        assert!(matches!(parse("list").unwrap().scenario, Request::List));
    }

    #[test]
    fn examples_can_be_asked_for_by_name() {
        let arguments = parse("example heap --memory 512").unwrap();
        assert!(matches!(arguments.scenario, Request::Example));
        assert_eq!(arguments.name.as_deref(), Some("heap"));
    }

    #[test]
    fn the_definition_is_consistent() {
        Arguments::command().debug_assert();
    }
}
