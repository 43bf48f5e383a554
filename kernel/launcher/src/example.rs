//! Boots a small kernel from `examples/`.
//!
//! They are what another kernel's author would write: they print what they like and know nothing of the
//! protocol. All that counts is the code that their self-check leaves in QEMU's exit status.

use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use pageblock_protocol::ExitCode;

use crate::accel::Accel;
use crate::arguments::Arguments;
use crate::boot::Interrupt;
use crate::image::{self, Messages};
use crate::process::Guarded;
use crate::qemu::{Machine, Qemu};
use crate::rig::Missing;
use crate::status::Status;

/// The examples there are.
pub const EXAMPLES: [&str; 2] = ["heap", "single_cpu"];

/// They take a second.
const DEADLINE: Duration = Duration::from_secs(60);

const TICK: Duration = Duration::from_millis(20);

/// Builds the example that the arguments name, boots it, and lets it print.
pub fn run(arguments: &Arguments, interrupt: &Interrupt) -> Result<Status, Missing> {
    let qemu = Qemu::find(&arguments.qemu)?;
    let accel = Accel::choose(arguments.accel)?;
    let name = arguments.name.as_deref().unwrap_or_default();
    let image = match &arguments.image {
        Some(image) => image.clone(),
        None => image::build_example(name, Messages::Shown)?,
    };
    let machine = Machine { cpus: 1, ..arguments.machine() };
    let mut command = qemu.command(machine, accel, arguments.debugger(), &image, "");
    command.stdout(Stdio::inherit()).stderr(Stdio::inherit());

    // Without a handler Ctrl-C still ends everything.
    let deadline = Instant::now() + arguments.timeout().unwrap_or(DEADLINE);
    let mut qemu = Guarded::spawn(&mut command).map_err(Missing::Spawn)?;
    loop {
        if let Some(status) = qemu.try_wait().map_err(Missing::Spawn)? {
            return Ok(judge(name, status.code()));
        }
        if interrupt.is_set() {
            return Ok(Status::Interrupted);
        }
        if Instant::now() >= deadline {
            eprintln!("error: example {name}: not done in time");
            return Ok(Status::Crashed);
        }
        thread::sleep(TICK);
    }
}

fn judge(name: &str, status: Option<i32>) -> Status {
    match status.and_then(ExitCode::from_qemu_status) {
        Some(ExitCode::Held) => Status::Held,
        Some(_) => {
            eprintln!("error: example {name}: its self-check failed");
            Status::Broken
        }
        None => {
            eprintln!("error: example {name}: the guest crashed");
            Status::Crashed
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_kernels_own_word_counts() {
        assert_eq!(judge("x", Some(33)), Status::Held);
        assert_eq!(judge("x", Some(37)), Status::Broken);
        for other in [Some(0), Some(1), Some(32), None] {
            assert_eq!(judge("x", other), Status::Crashed);
        }
    }
}
