//! The exit statuses of the launcher. Scripts rely on them; see the README.

use std::process::ExitCode;

/// How a run of the launcher ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Every invariant held.
    Held,
    /// An invariant did not hold.
    Broken,
    /// The command line asks for something that cannot be.
    Usage,
    /// Something is missing on this machine.
    Missing,
    /// The guest crashed or hung.
    Crashed,
    /// Stopped by the user.
    Interrupted,
}

impl Status {
    /// The number that the shell sees.
    pub const fn code(self) -> u8 {
        match self {
            Self::Held => 0,
            Self::Broken => 1,
            Self::Usage => 2,
            Self::Missing => 3,
            Self::Crashed => 4,
            Self::Interrupted => 130, // as shells report SIGINT
        }
    }
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> Self {
        Self::from(status.code())
    }
}
