//! Runs a scenario: builds the kernel, boots it, judges what it reports, and prints the result.

use std::mem;
use std::time::Duration;

use pageblock_protocol::BootConfig;

use crate::command_line::arguments::Arguments;
use crate::command_line::plan::Plan;
use crate::disk::Disk;
use crate::guest::boot::{Limits, Outcome};
use crate::guest::ending::Ending;
use crate::guest::samples::Samples;
use crate::guest::series;
use crate::host::interrupt::Interrupt;
use crate::host::status::Status;
use crate::host::streams::say;
use crate::image::build::{self, Messages};
use crate::lent_memory::LentMemory;
use crate::qemu::emulator::Qemu;
use crate::qemu::machine::{Debugger, Machine, Screen};
use crate::report::figures::{Figure, figures, standalone};
use crate::report::live::LiveOutput;
use crate::report::post_mortem::PostMortem;
use crate::report::run::Run;
use crate::report::{events, json, page, table};
use crate::run::debugger::announce_debugger;
use crate::run::failure::Failure;
use crate::run::outputs::Outputs;
use crate::run::screenshot::{Camera, WithCamera, hidden_screen};
use crate::run::targets;
use crate::scenario::judgement::Judgement;
use crate::vm::{BootError, Missing, Vm};

/// Runs the scenario with those options.
pub fn run(arguments: &Arguments, interrupt: &Interrupt) -> Result<Status, Failure> {
    let plan = Plan::new(arguments);
    let outputs = Outputs::create(arguments)?;
    let disk = make_disk(&plan)?;
    let mut vm = prepare(&plan).map_err(|missing| match interrupt.is_set() {
        true => Failure { status: Status::Interrupted, message: "interrupted".to_owned() },
        false => missing.into(),
    })?;
    if let Some(disk) = disk {
        vm.connect(disk);
    }
    if let Some(window_mib) = plan.arguments.window_mib {
        vm.lend(LentMemory::new(window_mib));
    }
    if arguments.screenshot.is_some() {
        vm.peripherals.screen = hidden_screen();
    } else if arguments.display {
        vm.peripherals.screen = Screen::Window;
    }
    let mut camera =
        arguments.screenshot.as_deref().and_then(|file| Camera::new(&vm.peripherals.screen, file));
    announce_debugger(arguments.emulation.debugger, &vm.image);

    let boots = plan.boots();
    let mut live = match arguments.serial {
        true => LiveOutput::serial(),
        false => LiveOutput::progress(&boots.iter().map(|boot| plan.weight(boot)).collect::<Vec<_>>()),
    };
    let run = boot_all(&plan, &vm, &boots, interrupt, camera.as_mut(), &mut live)?;
    live.finish();

    let Booted { machine, mut outcome, boots: number, samples } = run;
    let is_partial = is_ended_by_user(&outcome) && outcome.transcript.has_measurements();
    let judgement = match is_partial {
        true => Judgement::of_a_part(&outcome.ending, number, boots.len()),
        false => Judgement::of(plan.spec, machine, &outcome),
    };
    if judgement.has_results() && !is_partial {
        targets::add(&plan, &mut outcome.transcript);
    }
    if judgement.has_results() || is_partial {
        let run = Run { plan: &plan, accel: vm.accel, outcome: &outcome, judgement: &judgement };
        let to = outputs.of_tables();
        let printed = to.print(&table::results(&run, to.width()));
        let qemu = || vm.qemu.version();
        let name = |figure: &Figure| format!("{}-{}.svg", plan.spec.scenario, figure.name);
        let pictures = || {
            let figures = figures(&run, &samples);
            figures.iter().map(|figure| (name(figure), standalone(figure))).collect()
        };
        outputs.write(
            || json::object(&run, &qemu()),
            || page::page(&run, &samples, &qemu()),
            pictures,
            || events::trace(&run.outcome.transcript.events),
        )?;
        camera.map_or(Ok(()), Camera::finish)?;
        // The files have the results all the same.
        printed.map_err(Failure::of_stdout)?;
    } else {
        say(format_args!("error: {judgement}"));
        if judgement.status == Status::Crashed || judgement.status == Status::Missing {
            say(format_args!("{}", PostMortem { outcome: &outcome, qemu: &vm.qemu }));
        }
    }
    Ok(judgement.status)
}

