//! Boots of whole scenarios on small machines, judged as the launcher judges them.

use std::ffi::OsString;
use std::time::Duration;

use pageblock_launcher::guest::{Limits, Outcome};
use pageblock_launcher::host::Interrupt;
use pageblock_launcher::host::Status;
use pageblock_launcher::image::{Instruments, Messages};
use pageblock_launcher::qemu::{AccelChoice, Clock};
use pageblock_launcher::qemu::{Debugger, Machine, PROGRAM};
use pageblock_launcher::report::PostMortem;
use pageblock_launcher::scenario;
use pageblock_launcher::scenario::Judgement;
use pageblock_launcher::vm::Vm;
use pageblock_protocol::BootConfig;

const LIMITS: Limits =
    Limits { deadline: Some(Duration::from_secs(300)), silence: Some(Duration::from_secs(60)) };

/// Runs the scenario and checks that it ends like that.
pub(crate) fn run(
    machine: Machine,
    config: &BootConfig<'_>,
    instruments: Instruments,
    expected: Status,
) -> Outcome {
    let spec = scenario::find(config.scenario.name()).expect("it is in the table");
    run_on_a_clock(spec.clock, machine, config, instruments, expected)
}

/// The same on a clock that need not be the scenario's.
pub(crate) fn run_on_a_clock(
    clock: Clock,
    machine: Machine,
    config: &BootConfig<'_>,
    instruments: Instruments,
    expected: Status,
) -> Outcome {
    let qemu = std::env::var_os("PAGEBLOCK_QEMU").unwrap_or_else(|| OsString::from(PROGRAM));
    let spec = scenario::find(config.scenario.name()).expect("it is in the table");
    let vm = Vm::prepare(&qemu, clock, AccelChoice::Auto, instruments, Messages::Kept)
        .unwrap_or_else(|error| panic!("{error}"));
    let outcome = vm
        .boot(machine, Debugger::None, config, LIMITS, &Interrupt::new(), &mut ())
        .unwrap_or_else(|error| panic!("{error}"));
    let judgement = Judgement::of(spec, machine, &outcome);
    let post_mortem = PostMortem { outcome: &outcome, qemu: &vm.qemu };
    assert_eq!(judgement.status, expected, "{judgement}\n{post_mortem}");
    outcome
}
