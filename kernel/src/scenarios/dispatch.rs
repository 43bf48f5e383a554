//! Finds and runs the scenario that the command line names.

use pageblock::Tuning;
use pageblock_protocol::{BootConfig, Line, Scenario, Verdict, stat};

use crate::memory::{allocator, cma as cma_area};
use crate::report;
#[cfg(feature = "designs")]
use crate::scenarios::designs;
#[cfg(feature = "faults")]
use crate::scenarios::faults;
use crate::scenarios::frames::pages_in;
use crate::scenarios::verdict::{Refused, refuse};
use crate::scenarios::{balloon, bench, cma, dma, hotplug, plug, screen, soak};

/// Runs a scenario, reports its results, and returns whether all invariants held.
type Run = fn(&BootConfig<'_>) -> Result<Verdict, Refused>;

const SCENARIOS: &[(Scenario, Run)] = &[
    (Scenario::Cma, cma::run),
    (Scenario::Hotplug, hotplug::run),
    (Scenario::Dma, dma::run),
    (Scenario::Balloon, balloon::run),
    (Scenario::Plug, plug::run),
    (Scenario::Soak, soak::run),
    (Scenario::Bench, bench::run),
    #[cfg(feature = "designs")]
    (Scenario::Designs, designs::run),
    #[cfg(feature = "faults")]
    (Scenario::Faults, faults::run),
];

/// The tuning of the allocator for the scenario.
pub(crate) fn tuning(config: &BootConfig<'_>) -> Tuning {
    match config.scenario {
        #[cfg(feature = "faults")]
        Scenario::Faults => faults::tuning(config),
        Scenario::Soak => soak::tuning(),
        _ => Tuning::default(),
    }
}

/// The launcher knows the names of the mistakes from the protocol.
#[cfg(feature = "faults")]
const _: () = {
    use pageblock_protocol::fault::{FAULTS, same};

    let names = pageblock::Faults::NAMES;
    assert!(names.len() == FAULTS.len(), "the protocol names other mistakes than the library has");
    let mut at = 0;
    while at < names.len() {
        assert!(same(names[at].0, FAULTS[at]), "the protocol names other mistakes than the library has");
        at += 1;
    }
};

/// Switches the historical mistake of that name on. Returns false if the image does not contain it.
#[cfg(feature = "faults")]
fn switch_on(name: &str) -> bool {
    let fault = pageblock::Faults::by_name(name);
    fault.map(|fault| allocator().set_faults(fault)).is_some()
}

#[cfg(not(feature = "faults"))]
fn switch_on(_: &str) -> bool {
    false
}

/// Runs the scenario that `config` names, with the fault that it names switched on.
pub(crate) fn run(config: &BootConfig<'_>) -> Result<Verdict, Refused> {
    if let Some(name) = config.fault
        && !switch_on(name)
    {
        return Err(refuse(format_args!("this image has no fault `{name}`")));
    }
    if config.samples {
        report::samples::switch_on();
    }
    if config.display {
        screen::switch_on();
    }
    if config.trace {
        report::events::keep_all(allocator());
    }
    report_cma_area();
    let verdict = match SCENARIOS.iter().find(|(scenario, _)| *scenario == config.scenario) {
        Some((_, run)) => run(config),
        None => Err(refuse(format_args!("this kernel has no scenario `{}`", config.scenario))),
    };
    if config.trace {
        report::events::report(report::line);
    }
    verdict
}

/// Reports the size of the CMA area. It consists of whole pageblocks, so it may be larger than the
/// command line asks for.
fn report_cma_area() {
    if let Some(area) = cma_area() {
        let mib = area.range().len() / pages_in(1);
        report::line(Line::Stat { key: stat::CMA_AREA_MIB, value: mib as i64 });
    }
}
