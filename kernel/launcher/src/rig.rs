//! QEMU, image and acceleration together: what a boot needs.

use std::ffi::OsStr;
use std::io;
use std::path::PathBuf;

use pageblock_protocol::BootConfig;
use pageblock_protocol::config::MAX_LENGTH;

use crate::accel::{Accel, AccelChoice, Clock, NoKvm};
use crate::boot::{self, Interrupt, Limits, Listener, Outcome};
use crate::image::{self, BuildError, Instruments, Messages};
use crate::qemu::{Debugger, Machine, NoQemu, Qemu};

/// What a boot needs.
#[derive(Clone, Debug)]
pub struct Rig {
    /// The emulator.
    pub qemu: Qemu,
    /// The kernel.
    pub image: PathBuf,
    /// How guest instructions run.
    pub accel: Accel,
}

/// Something that a boot needs is not on this machine.
#[derive(Debug, thiserror::Error)]
pub enum Missing {
    /// No emulator.
    #[error(transparent)]
    Qemu(#[from] NoQemu),
    /// No hardware acceleration, although it was asked for.
    #[error("hardware acceleration is not usable: {0}.\nLeave --accel out to run without it.")]
    Kvm(#[from] NoKvm),
    /// No kernel.
    #[error(transparent)]
    Kernel(#[from] BuildError),
    /// The emulator was found and does not run.
    #[error("QEMU cannot be run: {0}")]
    Spawn(io::Error),
}

/// A boot that could not even begin.
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    /// The kernel would cut the command line.
    #[error("the kernel's command line has {length} bytes, it keeps {MAX_LENGTH}")]
    CommandLineTooLong {
        /// Its length.
        length: usize,
    },
    /// The emulator was found and does not run.
    #[error("QEMU cannot be run: {0}")]
    Spawn(#[from] io::Error),
}

impl Rig {
    /// Finds the emulator, chooses the acceleration, builds the kernel; in that
    /// order, so that nobody waits for a build to hear of a missing package.
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
            image: image::build(instruments, messages)?,
        })
    }

    /// Boots and watches until the end.
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
        let command = self.qemu.command(machine, self.accel, debugger, &self.image, &command_line);
        Ok(boot::watch(command, limits, interrupt, listener)?)
    }
}
