//! Boots a small kernel from `examples/`.
//!
//! These kernels do not use the protocol: they print text for the user. The exit code tells whether
//! their self-check passed.

use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use pageblock_protocol::ExitCode;

use crate::command_line::arguments::ExampleArguments;
use crate::host::interrupt::Interrupt;
use crate::host::process::Guarded;
use crate::host::status::Status;
use crate::host::streams::say;
use crate::image::build::{self, Messages};
use crate::qemu::accel::Accel;
use crate::qemu::emulator::Qemu;
use crate::qemu::machine::Debugger;
use crate::run::debugger::announce_debugger;
use crate::run::failure::Failure;
use crate::vm::{Missing, of_example};

/// The time that an example may take. They need about a second.
const DEADLINE: Duration = Duration::from_secs(60);

/// The interval at which QEMU and the user are polled.
const TICK: Duration = Duration::from_millis(20);

/// Builds and boots the example that the command line names. Its output goes to the user.
pub fn run(arguments: &ExampleArguments, interrupt: &Interrupt) -> Result<Status, Failure> {
    let ExampleArguments { name, machine, emulation } = arguments;
    let qemu = Qemu::find(&emulation.qemu).map_err(Missing::from)?;
    let (peripherals, _disk) = of_example(name, &qemu)?;
    let accel = Accel::choose(emulation.accel).map_err(Missing::from)?;
    let image = match &emulation.image {
        Some(image) => image.clone(),
        None => build::build_example(name, Messages::Shown).map_err(Missing::from)?,
    };
    announce_debugger(emulation.debugger, &image);
    let mut command = qemu.command(*machine, accel, emulation.debugger, &peripherals, &image, "");
    command.stdout(Stdio::inherit()).stderr(Stdio::inherit());

    // A debugger may stop the guest for any time.
    let usual = (emulation.debugger == Debugger::None).then_some(DEADLINE);
    let deadline = emulation.timeout().or(usual).map(|limit| Instant::now() + limit);
    let mut qemu = Guarded::spawn(&mut command)?;
    loop {
        // First, because Ctrl-C in a terminal ends QEMU as well.
        if interrupt.is_set() {
            return Ok(Status::Interrupted);
        }
        if let Some(status) = qemu.try_wait()? {
            return Ok(judge(name, status.code(), emulation.debugger));
        }
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            say(format_args!("error: example {name} did not finish in time"));
            return Ok(Status::Crashed);
        }
        thread::sleep(TICK);
    }
}

fn judge(name: &str, status: Option<i32>, debugger: Debugger) -> Status {
    match status.and_then(ExitCode::from_qemu_status) {
        Some(ExitCode::Held) => Status::Held,
        Some(_) => {
            say(format_args!("error: the self-check of example {name} failed"));
            Status::Broken
        }
        // QEMU says so on standard error, which is the user's.
        None if status == Some(0) && debugger != Debugger::None => {
            say(format_args!("error: the debugger ended example {name}, or it reset itself"));
            Status::Interrupted
        }
        None => {
            say(format_args!("error: example {name} crashed"));
            Status::Crashed
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_exit_code_of_the_kernel_counts() {
        let judge = |name, status| judge(name, status, Debugger::None);
        assert_eq!(judge("x", Some(33)), Status::Held);
        assert_eq!(judge("x", Some(37)), Status::Broken);
        for other in [Some(0), Some(1), Some(32), None] {
            assert_eq!(judge("x", other), Status::Crashed);
        }
    }
}
