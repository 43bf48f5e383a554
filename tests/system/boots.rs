//! What the tests that boot a kernel share: the images, and boots of whole scenarios.
//!
//! A scenario is judged as the launcher judges it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use pageblock_launcher::disk::Disk;
use pageblock_launcher::guest::{Limits, Outcome};
use pageblock_launcher::host::Interrupt;
use pageblock_launcher::host::Status;
use pageblock_launcher::image::{self, Instruments, Messages};
use pageblock_launcher::lent_memory::LentMemory;
use pageblock_launcher::qemu::{AccelChoice, Clock, Debugger, Device, Machine, PROGRAM, Qemu};
use pageblock_launcher::report::PostMortem;
use pageblock_launcher::scenario;
use pageblock_launcher::scenario::Judgement;
use pageblock_launcher::vm::Vm;
use pageblock_protocol::BootConfig;

const LIMITS: Limits =
    Limits { deadline: Some(Duration::from_secs(300)), silence: Some(Duration::from_secs(60)) };

/// Held shared by builds, and exclusively by boots.
///
/// A guest has deadlines, and keeps all processors of a small machine busy: with another guest or a
/// compiler beside it, it would miss them.
static PROCESSORS: RwLock<()> = RwLock::new(());

/// To be held while a kernel runs.
pub fn boot_alone() -> RwLockWriteGuard<'static, ()> {
    PROCESSORS.write().unwrap_or_else(PoisonError::into_inner)
}

/// To be held while something is built.
pub fn build_beside_builds() -> RwLockReadGuard<'static, ()> {
    PROCESSORS.read().unwrap_or_else(PoisonError::into_inner)
}

/// The kernel image with these instruments. It is built once in this process.
pub fn image(instruments: Instruments) -> &'static Path {
    static IMAGES: [OnceLock<PathBuf>; 5] = [const { OnceLock::new() }; 5];
    IMAGES[instruments as usize].get_or_init(|| {
        let _building = build_beside_builds();
        image::build(instruments, Messages::Kept).unwrap_or_else(|error| panic!("{error}"))
    })
}

/// The emulator that the environment names, or the usual one.
pub fn qemu() -> Qemu {
    Qemu::find(&program()).unwrap_or_else(|error| panic!("{error}"))
}

fn program() -> OsString {
    std::env::var_os("PAGEBLOCK_QEMU").unwrap_or_else(|| OsString::from(PROGRAM))
}

/// What a boot of that image needs.
///
/// The emulator is looked for first, so that nobody waits for a build to learn that it is missing.
pub fn vm(clock: Clock, instruments: Instruments) -> Vm {
    vm_with(clock, instruments, &[])
}

/// The same with devices.
pub fn vm_with(clock: Clock, instruments: Instruments, devices: &[Device]) -> Vm {
    let image = || Ok(image(instruments).to_owned());
    let vm = Vm::with_image(&program(), clock, AccelChoice::Auto, devices, image);
    vm.unwrap_or_else(|error| panic!("{error}"))
}

/// Boots the scenario on its own clock, and checks that it ends like that.
pub fn run(machine: Machine, config: &BootConfig<'_>, instruments: Instruments, expected: Status) -> Outcome {
    let spec = scenario::find(config.scenario.name()).expect("it is in the table");
    run_on_a_clock(spec.clock, machine, config, instruments, expected)
}

/// The same on a given clock.
pub fn run_on_a_clock(
    clock: Clock,
    machine: Machine,
    config: &BootConfig<'_>,
    instruments: Instruments,
    expected: Status,
) -> Outcome {
    let spec = scenario::find(config.scenario.name()).expect("it is in the table");
    let mut vm = vm_with(clock, instruments, spec.devices);
    if let Some(mib) = spec.disk_mib {
        vm.connect(Disk::create(None, mib).unwrap_or_else(|error| panic!("{error}")));
    }
    if let Some(mib) = spec.window_mib {
        vm.lend(LentMemory::new(mib));
    }
    let alone = boot_alone();
    let outcome = vm
        .boot(machine, Debugger::None, config, LIMITS, &Interrupt::new(), &mut ())
        .unwrap_or_else(|error| panic!("{error}"));
    drop(alone);
    let judgement = Judgement::of(spec, machine, &outcome);
    let post_mortem = PostMortem { outcome: &outcome, qemu: &vm.qemu };
    assert_eq!(judgement.status, expected, "{judgement}\n{post_mortem}");
    outcome
}
