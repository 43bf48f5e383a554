//! A virtual machine that can be booted: QEMU, its acceleration, and a kernel image.

use std::ffi::OsStr;
use std::io;
use std::path::PathBuf;

use pageblock_protocol::BootConfig;
use pageblock_protocol::config::MAX_LENGTH;

use crate::guest::boot::{self, Limits, Listener, Outcome};
use crate::host::interrupt::Interrupt;
use crate::image::build::{self, BuildError, Instruments, Messages};
use crate::qemu::accel::{Accel, AccelChoice, Clock, NoKvm};
use crate::qemu::emulator::{NoQemu, Qemu};
use crate::qemu::machine::{Debugger, Machine, Screen};

/// A virtual machine that can be booted, any number of times and on different hardware.
#[derive(Clone, Debug)]
pub struct Vm {
    /// The emulator.
    pub qemu: Qemu,
    /// The path of the kernel image.
    pub image: PathBuf,
    /// The acceleration.
    pub accel: Accel,
    /// The display.
    pub screen: Screen,
}

/// Something that a boot needs and this machine lacks.
#[derive(Debug, thiserror::Error)]
pub enum Missing {
    /// The emulator is not installed.
    #[error(transparent)]
    Qemu(#[from] NoQemu),
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
    /// The emulator is installed, but does not run.
    #[error("QEMU cannot be run: {0}")]
    Spawn(#[from] io::Error),
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
        Ok(Self {
            qemu: Qemu::find(program)?,
            accel: Accel::choose_for(clock, accel)?,
            image: build::build(instruments, messages)?,
            screen: Screen::None,
        })
    }

    /// Boots the kernel on that hardware with that command line, and watches it until it ends.
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
        let command =
            self.qemu.command(machine, self.accel, debugger, &self.screen, &self.image, &command_line);
        Ok(boot::watch(command, limits, interrupt, listener)?)
    }
}
