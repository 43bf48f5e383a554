//! Why a run has no results.

use std::fmt;
use std::io;

use crate::host::status::Status;
use crate::vm::{BootError, Missing, OfExample};

/// Why a run has no results, although no guest failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The exit status of the launcher.
    pub status: Status,
    /// The error message.
    pub message: String,
}

impl Failure {
    /// The results cannot be printed.
    pub fn of_stdout(error: io::Error) -> Self {
        Self { status: Status::Missing, message: format!("standard output: {error}") }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<Missing> for Failure {
    fn from(missing: Missing) -> Self {
        Self { status: Status::Missing, message: missing.to_string() }
    }
}

impl From<OfExample> for Failure {
    fn from(error: OfExample) -> Self {
        Self { status: Status::Missing, message: error.to_string() }
    }
}

impl From<BootError> for Failure {
    fn from(error: BootError) -> Self {
        Self { status: Status::Missing, message: error.to_string() }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        BootError::Spawn(error).into()
    }
}
