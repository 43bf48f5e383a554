//! What a boot can be asked to do, one module per story.
//!
//! `main` parses the command line and calls [`run`]; the in-kernel cases have a runner of their own.
//! Neighbours: the protocol's `Scenario` names them, `jobs` and `space` do the work.

pub(crate) mod audit_log;
mod audited;
mod bench;
pub(crate) mod cma;
#[cfg(feature = "designs")]
mod designs;
#[cfg(feature = "faults")]
mod faults;
mod hotplug;
mod latency;
mod load;

use core::fmt;

use pageblock::Tuning;
use pageblock_protocol::{BootConfig, Line, Scenario, Text, Verdict, stat};

use crate::{memory, report};

/// A story: does it, reports it, and says whether everything held.
type Run = fn(&BootConfig<'_>) -> Result<Verdict, Refused>;

/// The scenario cannot be run on this machine, or with these numbers. The reader has been told why.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Refused;

const SCENARIOS: &[(Scenario, Run)] = &[
    (Scenario::Cma, cma::run),
    (Scenario::Hotplug, hotplug::run),
    (Scenario::Bench, bench::run),
    #[cfg(feature = "designs")]
    (Scenario::Designs, designs::run),
    #[cfg(feature = "faults")]
    (Scenario::Faults, faults::run),
];

/// What the allocator is to be tuned to before the scenario begins.
pub(crate) fn tuning(config: &BootConfig<'_>) -> Tuning {
    match config.scenario {
        #[cfg(feature = "faults")]
        Scenario::Faults => faults::tuning(config),
        _ => Tuning::default(),
    }
}

/// Runs the scenario that `config` names.
pub(crate) fn run(config: &BootConfig<'_>) -> Result<Verdict, Refused> {
    report_cma_area();
    match SCENARIOS.iter().find(|(scenario, _)| *scenario == config.scenario) {
        Some((_, run)) => run(config),
        None => Err(refuse(format_args!("this kernel has no scenario `{}`", config.scenario))),
    }
}

/// Reports the size of the CMA area. It consists of whole pageblocks, so the command line may have
/// asked for less.
fn report_cma_area() {
    if let Some(area) = memory::cma() {
        let mib = area.range().len() / audited::pages_in(1);
        report::line(Line::Stat { key: stat::CMA_AREA_MIB, value: mib as i64 });
    }
}

/// Tells the reader why there will be no run.
fn refuse(why: fmt::Arguments<'_>) -> Refused {
    report::line(Line::Refused(Text::new(why)));
    Refused
}
