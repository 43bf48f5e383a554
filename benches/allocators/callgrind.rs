//! Instructions, counted by callgrind: valgrind runs a measurement, and only what is in a region of interest counts.
//!
//! `gungraun`, the usual harness for this, wants a runner of exactly its version installed beforehand, and makes a report of its own: not
//! one command with one table. Its bindings to valgrind's client requests want libclang. What is needed of callgrind is one sum, which its
//! output has in plain text, so this starts valgrind itself. Neighbour: [`roi`](crate::roi) has the regions.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Instructions in all calls of each region.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Instructions {
    pub(crate) alloc: u64,
    pub(crate) free: u64,
    pub(crate) init: u64,
}

/// Where valgrind is, if it is installed.
pub(crate) fn installed() -> Option<PathBuf> {
    which::which("valgrind").ok()
}

/// `program` under callgrind, which writes to `output`.
pub(crate) fn watching(valgrind: &Path, output: &Path, program: &OsStr) -> Command {
    let mut command = Command::new(valgrind);
    command
        .args(["--tool=callgrind", "--quiet", "--collect-atstart=no"])
        // Names in full on each line: nothing to look up.
        .args(["--compress-strings=no", "--compress-pos=no"])
        .args(["--toggle-collect=*roi_alloc*", "--toggle-collect=*roi_free*", "--toggle-collect=*roi_init*"])
        .arg(format!("--callgrind-out-file={}", output.display()))
        .arg(program);
    command
}

/// Sums up what callgrind wrote.
///
/// After a line `fn=NAME`, lines that start with a digit are costs: of the function's own instructions, or, after `calls=`, of a
/// call that it made. Together they are the function's inclusive cost.
pub(crate) fn sum(output: &str) -> Instructions {
    let mut instructions = Instructions::default();
    let mut ignored = 0;
    let mut current = &mut ignored;
    for line in output.lines() {
        if let Some(name) = line.strip_prefix("fn=") {
            current = match name {
                _ if name.contains("roi_alloc") => &mut instructions.alloc,
                _ if name.contains("roi_free") => &mut instructions.free,
                _ if name.contains("roi_init") => &mut instructions.init,
                _ => &mut ignored,
            };
        } else if line.starts_with(|first: char| first.is_ascii_digit()) {
            let cost = line.split(' ').nth(1).and_then(|cost| cost.parse::<u64>().ok());
            *current += cost.unwrap_or(0);
        }
    }
    instructions
}
