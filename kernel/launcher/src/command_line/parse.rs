//! Parses the command line and refuses combinations that no guest can run.
//!
//! A refusal names the value that is wrong. It comes before anything is built or booted.

use std::any::Any;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{ArgMatches, Command};

use crate::command_line::arguments::{Arguments, Emulation, ExampleArguments, JsonTarget, Request};
use crate::command_line::definition::{self, EXAMPLE, LIST};
use crate::image::build::EXAMPLES;
use crate::lent_memory::{BLOCK_MIB, SECTION_MIB};
use crate::qemu::accel::AccelChoice;
use crate::qemu::emulator::PROGRAM;
use crate::qemu::machine::{Debugger, Machine};
use crate::scenario::spec::{Cycle, ScenarioSpec};
use crate::scenario::table::{SCENARIOS, find};

/// The memory that the kernel and its jobs need besides the CMA area.
const MIN_OTHER_MEMORY_MIB: u32 = 64;

/// Parses the arguments of this process. Prints an error and exits if they are wrong.
pub fn from_process() -> Request {
    from_words(std::env::args_os()).unwrap_or_else(|error| error.exit())
}

/// Parses arguments, the first of which is the name of the program.
pub fn from_words<W: Into<OsString> + Clone>(
    words: impl IntoIterator<Item = W>,
) -> Result<Request, clap::Error> {
    let mut command = definition::command();
    let matches =
        command.try_get_matches_from_mut(words).map_err(|error| name_what_there_is(error, &command))?;
    let (name, options) = matches.subcommand().unwrap_or((SCENARIOS[0].scenario.name(), &matches));
    request(name, options).map_err(|message| {
        let within = match matches.subcommand_name() {
            Some(_) => command.find_subcommand_mut(name).expect("it was parsed"),
            None => &mut command,
        };
        within.error(ErrorKind::ValueValidation, message)
    })
}

/// Adds to an error the names of what there is: of all commands to an unknown one that is like none
/// of them, and of the examples if none is named.
fn name_what_there_is(mut error: clap::Error, command: &Command) -> clap::Error {
    let tip = match error.kind() {
        ErrorKind::InvalidSubcommand if error.get(ContextKind::SuggestedSubcommand).is_none() => {
            let names: Vec<&str> = command.get_subcommands().map(Command::get_name).collect();
            format!("the commands are: {}", names.join(", "))
        }
        ErrorKind::MissingRequiredArgument => format!("the examples are: {}", EXAMPLES.join(", ")),
        _ => return error,
    };
    error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
    error
}

fn request(name: &str, options: &ArgMatches) -> Result<Request, String> {
    match name {
        LIST => Ok(Request::List),
        EXAMPLE => example(options).map(Request::Example),
        _ => {
            let spec = find(name).ok_or_else(|| format!("no such scenario: {name}"))?;
            let arguments = arguments(spec, options);
            contradiction(&arguments).map_or_else(|| Ok(Request::Run(Box::new(arguments))), Err)
        }
    }
}

fn example(options: &ArgMatches) -> Result<ExampleArguments, String> {
    let memory_mib = value(options, "memory").unwrap_or_default();
    match too_small(memory_mib) {
        Some(message) => Err(message),
        None => Ok(ExampleArguments {
            name: value(options, "name").unwrap_or_default(),
            machine: Machine { cpus: 1, memory_mib },
            emulation: emulation(options),
        }),
    }
}

fn arguments(spec: &'static ScenarioSpec, options: &ArgMatches) -> Arguments {
    let defaults = spec.defaults;
    let or = |name: &str, default: u32| value(options, name).unwrap_or(default);
    let minutes = or("minutes", defaults.minutes);
    let json = value(options, "json").map(|path: PathBuf| match path == Path::new("-") {
        true => JsonTarget::Stdout,
        false => JsonTarget::File(path),
    });
    Arguments {
        spec,
        machine: Machine { cpus: or("cpus", spec.cpus.default_number()), memory_mib: or("memory", 0) },
        cma_mib: or("cma", defaults.cma_mib),
        jobs: or("jobs", defaults.jobs),
        cycles: or("cycles", defaults.cycles),
        chunk_mib: or("chunk", defaults.chunk_mib),
        interval_ms: or("interval-ms", defaults.interval_ms),
        operations: if minutes == 0 {
            value(options, "operations").unwrap_or(defaults.operations)
        } else {
            0
        },
        minutes,
        seed: value(options, "seed").unwrap_or(defaults.seed),
        fault: value(options, "fault"),
        json,
        report: value(options, "report"),
        pictures: value(options, "pictures"),
        trace: value(options, "trace"),
        window_mib: value(options, "window").or(spec.window_mib),
        disk: value(options, "disk"),
        display: value(options, "display").unwrap_or(false),
        screenshot: value(options, "screenshot"),
        serial: options.get_flag("serial"),
        emulation: emulation(options),
    }
}

