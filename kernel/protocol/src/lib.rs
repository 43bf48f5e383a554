//! The protocol between the kernel and its launcher.
//!
//! The launcher sends one [`BootConfig`], as the command line of the kernel. The kernel then sends
//! [`Line`]s over the serial port, mixed with log text that is not parsed. It ends with
//! [`Line::Done`] and an [`ExitCode`], which must agree.
//!
//! Both sides print and parse with this crate, so they cannot disagree about the format. It needs
//! neither a heap nor `std`, because the kernel uses it to report a panic.
//!
//! | module | what |
//! |---|---|
//! | [`text`] | free text in a line, and log text that cannot look like a line |
//! | [`mod@line`] | the lines, and their printer; the parser is in `parse` |
//! | [`map`] | the map of memory in a sample |
//! | [`scenario`] | the names of the scenarios |
//! | [`fault`] | the names of the historical mistakes |
//! | [`config`] | the command line |
//! | [`disk`] | the contents of the disk that both sides check |
//! | [`exit`] | the exit code that QEMU passes from the guest to the launcher |
//! | [`stat`] | the names of the measurements |

#![no_std]

#[cfg(test)]
extern crate std;

pub mod config;
pub mod disk;
pub mod exit;
pub mod fault;
pub mod line;
pub mod map;
mod parse;
pub mod scenario;
pub mod stat;
pub mod text;

pub use config::{BootConfig, ConfigError, Selection};
pub use exit::ExitCode;
pub use line::{CaseKind, Latency, Line, Place, Sample, Value, Verdict};
pub use parse::LineError;
pub use scenario::Scenario;
pub use text::{LogText, Text};

/// The version of this protocol, which the kernel sends in [`Line::Hello`].
pub const VERSION: u32 = 2;
