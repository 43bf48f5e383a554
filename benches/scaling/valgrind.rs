//! Measurements in processes of their own: this program once more, with valgrind watching.
//!
//! Two of its tools: `lackey` writes down every instruction and every access to memory, which is slow and shows who touches what;
//! `callgrind` only counts. Neighbours: [`storm`](crate::storm) and [`sizes`](crate::sizes) are what runs there,
//! [`trace`](crate::trace) reads lackey's words.

use std::env;
use std::io::{self, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::sizes::Work;
use crate::storm::Load;
use crate::trace::{self, Cost};

/// Where valgrind is.
pub(crate) fn find() -> Result<PathBuf, String> {
    which::which("valgrind").map_err(|_| "valgrind is not installed: `apt-get install valgrind`".to_owned())
}

/// This program, to be run with valgrind.
fn ourselves(valgrind: &PathBuf, options: &[&str]) -> Result<Command, String> {
    let program = env::current_exe().map_err(|error| error.to_string())?;
    let mut command = Command::new(valgrind);
    // A panic is told in one line: to look its symbols up takes minutes with valgrind watching.
    command.args(options).arg(program).stdin(Stdio::null()).env("RUST_BACKTRACE", "0");
    Ok(command)
}

fn name(value: &impl clap::ValueEnum) -> String {
    value.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}

/// A storm on so many CPUs.
pub(crate) fn storm(valgrind: &PathBuf, load: Load, cpus: usize, memory: u64) -> Result<Cost, String> {
    let mut command = ourselves(valgrind, &["--tool=lackey", "--trace-mem=yes", "--basic-counts=no"])?;
    command.args(["storm", &name(&load), &cpus.to_string(), &memory.to_string()]);
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

/// What a work costs on a machine of so much memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SizeCost {
    pub(crate) operations: usize,
    pub(crate) instructions: u64,
}

/// Instructions, under callgrind.
pub(crate) fn size(valgrind: &PathBuf, work: Work, memory: u64) -> Result<SizeCost, String> {
    let options = [
        "--tool=callgrind",
        "--callgrind-out-file=/dev/null",
        "--collect-atstart=no",
        "--toggle-collect=*seen_*",
    ];
    let mut command = ourselves(valgrind, &options)?;
    command.args(["size", &name(&work), &memory.to_string()]);
    let output = command.output().map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&output.stderr);
    // The last words of callgrind are the sum: `==1234== Collected : 5678`.
    let collected =
        said.lines().rev().find_map(|line| line.split_once("Collected : ")?.1.trim().parse().ok());
    let operations =
        String::from_utf8_lossy(&output.stdout).split_whitespace().next().and_then(|word| word.parse().ok());
    match (output.status.success(), operations, collected) {
        (true, Some(operations), Some(instructions)) if instructions > 0 => {
            Ok(SizeCost { operations, instructions })
        }
        _ => Err(format!("{} of {memory} bytes, {}: {said}", work.name(), output.status)),
    }
}

/// How long it takes to make a machine, without valgrind: the best of several.
pub(crate) fn init_time(memory: u64) -> Result<Duration, String> {
    let program = env::current_exe().map_err(|error| error.to_string())?;
    let once = || -> io::Result<Option<Duration>> {
        let output =
            Command::new(&program).args(["size", &name(&Work::Init), &memory.to_string()]).output()?;
        let said = String::from_utf8_lossy(&output.stdout);
        Ok(said.split_whitespace().nth(1).and_then(|word| word.parse().ok()).map(Duration::from_nanos))
    };
    let times =
        (0..5).map(|_| once()).collect::<io::Result<Option<Vec<_>>>>().map_err(|error| error.to_string())?;
    times.and_then(|times| times.into_iter().min()).ok_or_else(|| format!("no machine of {memory} bytes"))
}
