//! Parses the command line and refuses combinations that no guest can run.
//!
//! A refusal names the value that is wrong. It comes before anything is built or booted.

use std::ffi::OsString;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};

use crate::command_line::arguments::{Arguments, Request};
use crate::command_line::plan::Plan;
use crate::image::build::{EXAMPLES, Instruments};
use crate::qemu::accel::{AccelChoice, Clock};
use crate::scenario::spec::Cycle;

/// The memory that the kernel and its jobs need besides the CMA area.
const MIN_OTHER_MEMORY_MIB: u32 = 64;

/// Parses the arguments of this process. Prints an error and exits if they are wrong.
pub fn from_process() -> Arguments {
    from_words(std::env::args_os()).unwrap_or_else(|error| error.exit())
}

/// Parses arguments, the first of which is the name of the program.
pub fn from_words<W: Into<OsString> + Clone>(
    words: impl IntoIterator<Item = W>,
) -> Result<Arguments, clap::Error> {
    let arguments = Arguments::try_parse_from(words)?;
    match contradiction(&arguments) {
        None => Ok(arguments),
        Some(message) => Err(Arguments::command().error(ErrorKind::ValueValidation, message)),
    }
}

/// What is wrong with options of which each alone is right.
fn contradiction(arguments: &Arguments) -> Option<String> {
    let Arguments { scenario, ref name, memory, .. } = *arguments;
    let examples = || EXAMPLES.join(", ");
    match (scenario, name) {
        (Request::Example, None) => return Some(format!("which example? There are: {}", examples())),
        (Request::Example, Some(name)) if !EXAMPLES.contains(&name.as_str()) => {
            return Some(format!("no example '{name}'; there are: {}", examples()));
        }
        (Request::List | Request::Run(_), Some(name)) => {
            return Some(format!("unexpected argument '{name}' found"));
        }
        _ => {}
    }
    if memory < MIN_OTHER_MEMORY_MIB {
        return Some(format!("--memory {memory} is too small: the kernel needs {MIN_OTHER_MEMORY_MIB} MiB"));
    }
    match scenario {
        Request::Run(spec) => contradiction_in(&Plan::new(spec, arguments)),
        Request::List | Request::Example => None,
    }
}

/// What is wrong with the run of a scenario.
fn contradiction_in(plan: &Plan<'_>) -> Option<String> {
    let Plan { arguments, spec, machine, config } = plan;
    let (memory, cma, chunk) = (machine.memory_mib, config.cma_mib, config.chunk_mib);
    if spec.instruments == Instruments::Designs && config.fault.is_some() {
        Some("--fault cannot be combined with designs: its kernel has no faults".to_owned())
    } else if spec.clock == Clock::Instructions && arguments.accel == AccelChoice::Kvm {
        Some("--accel kvm cannot be combined with bench: KVM counts no instructions".to_owned())
    } else if cma > memory {
        Some(format!("--cma {cma} is larger than --memory {memory}"))
    } else if memory - cma < MIN_OTHER_MEMORY_MIB {
        Some(format!(
            "--cma {cma} leaves too little of --memory {memory}: \
             the kernel needs {MIN_OTHER_MEMORY_MIB} MiB besides it"
        ))
    } else if spec.cycle == Cycle::Chunk && chunk > cma {
        Some(format!("--chunk {chunk} is larger than --cma {cma}"))
    } else {
        None
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn parse(line: &str) -> Result<Arguments, clap::Error> {
        from_words(std::iter::once("pageblock").chain(line.split_whitespace()))
    }

    /// Lets a test look at the run that this command line asks for.
    pub(crate) fn with_plan(line: &str, look: impl FnOnce(&Plan<'_>)) {
        let arguments = parse(line).unwrap();
        let Request::Run(spec) = arguments.scenario else { panic!("`{line}` runs no scenario") };
        look(&Plan::new(spec, &arguments));
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
            ("--interval-ms -1", "unexpected argument"),
            ("--seed x", "'x' for '--seed"),
            ("--timeout 0", "'0' for '--timeout"),
            ("--accel xen", "'xen' for '--accel"),
            ("--fault", "value is required"),
            ("--fault a,b", "'a,b' for '--fault"),
            ("nope", "'nope' for '[SCENARIO]': no such scenario; there are: cma"),
            ("bench --accel kvm", "--accel kvm cannot be combined with bench"),
            ("designs --fault merge-across", "--fault cannot be combined with designs"),
            ("faults --chunk 300", "--chunk 300 is larger than --cma 256"),
            ("cma extra", "unexpected argument 'extra'"),
            ("example", "which example? There are: heap, leak, single_cpu"),
            ("example nope", "no example 'nope'; there are: heap, leak, single_cpu"),
            ("--frobnicate", "unexpected argument '--frobnicate'"),
        ] {
            let error = parse(line).expect_err(line);
            assert!(error.to_string().contains(says), "`{line}`: {error}");
            assert_eq!(error.exit_code(), 2, "`{line}`");
        }
    }

    #[test]
    fn small_machines_with_small_areas_are_accepted() {
        parse("--memory 256 --cma 64").unwrap();
        parse("--memory 65 --cma 1 --chunk 1 --interval-ms 0").unwrap();
    }

    #[test]
    fn the_list_can_be_asked_for() {
        assert!(matches!(parse("list").unwrap().scenario, Request::List));
    }

    #[test]
    fn examples_can_be_asked_for_by_name() {
        let arguments = parse("example heap --memory 128").unwrap();
        assert!(matches!(arguments.scenario, Request::Example));
        assert_eq!(arguments.name.as_deref(), Some("heap"));
    }
}
