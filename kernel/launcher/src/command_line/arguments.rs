//! What a command line asks for, as values.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use crate::qemu::accel::AccelChoice;
use crate::qemu::machine::{Debugger, Machine};
use crate::scenario::spec::ScenarioSpec;

/// What a command line asks for.
#[derive(Clone, Debug)]
pub enum Request {
    /// Print the table of scenarios.
    List,
    /// Run a scenario.
    Run(Box<Arguments>),
    /// Boot a small kernel in `examples/`.
    Example(ExampleArguments),
}

/// The run of a scenario. A setting that the scenario does not have has the scenario's default.
#[derive(Clone, Debug)]
pub struct Arguments {
    /// The scenario.
    pub spec: &'static ScenarioSpec,
    /// The guest's hardware; if there are several boots, that of the largest.
    pub machine: Machine,
    /// The size of the CMA area in MiB; 0 if there is none.
    pub cma_mib: u32,
    /// `--jobs`
    pub jobs: u32,
    /// `--cycles`
    pub cycles: u32,
    /// `--chunk`, in MiB
    pub chunk_mib: u32,
    /// `--interval-ms`
    pub interval_ms: u32,
    /// `--operations`; 0 if there is no limit.
    pub operations: u64,
    /// `--minutes`; 0 if there is no limit.
    pub minutes: u32,
    /// `--seed`
    pub seed: u64,
    /// `--fault`
    pub fault: Option<String>,
    /// `--json`
    pub json: Option<JsonTarget>,
    /// `--report`
    pub report: Option<PathBuf>,
    /// `--pictures`
    pub pictures: Option<PathBuf>,
    /// `--trace`
    pub trace: Option<PathBuf>,
    /// `--window`, in MiB; `None` if the guest has no memory device
    pub window_mib: Option<u32>,
    /// `--disk`
    pub disk: Option<PathBuf>,
    /// `--display`
    pub display: bool,
    /// `--screenshot`
    pub screenshot: Option<PathBuf>,
    /// Whether the guest's serial output is printed.
    pub serial: bool,
    /// How the guest is run.
    pub emulation: Emulation,
}

/// The boot of an example.
#[derive(Clone, Debug)]
pub struct ExampleArguments {
    /// The name of the kernel in `examples/`.
    pub name: String,
    /// The guest's hardware.
    pub machine: Machine,
    /// How the guest is run.
    pub emulation: Emulation,
}

/// How a guest is run.
#[derive(Clone, Debug)]
pub struct Emulation {
    /// `--accel`
    pub accel: AccelChoice,
    /// `--qemu`
    pub qemu: OsString,
    /// `--gdb`
    pub debugger: Debugger,
    /// `--timeout`, in seconds
    pub timeout: Option<u32>,
    /// The image to boot instead of building one.
    pub image: Option<PathBuf>,
}

/// Where the results go as JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JsonTarget {
    /// To standard output. The tables then go to standard error.
    Stdout,
    /// To that file.
    File(PathBuf),
}

impl Emulation {
    /// The time limit that the user chose.
    pub fn timeout(&self) -> Option<Duration> {
        self.timeout.map(|seconds| Duration::from_secs(seconds.into()))
    }
}
