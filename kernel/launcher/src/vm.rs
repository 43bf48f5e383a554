//! A virtual machine that can be booted: QEMU, its acceleration, and a kernel image.

use std::ffi::OsStr;
use std::io;
use std::path::PathBuf;

use pageblock_protocol::config::MAX_LENGTH;
use pageblock_protocol::{BootConfig, Scenario, stat};

use crate::balloon::Observer;
use crate::disk::{Disk, DiskError};
use crate::guest::boot::{self, Limits, Listener, Outcome};
use crate::host::interrupt::Interrupt;
use crate::image::build::{self, BuildError, EXAMPLES_WITH_DISK, Instruments, Messages};
use crate::lent_memory::LentMemory;
use crate::qemu::accel::{Accel, AccelChoice, Clock, NoKvm};
use crate::qemu::device::{Device, NoDevice};
use crate::qemu::emulator::{NoQemu, Qemu};
use crate::qemu::machine::{Debugger, Machine, Peripherals};

/// A virtual machine that can be booted, any number of times and on different hardware.
#[derive(Debug)]
pub struct Vm {
    /// The emulator.
    pub qemu: Qemu,
    /// The path of the kernel image.
    pub image: PathBuf,
    /// The acceleration.
    pub accel: Accel,
    /// The display, and further devices.
    pub peripherals: Peripherals,
    /// The disk, if one of the devices is one.
    pub disk: Option<Disk>,
    /// The memory device, if there is one.
    pub lent: Option<LentMemory>,
}

/// Something that a boot needs and this machine lacks.
#[derive(Debug, thiserror::Error)]
pub enum Missing {
    /// The emulator is not installed.
    #[error(transparent)]
    Qemu(#[from] NoQemu),
    /// The emulator lacks a device.
    #[error(transparent)]
    Device(#[from] NoDevice),
    /// KVM was asked for and cannot be used.
    #[error("KVM cannot be used: {0}.\nLeave out `--accel kvm` to run without it.")]
    Kvm(#[from] NoKvm),
    /// The kernel image cannot be built.
    #[error(transparent)]
    Kernel(#[from] BuildError),
}

/// Why a boot could not begin.
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    /// The kernel would cut off the end of its command line.
    #[error("the kernel's command line has {length} bytes; the kernel reads {MAX_LENGTH}")]
    CommandLineTooLong {
        /// The length in bytes.
        length: usize,
    },
    /// The disk cannot be made or read.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The emulator is installed, but does not run.
    #[error("QEMU cannot be run: {0}")]
    Spawn(#[from] io::Error),
}

/// What the example of that name has beside CPUs and memory, and its disk, if it has one.
pub fn of_example(name: &str, qemu: &Qemu) -> Result<(Peripherals, Option<Disk>), OfExample> {
    if !EXAMPLES_WITH_DISK.contains(&name) {
        return Ok((Peripherals::default(), None));
    }
    qemu.check(&[Device::DISK])?;
    let disk = Disk::create(None, 1)?;
    disk.fill(BootConfig::DEFAULT.seed)?;
    let mut arguments: Vec<_> = disk.arguments().into();
    arguments.extend(Device::arguments(&[Device::DISK]));
    Ok((Peripherals { arguments, ..Peripherals::default() }, Some(disk)))
}

/// Why an example lacks what it has beside CPUs and memory.
#[derive(Debug, thiserror::Error)]
pub enum OfExample {
    /// The emulator lacks a device.
    #[error(transparent)]
    Device(#[from] NoDevice),
    /// The disk cannot be made.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

impl Vm {
    /// Finds the emulator, chooses the acceleration and builds the kernel.
    ///
    /// The build comes last, so that nobody waits for it to learn that QEMU is missing.
    pub fn prepare(
        program: &OsStr,
        clock: Clock,
        accel: AccelChoice,
        instruments: Instruments,
        messages: Messages,
    ) -> Result<Self, Missing> {
        Self::with_image(program, clock, accel, &[], || Ok(build::build(instruments, messages)?))
    }

    /// The same with devices, and with an image from elsewhere.
    pub fn with_image(
        program: &OsStr,
        clock: Clock,
        accel: AccelChoice,
        devices: &[Device],
        image: impl FnOnce() -> Result<PathBuf, Missing>,
    ) -> Result<Self, Missing> {
        let qemu = Qemu::find(program)?;
        qemu.check(devices)?;
        let accel = Accel::choose_for(clock, accel)?;
        let arguments = Device::arguments(devices);
        let peripherals = Peripherals { arguments, ..Peripherals::default() };
        Ok(Self { qemu, accel, image: image()?, peripherals, disk: None, lent: None })
    }

    /// Connects a disk. One of the devices must be the disk's, and name it `disk`.
    pub fn connect(&mut self, disk: Disk) {
        self.peripherals.arguments.splice(0..0, disk.arguments());
        self.disk = Some(disk);
    }

    /// Connects a memory device.
    pub fn lend(&mut self, memory: LentMemory) {
        self.peripherals.arguments.extend(memory.arguments());
        self.lent = Some(memory);
    }

    /// Boots the kernel on that hardware with that command line, and watches it until it ends.
    ///
    /// If there is a disk, it is filled before, and checked after. If there is a memory device, its
    /// size changes meanwhile. What the host finds is added to what the guest has reported.
    pub fn boot(
        &self,
        machine: Machine,
        debugger: Debugger,
        config: &BootConfig<'_>,
        limits: Limits,
        interrupt: &Interrupt,
        listener: &mut dyn Listener,
    ) -> Result<Outcome, BootError> {
        let command_line = config.to_string();
        if command_line.len() > MAX_LENGTH {
            return Err(BootError::CommandLineTooLong { length: command_line.len() });
        }
        let peripherals = &self.peripherals;
        let command =
            self.qemu.command(machine, self.accel, debugger, peripherals, &self.image, &command_line);
        if let Some(disk) = &self.disk {
            disk.fill(config.seed)?;
        }
        let mut outcome = match &self.lent {
            None if config.scenario == Scenario::Balloon => {
                let mut observer = Observer::new(config, listener);
                let mut outcome = boot::watch(command, limits, interrupt, &mut observer)?;
                observer.finish(&mut outcome.transcript);
                outcome
            }
            None => boot::watch(command, limits, interrupt, listener)?,
            Some(memory) => {
                let mut lender = memory.lender(config, listener);
                let mut outcome = boot::watch(command, limits, interrupt, &mut lender)?;
                lender.finish(&mut outcome.transcript);
                outcome
            }
        };
        if let Some(disk) = &self.disk {
            add_disk(disk, config.seed, &mut outcome)?;
        }
        Ok(outcome)
    }
}

/// Adds to the corrupted blocks that the guest has read those that the file has, and those whose
/// last writes it does not have.
fn add_disk(disk: &Disk, seed: u64, outcome: &mut Outcome) -> Result<(), DiskError> {
    let transcript = &mut outcome.transcript;
    // A guest that crashed has not said how often it wrote.
    let (Some(written), Some(read)) =
        (transcript.stat(stat::DISK_BLOCKS_WRITTEN), transcript.stat(stat::DISK_CORRUPTED))
    else {
        return Ok(());
    };
    let found = disk.check(seed)?;
    let lost = written.abs_diff(found.writes.try_into().unwrap_or(i64::MAX));
    // The writes of a corrupted block are unknown, so that it would count twice.
    let lost = if found.corrupted == 0 { lost } else { 0 };
    let wrong = i64::try_from(found.corrupted + lost).unwrap_or(i64::MAX);
    transcript.set_stat(stat::DISK_CORRUPTED, read.saturating_add(wrong));
    Ok(())
}
