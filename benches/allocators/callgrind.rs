//! Counts instructions with callgrind.
//!
//! Valgrind runs a measurement and counts only inside the functions of [`counted`](crate::counted).
//! This file starts valgrind and reads its output, because only one sum is needed of it. The
//! harness `gungraun` would need a runner of exactly its version and prints a report of its own,
//! and valgrind's client requests need libclang.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The instructions in all calls of the counted functions.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Instructions {
    pub(crate) alloc: u64,
    pub(crate) free: u64,
    pub(crate) init: u64,
}

/// The path of valgrind, if it is installed.
pub(crate) fn installed() -> Option<PathBuf> {
    which::which("valgrind").ok()
}

/// The command that runs `program` under callgrind, which writes to `output`.
pub(crate) fn command(valgrind: &Path, output: &Path, program: &OsStr) -> Command {
    let mut command = Command::new(valgrind);
    command
        .args(["--tool=callgrind", "--quiet", "--collect-atstart=no"])
        // Each line has its names in full, so that it can be read alone.
        .args(["--compress-strings=no", "--compress-pos=no"])
        .args([
            "--toggle-collect=*counted_alloc*",
            "--toggle-collect=*counted_free*",
            "--toggle-collect=*counted_init*",
        ])
        .arg(format!("--callgrind-out-file={}", output.display()))
        .arg(program);
    command
}

/// Sums up the instructions in the output of callgrind.
///
/// After a line `fn=NAME`, lines that start with a digit are costs: of the function's own
/// instructions, or, after `calls=`, of a call that it made. Their sum is the inclusive cost.
pub(crate) fn sum(output: &str) -> Instructions {
    let mut instructions = Instructions::default();
    let mut ignored = 0;
    let mut current = &mut ignored;
    for line in output.lines() {
        if let Some(name) = line.strip_prefix("fn=") {
            current = match name {
                _ if name.contains("counted_alloc") => &mut instructions.alloc,
                _ if name.contains("counted_free") => &mut instructions.free,
                _ if name.contains("counted_init") => &mut instructions.init,
                _ => &mut ignored,
            };
        } else if line.starts_with(|first: char| first.is_ascii_digit()) {
            let cost = line.split(' ').nth(1).and_then(|cost| cost.parse::<u64>().ok());
            *current += cost.unwrap_or(0);
        }
    }
    instructions
}
