//! The definition of the command line: a subcommand for each scenario, with the options that mean
//! something to it.
//!
//! The table of scenarios says which these are, so that a new scenario needs nothing here. Without
//! a subcommand the options are those of the first scenario.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::PathBuf;

use clap::builder::{EnumValueParser, PossibleValuesParser};
use clap::{Arg, ArgAction, Command, value_parser};
use pageblock_protocol::config::MAX_JOBS;
use pageblock_protocol::fault::FAULTS;

use crate::host::status::Status;
use crate::image::build::{EXAMPLES, Instruments};
use crate::qemu::accel::AccelChoice;
use crate::qemu::emulator::PROGRAM;
use crate::scenario::spec::{Cpus, Cycle, ScenarioSpec, Setting};
use crate::scenario::table::SCENARIOS;

/// The subcommand that prints the table of scenarios.
pub(crate) const LIST: &str = "list";
/// The subcommand that boots an example.
pub(crate) const EXAMPLE: &str = "example";

/// The largest number of CPUs that the kernel supports.
const MAX_CPUS: i64 = 64;
/// The largest size that an option may have: one TiB.
const MAX_MEMORY_MIB: i64 = 1 << 20;
/// The longest soak: a year.
const MAX_MINUTES: i64 = 366 * 24 * 60;
/// The largest window of a memory device that the kernel supports.
const MAX_WINDOW_MIB: i64 = 16 << 10;
/// The memory of the guest if the command line gives no size.
pub(super) const MEMORY_MIB: u32 = 1024;
/// The widest help. Longer lines are hard to read.
const MAX_HELP_COLUMNS: usize = 80;
/// The TCP port on which QEMU waits for a debugger if the command line gives none.
const GDB_PORT: &str = "1234";

/// The whole command line.
pub(crate) fn command() -> Command {
    let default = &SCENARIOS[0];
    plain("pageblock-launcher")
        .bin_name("cargo run --")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Boots a kernel on QEMU and checks that its page allocator counts free pages exactly")
        .args_conflicts_with_subcommands(true)
        .args(scenario_args(default))
        .subcommands(SCENARIOS.iter().map(scenario))
        .subcommand(example())
        .subcommand(plain(LIST).about("Prints a table of the scenarios and the examples"))
        .after_help(format!(
            "Without a command, the options are those of {} and it is run.\n\
             `cargo run -- help COMMAND` shows the options of another command.\n\n{}",
            default.scenario,
            exit_statuses()
        ))
}

/// A command with what all of them have.
fn plain(name: &'static str) -> Command {
    // `--help` prints the short form, too: one paragraph for each option.
    let help = Arg::new("help").short('h').long("help").help("Print help").action(ArgAction::HelpShort);
    Command::new(name)
        .max_term_width(MAX_HELP_COLUMNS)
        .disable_help_flag(true)
        .arg(help.display_order(usize::MAX))
}

fn scenario(spec: &'static ScenarioSpec) -> Command {
    let about = format!("Scenario: {}", spec.about);
    plain(spec.scenario.name()).about(about).args(scenario_args(spec)).after_help(exit_statuses())
}

fn example() -> Command {
    let about = "Boots a small kernel of examples/, which checks itself";
    let name = Arg::new("name").value_name("NAME").help("The kernel to boot").required(true);
    plain(EXAMPLE)
        .about(about)
        .arg(name.value_parser(PossibleValuesParser::new(EXAMPLES)))
        .args([memory(), accel()])
        .args(emulation())
        .after_help(exit_statuses())
}

fn exit_statuses() -> String {
    let mut text = "Exit status:".to_owned();
    for status in Status::ALL {
        // Writing to a string does not fail.
        let _ = write!(text, "\n  {:>3}  {}", status.code(), status.meaning());
    }
    text
}

/// The options of a scenario: its settings, and those of every run.
fn scenario_args(spec: &'static ScenarioSpec) -> Vec<Arg> {
    let mut settings: Vec<Setting> = spec.settings().collect();
    settings.sort_unstable();
    let mut args: Vec<Arg> = settings.into_iter().flat_map(|setting| setting_args(spec, setting)).collect();
    args.push(
        Arg::new("json")
            .long("json")
            .value_name("FILE")
            .help(
                "Write the results as JSON, too; `-` is standard output, and moves the tables to standard \
                 error",
            )
            .value_parser(value_parser!(PathBuf)),
    );
    args.push(
        Arg::new("report")
            .long("report")
            .value_name("FILE")
            .help("Write a report with pictures, as one HTML file; the guest then sends samples")
            .value_parser(value_parser!(PathBuf)),
    );
    args.push(
        Arg::new("pictures")
            .long("pictures")
            .value_name("FOLDER")
            .help("Write the pictures of the report as SVG files into that folder")
            .value_parser(value_parser!(PathBuf)),
    );
    if spec.instruments != Instruments::Designs {
        args.push(
            Arg::new("trace")
                .long("trace")
                .value_name("FILE")
                .help(
                    "Write the last events of the allocator's slow paths on each CPU as trace JSON, for \
                     ui.perfetto.dev or another viewer; the kernel is built with them",
                )
                .value_parser(value_parser!(PathBuf)),
        );
    }
    args.push(
        Arg::new("serial")
            .long("serial")
            .help("Print the serial output of the guest, instead of the progress")
            .action(ArgAction::SetTrue),
    );
    args.extend(emulation());
    args
}

