//! The exit statuses of the launcher. Scripts rely on their numbers.

use std::process::ExitCode;

/// How a run of the launcher ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Every invariant held.
    Held,
    /// An invariant did not hold.
    Broken,
    /// The command line is wrong, or asks for something that the kernel refuses.
    Usage,
    /// This machine lacks something: QEMU, KVM, a kernel that builds.
    Missing,
    /// The guest crashed or hung.
    Crashed,
    /// The user stopped the run.
    Interrupted,
}

impl Status {
    /// The exit status as a number.
    pub const fn code(self) -> u8 {
        match self {
            Self::Held => 0,
            Self::Broken => 1,
            Self::Usage => 2,
            Self::Missing => 3,
            Self::Crashed => 4,
            Self::Interrupted => 130, // 128 + SIGINT, as shells report it
        }
    }
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> Self {
        Self::from(status.code())
    }
}