fn emulation(options: &ArgMatches) -> Emulation {
    Emulation {
        accel: value(options, "accel").unwrap_or(AccelChoice::Auto),
        qemu: value(options, "qemu").unwrap_or_else(|| PROGRAM.into()),
        debugger: value(options, "gdb").map_or(Debugger::None, |port| Debugger::Wait { port }),
        timeout: value(options, "timeout"),
        image: value(options, "image"),
    }
}

/// The value of an option; `None` if the command does not have the option, too.
fn value<T: Any + Clone + Send + Sync>(options: &ArgMatches, name: &str) -> Option<T> {
    options.try_get_one(name).ok().flatten().cloned()
}

fn too_small(memory_mib: u32) -> Option<String> {
    (memory_mib < MIN_OTHER_MEMORY_MIB)
        .then(|| format!("--memory {memory_mib} is too small: the kernel needs {MIN_OTHER_MEMORY_MIB} MiB"))
}

/// What is wrong with options of which each alone is right.
fn contradiction(arguments: &Arguments) -> Option<String> {
    let Arguments { spec, machine: Machine { memory_mib: memory, .. }, cma_mib: cma, .. } = *arguments;
    let chunk = arguments.chunk_mib;
    if let Some(message) = too_small(memory) {
        Some(message)
    } else if cma > memory {
        Some(format!("--cma {cma} is larger than --memory {memory}"))
    } else if memory - cma < MIN_OTHER_MEMORY_MIB {
        Some(format!(
            "--cma {cma} leaves too little of --memory {memory}: \
             the kernel needs {MIN_OTHER_MEMORY_MIB} MiB besides it"
        ))
    } else if matches!(spec.cycle, Cycle::Chunk | Cycle::Requests) && chunk > cma {
        Some(format!("--chunk {chunk} is larger than --cma {cma}"))
    } else {
        arguments.window_mib.and_then(|window| wrong_window(arguments, window))
    }
}