/// What a run did.
struct Booted {
    /// The hardware of the first boot, which the outcome describes.
    machine: Machine,
    /// The outcomes of all boots, merged.
    outcome: Outcome,
    /// The number of boots.
    boots: usize,
    /// What each boot is about, and its samples.
    samples: Vec<(String, Samples)>,
}

fn prepare(plan: &Plan<'_>) -> Result<Vm, Missing> {
    let (emulation, spec) = (&plan.arguments.emulation, plan.spec);
    if spec.window_mib.is_some() {
        LentMemory::check(&Qemu::find(&emulation.qemu)?)?;
    }
    Vm::with_image(&emulation.qemu, spec.clock, emulation.accel, spec.devices, || match &emulation.image {
        Some(image) => Ok(image.clone()),
        None => Ok(build::build(plan.instruments(), Messages::Shown)?),
    })
}

/// Makes the file of the guest's disk, if it has one. Before the build, so that a wrong path is
/// reported at once.
fn make_disk(plan: &Plan<'_>) -> Result<Option<Disk>, Failure> {
    let path = plan.arguments.disk.as_deref();
    let status = if path.is_some() { Status::Usage } else { Status::Missing };
    let made = plan.spec.disk_mib.map(|mib| Disk::create(path, mib));
    made.transpose().map_err(|error| Failure { status, message: error.to_string() })
}

/// Whether the user ended the boot, which then has what there was until then.
const fn is_ended_by_user(outcome: &Outcome) -> bool {
    matches!(outcome.ending, Ending::Interrupted | Ending::Killed)
}

/// Does all boots of the run and merges their outcomes.
///
/// A boot without results ends the run; its outcome is then returned alone. If the user interrupts
/// the run, the outcome has what there was until then.
fn boot_all(
    plan: &Plan<'_>,
    vm: &Vm,
    boots: &[(Machine, BootConfig<'_>)],
    interrupt: &Interrupt,
    mut camera: Option<&mut Camera<'_>>,
    live: &mut LiveOutput,
) -> Result<Booted, BootError> {
    let mut sum: Option<(Machine, Outcome)> = None;
    let mut samples = Vec::new();
    for (number, boot) in (1..).zip(boots) {
        let (machine, config) = boot;
        let what = match (config.fault, boots.len()) {
            (Some(fault), _) => fault.to_owned(),
            (None, 1) => plan.spec.scenario.to_string(),
            (None, _) => machine.to_string(),
        };
        let prefix = match boots.len() {
            1 => String::new(),
            all => format!("boot {number} of {all}, {what}: "),
        };
        live.begin(prefix, plan.weight(boot));
        let used = sum.as_ref().map_or(Duration::ZERO, |(_, sum)| sum.took);
        let (limits, debugger) = (limits(plan, config, used), plan.arguments.emulation.debugger);
        let mut listener = WithCamera { camera: camera.as_deref_mut(), listener: live };
        let mut next = vm.boot(*machine, debugger, config, limits, interrupt, &mut listener)?;
        let ended_by_user = is_ended_by_user(&next).then(|| next.ending.clone());
        if ended_by_user.is_none() && !Judgement::of(plan.spec, *machine, &next).has_results() {
            return Ok(Booted { machine: *machine, outcome: next, boots: number, samples });
        }
        samples.push((what, mem::take(&mut next.transcript.samples)));
        let (first, outcome) = match sum {
            None => (*machine, next),
            Some((first, sum)) => (first, series::merge(sum, next)),
        };
        if let Some(ending) = ended_by_user {
            let outcome = Outcome { ending, ..outcome };
            return Ok(Booted { machine: first, outcome, boots: number, samples });
        }
        sum = Some((first, outcome));
    }
    let (machine, outcome) = sum.expect("every run has at least one boot");
    Ok(Booted { machine, outcome, boots: boots.len(), samples })
}

/// The time limits of a boot, if earlier boots of the run have used that much time.
///
/// The user's limit is for the whole run. With a debugger there is only that limit.
fn limits(plan: &Plan<'_>, config: &BootConfig<'_>, used: Duration) -> Limits {
    let timeout = plan.arguments.emulation.timeout().map(|timeout| timeout.saturating_sub(used));
    match plan.arguments.emulation.debugger {
        Debugger::Wait { .. } => Limits { deadline: timeout, silence: None },
        Debugger::None => Limits {
            deadline: Some(timeout.unwrap_or_else(|| plan.spec.deadline(config))),
            silence: Some(plan.spec.silence(config)),
        },
    }
}
