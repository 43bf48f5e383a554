//! The hardware of the guest.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

/// The hardware of the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Machine {
    /// The number of CPUs.
    pub cpus: u32,
    /// The size of memory in MiB.
    pub memory_mib: u32,
}

/// Whether the guest waits for a debugger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Debugger {
    /// The guest runs at once.
    #[default]
    None,
    /// The guest waits for a debugger before it executes its first instruction.
    Wait {
        /// The TCP port at which QEMU waits.
        port: u16,
    },
}

/// The display of the guest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Screen {
    /// The guest has none.
    #[default]
    None,
    /// QEMU shows it in a window.
    Window,
    /// Nobody sees it. QEMU's monitor, which takes pictures of it, listens at that socket.
    Hidden {
        /// The path of the socket.
        monitor: PathBuf,
    },
}

/// What the guest has beside CPUs and memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peripherals {
    /// The display.
    pub screen: Screen,
    /// QEMU's arguments for further devices.
    pub arguments: Vec<OsString>,
}

impl Peripherals {
    /// That display and no further device.
    pub const fn only(screen: Screen) -> Self {
        Self { screen, arguments: Vec::new() }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cpus, memory_mib } = self;
        let plural = if *cpus == 1 { "" } else { "s" };
        write!(f, "{cpus} CPU{plural}, {memory_mib} MiB")
    }
}
