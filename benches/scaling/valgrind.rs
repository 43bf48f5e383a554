//! Runs the measurements: starts this program again, under valgrind.
//!
//! The tool `lackey` traces every instruction and every access to memory, which is slow. The tool
//! `callgrind` only counts instructions.

use std::env;
use std::io::{self, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::simulation::Load;
use crate::sizes::Work;
use crate::trace::{self, Cost};

/// The path of valgrind.
pub(crate) fn find() -> Result<PathBuf, String> {
    which::which("valgrind").map_err(|_| "valgrind is not installed: `apt-get install valgrind`".to_owned())
}

/// The command that runs this program under valgrind.
fn this_program(valgrind: &PathBuf, options: &[&str]) -> Result<Command, String> {
    let program = env::current_exe().map_err(|error| error.to_string())?;
    let mut command = Command::new(valgrind);
    // No backtrace after a panic: looking up its symbols takes minutes under valgrind.
    command.args(options).arg(program).stdin(Stdio::null()).env("RUST_BACKTRACE", "0");
    Ok(command)
}

fn name(value: &impl clap::ValueEnum) -> String {
    value.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}

/// Simulates a load on that many CPUs.
pub(crate) fn simulate(valgrind: &PathBuf, load: Load, cpus: usize, memory: u64) -> Result<Cost, String> {
    let mut command = this_program(valgrind, &["--tool=lackey", "--trace-mem=yes", "--basic-counts=no"])?;
    command.args(["simulate", &name(&load), &cpus.to_string(), &memory.to_string()]);
    let mut child =
        command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().map_err(|error| error.to_string())?;
    let cost = child.stderr.take().map_or_else(
        || Err("no trace".to_owned()),
        |stderr| trace::read(BufReader::with_capacity(1 << 20, stderr)),
    );
    let status = child.wait().map_err(|error| error.to_string())?;
    let cost = cost.map_err(|error| format!("{} on {cpus} CPUs, {status}: {error}", load.name()))?;
    if status.success() { Ok(cost) } else { Err(format!("{} on {cpus} CPUs: {status}", load.name())) }
}

/// The cost of an operation on a machine with some amount of memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SizeCost {
    pub(crate) operations: usize,
    pub(crate) instructions: u64,
}

/// Counts the instructions of an operation with callgrind.
pub(crate) fn size(valgrind: &PathBuf, work: Work, memory: u64) -> Result<SizeCost, String> {
    let options = [
        "--tool=callgrind",
        "--callgrind-out-file=/dev/null",
        "--collect-atstart=no",
        "--toggle-collect=*counted_*",
    ];
    let mut command = this_program(valgrind, &options)?;
    command.args(["size", &name(&work), &memory.to_string()]);
    let output = command.output().map_err(|error| error.to_string())?;
    let messages = String::from_utf8_lossy(&output.stderr);
    // The sum is in the last lines of callgrind: `==1234== Collected : 5678`.
    let collected =
        messages.lines().rev().find_map(|line| line.split_once("Collected : ")?.1.trim().parse().ok());
    let operations =
        String::from_utf8_lossy(&output.stdout).split_whitespace().next().and_then(|word| word.parse().ok());
    match (output.status.success(), operations, collected) {
        (true, Some(operations), Some(instructions)) if instructions > 0 => {
            Ok(SizeCost { operations, instructions })
        }
        _ => Err(format!("{} of {memory} bytes, {}: {messages}", work.name(), output.status)),
    }
}

/// The time of initialisation without valgrind: the best of five.
pub(crate) fn init_time(memory: u64) -> Result<Duration, String> {
    let program = env::current_exe().map_err(|error| error.to_string())?;
    let once = || -> io::Result<Option<Duration>> {
        let output =
            Command::new(&program).args(["size", &name(&Work::Init), &memory.to_string()]).output()?;
        let times = String::from_utf8_lossy(&output.stdout);
        Ok(times.split_whitespace().nth(1).and_then(|word| word.parse().ok()).map(Duration::from_nanos))
    };
    let times =
        (0..5).map(|_| once()).collect::<io::Result<Option<Vec<_>>>>().map_err(|error| error.to_string())?;
    times
        .and_then(|times| times.into_iter().min())
        .ok_or_else(|| format!("the initialisation of {memory} bytes failed"))
}
