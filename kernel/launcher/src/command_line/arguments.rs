//! The definition of the command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Parser};
use pageblock_protocol::BootConfig;

use crate::qemu::accel::AccelChoice;
use crate::qemu::emulator::PROGRAM;
use crate::qemu::machine::Debugger;
use crate::scenario::spec::ScenarioSpec;
use crate::scenario::table::{SCENARIOS, find};

/// The largest number of CPUs that the kernel supports.
const MAX_CPUS: i64 = 64;

/// The largest size that an option may have: one TiB.
const MAX_MEMORY_MIB: i64 = 1 << 20;

/// Boots a kernel on QEMU and checks that its page allocator counts free pages exactly
#[derive(Debug, Parser)]
#[command(name = "pageblock-launcher", version, max_term_width = 80, disable_help_flag = true)]
#[command(after_help = "Exit status: 0 every invariant held; 1 an invariant did not hold; 2 the \
                        command line is wrong; 3 something is missing on this machine; 4 the \
                        guest crashed or hung; 130 interrupted.")]
pub struct Arguments {
    /// The scenario to run; `list` prints a table of them
    #[arg(default_value = "cma", value_parser = parse_request)]
    pub scenario: Request,

    /// With `example`: the kernel in `examples/` to boot
    pub name: Option<String>,

    /// CPUs of the guest [default: 4]; bench boots with 1, 2, .. N [default: 8]
    #[arg(long, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=MAX_CPUS))]
    pub cpus: Option<u32>,

    /// Memory of the guest
    #[arg(long, value_name = "MIB", default_value_t = 1024)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=MAX_MEMORY_MIB))]
    pub memory: u32,

    /// Size of the CMA area, rounded up to whole pageblocks [default: 256; bench: none]
    #[arg(long, value_name = "MIB")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=MAX_MEMORY_MIB))]
    pub cma: Option<u32>,

    /// Build-like jobs that run at the same time
    #[arg(long, value_name = "N", default_value_t = BootConfig::DEFAULT.jobs)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub jobs: u32,

    /// Number of contiguous allocations [default: 30], of hotplug rounds [default: 20], or of
    /// thousands of random operations of bench [default: 200]
    #[arg(long, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub cycles: Option<u32>,

    /// Size of a contiguous allocation [default: 8] or of a hotplug block [default: 128]
    #[arg(long, value_name = "MIB")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=MAX_MEMORY_MIB))]
    pub chunk: Option<u32>,

    /// Time from one start of a contiguous allocation to the next; for hotplug, the time that
    /// memory stays offline
    #[arg(long, value_name = "MS", default_value_t = BootConfig::DEFAULT.interval_ms)]
    #[arg(value_parser = clap::value_parser!(u32).range(0..=3_600_000))]
    pub interval_ms: u32,

    /// Seed of all pseudo-random choices
    #[arg(long, value_name = "N", default_value_t = BootConfig::DEFAULT.seed)]
    pub seed: u64,

    /// Historical accounting mistake to put back into the allocator
    #[arg(long, value_name = "NAME", value_parser = parse_fault)]
    pub fault: Option<String>,

    /// Give up after this time, instead of after the time limit of the scenario
    #[arg(long, value_name = "SECONDS")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    pub timeout: Option<u32>,

    /// Write the results to this file as well, as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,

    /// How QEMU runs guest instructions
    #[arg(long, value_enum, default_value_t)]
    pub accel: AccelChoice,

    /// The emulator: a path, or a name in PATH
    #[arg(long, value_name = "PATH", default_value = PROGRAM, env = "PAGEBLOCK_QEMU")]
    pub qemu: OsString,

    /// Wait for a debugger before the first guest instruction
    #[arg(long)]
    pub gdb: bool,

    /// Print the serial output of the guest
    #[arg(long)]
    pub serial: bool,

    /// Print help
    // `--help` prints the short form, too: one paragraph for each option.
    #[arg(short, long, action = ArgAction::HelpShort)]
    help: Option<bool>,

    /// Boot this image instead of building one
    #[arg(long, value_name = "FILE", hide = true)]
    pub image: Option<PathBuf>,
}

/// What the first word of the command line asks for.
#[derive(Clone, Copy, Debug)]
pub enum Request {
    /// Print the table of scenarios.
    List,
    /// Run a scenario.
    Run(&'static ScenarioSpec),
    /// Boot a small kernel in `examples/`.
    Example,
}

impl Arguments {
    /// Whether the guest waits for a debugger.
    pub const fn debugger(&self) -> Debugger {
        if self.gdb { Debugger::Wait } else { Debugger::None }
    }

    /// The time limit that the user chose.
    pub fn timeout(&self) -> Option<Duration> {
        self.timeout.map(|seconds| Duration::from_secs(seconds.into()))
    }
}

fn parse_request(word: &str) -> Result<Request, String> {
    match word {
        "list" => Ok(Request::List),
        "example" => Ok(Request::Example),
        _ => find(word).map(Request::Run).ok_or_else(|| {
            let names = SCENARIOS.iter().map(|spec| spec.scenario.name());
            let names: Vec<_> = names.chain(["example", "list"]).collect();
            format!("no such scenario; there are: {}", names.join(", "))
        }),
    }
}

/// Checks that a fault is one word of the kernel's command line. The kernel knows the names.
fn parse_fault(word: &str) -> Result<String, String> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if word.is_empty() || !word.chars().all(is_name) {
        return Err("not a name".to_owned());
    }
    Ok(word.to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Arguments::command().debug_assert();
    }

    /// A user with a terminal of 80 columns reads the help.
    #[test]
    fn the_help_fits_into_80_columns() {
        let help = Arguments::command().render_help().to_string();
        let longest = help.lines().map(|line| line.chars().count()).max();
        assert!(longest <= Some(80), "{help}");
    }
}