fn setting_args(spec: &'static ScenarioSpec, setting: Setting) -> Vec<Arg> {
    match setting {
        Setting::Screen => screen().into(),
        Setting::Duration => duration(spec).into(),
        Setting::Disk => vec![disk()],
        Setting::Window => vec![window(spec)],
        setting => vec![setting_arg(spec, setting)],
    }
}

fn disk() -> Arg {
    Arg::new("disk")
        .long("disk")
        .value_name("FILE")
        .help("Make the disk of the guest in that file, and keep it [default: a temporary file]")
        .value_parser(value_parser!(PathBuf))
}

fn window(spec: &'static ScenarioSpec) -> Arg {
    let default = spec.window_mib.unwrap_or(0);
    number("window", "MIB", 1, MAX_WINDOW_MIB)
        .help("Size of the window of the memory device, in whole sections of 128 MiB")
        .default_value(default.to_string())
}

fn screen() -> [Arg; 2] {
    [
        Arg::new("display")
            .long("display")
            .help(
                "Open the window of QEMU, in which the guest draws the map of its memory (a QEMU without \
                 windows starts its VNC server)",
            )
            .action(ArgAction::SetTrue)
            .conflicts_with("screenshot"),
        Arg::new("screenshot")
            .long("screenshot")
            .value_name("FILE")
            .help("Write that map as it is in the middle of the run, as PNG; no window opens")
            .value_parser(value_parser!(PathBuf)),
    ]
}

fn duration(spec: &'static ScenarioSpec) -> [Arg; 2] {
    [
        Arg::new("operations")
            .long("operations")
            .value_name("N")
            .help("End after that many operations of all kinds")
            .value_parser(value_parser!(u64).range(1..))
            .default_value(spec.defaults.operations.to_string())
            .conflicts_with("minutes"),
        number("minutes", "M", 1, MAX_MINUTES).help("End after that time, whatever has been done"),
    ]
}

fn setting_arg(spec: &'static ScenarioSpec, setting: Setting) -> Arg {
    let defaults = spec.defaults;
    match setting {
        Setting::Cpus => {
            let help = match spec.cpus {
                Cpus::Fixed => "CPUs of the guest",
                Cpus::EachUpTo => "CPUs of the largest guest: there is a boot with 1, with 2, .. with N",
            };
            number("cpus", "N", 1, MAX_CPUS).help(help).default_value(spec.cpus.default_number().to_string())
        }
        Setting::Memory => memory(),
        Setting::Cma => {
            let arg = number("cma", "MIB", 1, MAX_MEMORY_MIB);
            match defaults.cma_mib {
                0 => arg.help("Size of a CMA area, rounded up to whole pageblocks [default: none]"),
                mib => arg
                    .help("Size of the CMA area, rounded up to whole pageblocks")
                    .default_value(mib.to_string()),
            }
        }
        Setting::Jobs => number("jobs", "N", 1, MAX_JOBS.into())
            .help("Build-like jobs that run at the same time")
            .default_value(defaults.jobs.to_string()),
        Setting::Cycles => number("cycles", "N", 1, 1_000_000)
            .help(match spec.cycle {
                Cycle::Chunk => "Number of contiguous allocations",
                Cycle::Blocks => "Number of rounds",
                Cycle::Requests => "Requests of the disk, in thousands",
                Cycle::Waves => "Number of times that the demand rises and falls",
                Cycle::Resizes => "Number of sizes of the memory device",
                Cycle::Operations | Cycle::Rounds => "Random operations, in thousands",
            })
            .default_value(defaults.cycles.to_string()),
        Setting::Chunk => number("chunk", "MIB", 1, MAX_MEMORY_MIB)
            .help(match spec.cycle {
                Cycle::Chunk | Cycle::Operations | Cycle::Rounds => "Size of a contiguous allocation",
                Cycle::Requests => "Size of the largest buffer",
                Cycle::Waves => "Most memory that is used",
                Cycle::Resizes => "Most memory that is plugged at a time",
                Cycle::Blocks => "Size of a block of memory that goes offline",
            })
            .default_value(defaults.chunk_mib.to_string()),
        Setting::IntervalMs => number("interval-ms", "MS", 0, 3_600_000)
            .help(match spec.cycle {
                Cycle::Chunk | Cycle::Requests | Cycle::Operations | Cycle::Rounds => {
                    "Time from one start of a contiguous allocation to the next"
                }
                Cycle::Blocks => "Time that memory stays offline",
                Cycle::Waves => "Delay from a free to its report; a tenth of it is the unit of the curve",
                Cycle::Resizes => "Time that a size stays",
            })
            .default_value(defaults.interval_ms.to_string()),
        Setting::Seed => Arg::new("seed")
            .long("seed")
            .value_name("N")
            .help("Seed of all pseudo-random choices")
            .value_parser(value_parser!(u64))
            .default_value(defaults.seed.to_string()),
        Setting::Fault => {
            let (names, help) = match spec.faults {
                [] => (FAULTS.as_slice(), "Historical accounting mistake to put back into the allocator"),
                names => (names, "The only historical accounting mistake to put back"),
            };
            Arg::new("fault")
                .long("fault")
                .value_name("NAME")
                .help(help)
                .value_parser(PossibleValuesParser::new(names))
        }
        Setting::Accel | Setting::Duration | Setting::Screen | Setting::Disk | Setting::Window => accel(),
    }
}