/// What is wrong with the window of the memory device, or with what is to be plugged into it.
fn wrong_window(arguments: &Arguments, window: u32) -> Option<String> {
    let Arguments { chunk_mib: chunk, cycles, .. } = *arguments;
    if !window.is_multiple_of(SECTION_MIB) {
        Some(format!("--window {window} does not consist of sections of {SECTION_MIB} MiB"))
    } else if chunk > window {
        Some(format!("--chunk {chunk} is larger than --window {window}"))
    } else if chunk < 4 * BLOCK_MIB || !chunk.is_multiple_of(BLOCK_MIB) {
        Some(format!("--chunk {chunk} does not consist of four or more blocks of {BLOCK_MIB} MiB"))
    } else if cycles < 2 {
        Some(format!("--cycles {cycles} is too small: memory is plugged once, and unplugged once"))
    } else {
        None
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::command_line::plan::Plan;

    pub(crate) fn parse(line: &str) -> Result<Request, clap::Error> {
        from_words(std::iter::once("pageblock").chain(line.split_whitespace()))
    }

    /// Lets a test look at the run that this command line asks for.
    pub(crate) fn with_plan(line: &str, look: impl FnOnce(&Plan<'_>)) {
        let Request::Run(arguments) = parse(line).unwrap_or_else(|error| panic!("`{line}`: {error}")) else {
            panic!("`{line}` runs no scenario")
        };
        look(&Plan::new(&arguments));
    }

    #[test]
    fn impossible_values_are_refused_by_name() {
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
            ("--jobs 129", "'129' for '--jobs"),
            ("--interval-ms -1", "unexpected argument"),
            ("soak --operations 0", "'0' for '--operations"),
            ("soak --minutes 0", "'0' for '--minutes"),
            ("soak --operations 9 --minutes 1", "cannot be used with"),
            ("--seed x", "'x' for '--seed"),
            ("--timeout 0", "'0' for '--timeout"),
            ("--accel xen", "'xen' for '--accel"),
            ("--gdb=0", "'0' for '--gdb"),
            ("--gdb=70000", "'70000' for '--gdb"),
            ("faults --chunk 300", "--chunk 300 is larger than --cma 256"),
            ("plug --window 200", "--window 200 does not consist of sections of 128 MiB"),
            ("plug --window 0", "'0' for '--window"),
            ("plug --chunk 300", "--chunk 300 is larger than --window 256"),
            ("plug --chunk 6", "--chunk 6 does not consist of four or more blocks"),
            ("plug --chunk 9", "--chunk 9 does not consist of four or more blocks"),
            ("plug --cycles 1", "--cycles 1 is too small"),
            ("cma extra", "unexpected argument 'extra'"),
            ("example", "<NAME>"),
            ("example --memory 16 heap", "--memory 16 is too small"),
            ("--frobnicate", "unexpected argument '--frobnicate'"),
        ] {
            let error = parse(line).expect_err(line);
            assert!(error.to_string().contains(says), "`{line}`: {error}");
            assert_eq!(error.exit_code(), 2, "`{line}`");
        }
    }

    #[test]
    fn an_option_that_means_nothing_is_refused() {
        for line in [
            "list --gdb",
            "list --cpus 2",
            "example heap --json x",
            "example heap --serial",
            "example heap --cpus 2",
            "cma --minutes 3",
            "soak --cycles 3",
            "soak --chunk 3",
            "bench --jobs 3",
            "bench --chunk 8",
            "bench --interval-ms 7",
            "bench --accel kvm",
            "hotplug --window 256",
            "bench --display",
            "bench --screenshot x.png",
            "cma --display --screenshot x.png",
            "bench --fault merge-across",
            "designs --fault merge-across",
            "--cpus 2 bench",
        ] {
            let error = parse(line).expect_err(line);
            assert_eq!(error.exit_code(), 2, "`{line}`");
        }
    }

    #[test]
    fn what_was_meant_is_named() {
        for (line, says) in [
            ("hotplg", "a similar subcommand exists: 'hotplug'"),
            (
                "nope",
                "the commands are: cma, faults, designs, hotplug, dma, balloon, plug, soak, bench, example, list",
            ),
            ("--fault merge-accros", "a similar value exists: 'merge-across'"),
            ("--fault a,b", "[possible values: skipped-account, guard-counted, "),
            ("faults --fault skipped-account", "[possible values: unpatched, guard-counted, "),
            ("--fault", "[possible values: skipped-account, "),
            ("example", "tip: the examples are: heap, leak, single_cpu, virtio_disk"),
            ("example heapp", "a similar value exists: 'heap'"),
            ("example nope", "[possible values: heap, leak, single_cpu, virtio_disk]"),
            ("cma --cycle 3", "a similar argument exists: '--cycles'"),
            ("cma --memory 16", "Usage: cargo run -- cma [OPTIONS]"),
        ] {
            let text = parse(line).expect_err(line).to_string();
            assert!(text.contains(says), "`{line}`: {text}");
        }
    }

    #[test]
    fn small_machines_with_small_areas_are_accepted() {
        parse("--memory 256 --cma 64").unwrap();
        parse("--memory 65 --cma 1 --chunk 1 --interval-ms 0").unwrap();
    }

    #[test]
    fn the_list_can_be_asked_for() {
        assert!(matches!(parse("list").unwrap(), Request::List));
    }

    #[test]
    fn help_is_no_error() {
        for line in ["--help", "-h", "help", "help bench", "bench --help", "example -h", "list --help"] {
            let help = parse(line).unwrap_err();
            assert_eq!(help.exit_code(), 0, "`{line}`: {help}");
        }
    }

    #[test]
    fn examples_can_be_asked_for_by_name() {
        let Request::Example(arguments) = parse("example heap --memory 128 --gdb=77").unwrap() else {
            panic!("no example");
        };
        assert_eq!(arguments.name, "heap");
        assert_eq!(arguments.machine, Machine { cpus: 1, memory_mib: 128 });
        assert_eq!(arguments.emulation.debugger, Debugger::Wait { port: 77 });
    }
}
