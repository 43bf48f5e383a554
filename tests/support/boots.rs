//! Boots of whole scenarios on small machines, judged as the launcher judges them.

use std::ffi::OsString;
use std::time::Duration;

use pageblock_launcher::accel::{AccelChoice, Clock};
use pageblock_launcher::boot::{Interrupt, Limits, Outcome};
use pageblock_launcher::image::{Instruments, Messages};
use pageblock_launcher::judgement::Judgement;
use pageblock_launcher::qemu::{Debugger, Machine, PROGRAM};
use pageblock_launcher::report::post_mortem::PostMortem;
use pageblock_launcher::rig::Rig;
use pageblock_launcher::scenarios::Story;
use pageblock_launcher::status::Status;
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
    let story = Story::from_name(config.scenario.name()).expect("it is in the table");
    run_on_a_clock(story.clock, machine, config, instruments, expected)
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
    let story = Story::from_name(config.scenario.name()).expect("it is in the table");
    let rig = Rig::prepare(&qemu, clock, AccelChoice::Auto, instruments, Messages::Kept)
        .unwrap_or_else(|error| panic!("{error}"));
    let outcome = rig
        .boot(machine, Debugger::None, config, LIMITS, &Interrupt::new(), &mut ())
        .unwrap_or_else(|error| panic!("{error}"));
    let judgement = Judgement::of(story, machine, &outcome);
    let post_mortem = PostMortem { outcome: &outcome, qemu: &rig.qemu };
    assert_eq!(judgement.status, expected, "{judgement}\n{post_mortem}");
    outcome
}