fn number(name: &'static str, unit: &'static str, least: i64, most: i64) -> Arg {
    Arg::new(name).long(name).value_name(unit).value_parser(value_parser!(u32).range(least..=most))
}

fn memory() -> Arg {
    number("memory", "MIB", 1, MAX_MEMORY_MIB)
        .help("Memory of the guest")
        .default_value(MEMORY_MIB.to_string())
}

fn accel() -> Arg {
    Arg::new("accel")
        .long("accel")
        .value_name("ACCEL")
        .help(
            "How QEMU runs guest instructions: emulated (tcg), by the hypervisor of Linux (kvm), or by it \
             if it can be used (auto)",
        )
        .value_parser(EnumValueParser::<AccelChoice>::new())
        .hide_possible_values(true)
        .default_value("auto")
}

/// The options of every boot.
fn emulation() -> [Arg; 4] {
    [
        Arg::new("timeout")
            .long("timeout")
            .value_name("SECONDS")
            .help("Give up after this time, instead of after the usual limit")
            .value_parser(value_parser!(u32).range(1..)),
        Arg::new("qemu")
            .long("qemu")
            .value_name("PATH")
            .help("The emulator: a path, or a name in PATH")
            .value_parser(value_parser!(OsString))
            .default_value(PROGRAM)
            .env("PAGEBLOCK_QEMU"),
        Arg::new("gdb")
            .long("gdb")
            .value_name("PORT")
            .help(format!(
                "Wait for a debugger at that TCP port [default: {GDB_PORT}] before the first instruction"
            ))
            .value_parser(value_parser!(u16).range(1..))
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value(GDB_PORT),
        Arg::new("image")
            .long("image")
            .value_name("FILE")
            .help("Boot this image instead of building one")
            .value_parser(value_parser!(PathBuf))
            .hide(true),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        command().debug_assert();
    }

    /// A user with a terminal of 80 columns reads the help.
    #[test]
    fn the_help_fits_into_80_columns() {
        let mut command = command();
        command.build();
        let helps = command.get_subcommands().map(|sub| sub.clone().render_help());
        for help in helps.chain([command.clone().render_help()]) {
            let help = help.to_string();
            let longest = help.lines().map(|line| line.chars().count()).max();
            assert!(longest <= Some(80), "{help}");
        }
    }

    /// The README has the same table of exit statuses as `--help`.
    #[test]
    fn the_readme_has_every_exit_status() {
        let readme = concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md");
        let readme = std::fs::read_to_string(readme).unwrap();
        for status in Status::ALL {
            let row = format!("| {} | {} |", status.code(), status.meaning());
            assert!(readme.contains(&row), "`{row}` is not in the README");
        }
    }

    #[test]
    fn the_help_has_the_usage_and_every_exit_status() {
        let mut command = command();
        command.build();
        for name in ["cma", "bench", EXAMPLE] {
            let help = command.find_subcommand_mut(name).unwrap().render_help().to_string();
            assert!(help.contains(&format!("Usage: cargo run -- {name} [OPTIONS]")), "{help}");
            for status in Status::ALL {
                let line = format!("{:>3}  {}\n", status.code(), status.meaning());
                assert!((help.clone() + "\n").contains(&line), "{help}");
            }
        }
        let help = command.render_help().to_string();
        assert!(help.contains("Usage: cargo run -- [OPTIONS]\n"), "{help}");
        assert!(help.contains(&format!("{:>3}  {}", 130, Status::Interrupted.meaning())), "{help}");
    }
}
