//! The exit statuses of the launcher. Scripts rely on their numbers, which `--help` and the README
//! list.

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
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 6] =
        [Self::Held, Self::Broken, Self::Usage, Self::Missing, Self::Crashed, Self::Interrupted];

    /// What the status says, for `--help`.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Held => "every invariant held",
            Self::Broken => "an invariant did not hold",
            Self::Usage => "the command line is wrong, or the kernel refuses what it asks for",
            Self::Missing => "this machine lacks something: QEMU, a device, KVM, a kernel that builds",
            Self::Crashed => "the guest crashed or hung",
            Self::Interrupted => "interrupted",
        }
    }

    /// The word for the verdict in JSON.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Broken => "broken",
            Self::Usage => "usage",
            Self::Missing => "missing",
            Self::Crashed => "crashed",
            Self::Interrupted => "interrupted",
        }
    }

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
