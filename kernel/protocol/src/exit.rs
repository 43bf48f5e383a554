//! The exit code of the guest, which QEMU passes to the launcher.
//!
//! The kernel writes an [`ExitCode`] to QEMU's `isa-debug-exit` device, and QEMU exits with a
//! status made from it, which is never one of QEMU's own (0 after a reset, 1 after an error).

use crate::line::Verdict;

/// The I/O port of `isa-debug-exit`.
pub const DEBUG_EXIT_PORT: u16 = 0xf4;

/// The value that the kernel writes to [`DEBUG_EXIT_PORT`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum ExitCode {
    /// The scenario ran to its end, and all invariants held.
    Held = 0x10,
    /// The scenario ran to its end, and an invariant did not hold.
    Broken = 0x11,
    /// The kernel panicked.
    Panicked = 0x12,
    /// A CPU took an exception that nothing handles.
    Faulted = 0x13,
    /// The kernel cannot run the scenario on this machine, or with this command line.
    Refused = 0x14,
}

impl ExitCode {
    const ALL: [Self; 5] = [Self::Held, Self::Broken, Self::Panicked, Self::Faulted, Self::Refused];

    /// The value to write to the port.
    pub const fn value(self) -> u32 {
        self as u32
    }

    /// The status that QEMU then exits with.
    pub const fn qemu_status(self) -> i32 {
        // No code is above 0x7f, so neither the shift nor the cast loses a bit.
        ((self.value() << 1) | 1).cast_signed()
    }

    /// The code that led to `status` of QEMU, if there is one.
    pub fn from_qemu_status(status: i32) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.qemu_status() == status)
    }
}

impl From<Verdict> for ExitCode {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Held => Self::Held,
            Verdict::Broken => Self::Broken,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_comes_back_from_qemu() {
        for code in ExitCode::ALL {
            assert_eq!(ExitCode::from_qemu_status(code.qemu_status()), Some(code));
        }
        assert_eq!(ExitCode::Held.qemu_status(), 33);
        assert_eq!(ExitCode::Broken.qemu_status(), 35);
    }

    #[test]
    fn qemus_own_exits_are_no_codes() {
        for status in [0, 1, 2, 32, 127, 255, -1] {
            assert_eq!(ExitCode::from_qemu_status(status), None);
        }
    }
}
