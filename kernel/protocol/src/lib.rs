//! The words that the kernel and its launcher speak.
//!
//! The launcher speaks first and once: a [`BootConfig`], written as the
//! kernel's command line. From then on the kernel speaks, one [`Line`] at a time
//! over the serial port, mixed with log text that nobody parses. It ends with
//! [`Line::Done`] and an [`ExitCode`], which must agree.
//!
//! Both sides print and parse with the code in this crate, so they cannot drift
//! apart. It needs no heap and no `std`: the kernel reports a panic with it.
//!
//! | module | what it holds |
//! |---|---|
//! | [`mod@line`] | the lines, their printer and parser |
//! | [`text`] | free text inside a line, and log text that cannot look like one |
//! | [`config`] | the command line |
//! | [`scenario`] | what a boot can be asked to do |
//! | [`exit`] | how the guest's exit code reaches the launcher |
//! | [`stat`] | the names of the measurements |
#![no_std]

#[cfg(test)]
extern crate std;

pub mod config;
pub mod exit;
pub mod line;
pub mod scenario;
pub mod stat;
pub mod text;

pub use config::{BootConfig, ConfigError, Selection};
pub use exit::ExitCode;
pub use line::{CaseKind, Line, LineError, Place, Value, Verdict};
pub use scenario::Scenario;
pub use text::{LogText, Text};

/// The version of this protocol, said by the kernel in [`Line::Hello`].
pub const VERSION: u32 = 1;
