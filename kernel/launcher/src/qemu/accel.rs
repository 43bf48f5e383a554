//! Chooses between hardware acceleration (KVM) and emulation (TCG).
//!
//! KVM is chosen only if its device can be opened and the CPU reports virtualisation. The second
//! check is not redundant: there are machines on which the device opens, the CPU lacks the feature,
//! and QEMU hangs.

use std::fs;
use std::path::Path;

/// The acceleration that the user asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum AccelChoice {
    /// KVM if this machine has it, else TCG
    #[default]
    Auto,
    /// Emulation by QEMU
    Tcg,
    /// The hypervisor of Linux; an error if this machine lacks it
    Kvm,
}

/// The acceleration that QEMU uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accel {
    /// Emulation, with one host thread for each guest CPU.
    Tcg,
    /// Emulation of all guest CPUs in turn, with a clock that counts the instructions they execute.
    Counted,
    /// The hypervisor of Linux.
    Kvm,
}

/// What advances the guest's clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Clock {
    /// Real time.
    #[default]
    Time,
    /// The instructions that the guest executes, one nanosecond each, whatever the host does.
    Instructions,
}

/// Why KVM cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoKvm {
    /// The device cannot be opened for reading and writing.
    #[error("{device} cannot be opened for reading and writing: {reason}")]
    Device {
        /// The path of the device.
        device: String,
        /// The error of the operating system.
        reason: String,
    },
    /// The CPU does not report virtualisation, so KVM would not work or would hang.
    #[error("{cpuinfo} shows neither the `vmx` nor the `svm` flag")]
    Cpu {
        /// The file that lists the flags of the CPU.
        cpuinfo: String,
    },
}

impl Accel {
    /// The acceleration for a guest with an ordinary clock.
    pub fn choose(choice: AccelChoice) -> Result<Self, NoKvm> {
        Self::choose_from(choice, Path::new("/dev/kvm"), Path::new("/proc/cpuinfo"))
    }

    /// The acceleration for a guest with that clock. Only TCG counts instructions.
    pub fn choose_for(clock: Clock, choice: AccelChoice) -> Result<Self, NoKvm> {
        match clock {
            Clock::Time => Self::choose(choice),
            Clock::Instructions => Ok(Self::Counted),
        }
    }

    fn choose_from(choice: AccelChoice, device: &Path, cpuinfo: &Path) -> Result<Self, NoKvm> {
        let kvm = || kvm_is_usable(device, cpuinfo).map(|()| Self::Kvm);
        match choice {
            AccelChoice::Tcg => Ok(Self::Tcg),
            AccelChoice::Kvm => kvm(),
            AccelChoice::Auto => Ok(kvm().unwrap_or(Self::Tcg)),
        }
    }

    /// The model of the guest's CPU.
    ///
    /// Counted runs use a model that every version of QEMU has, so that counts can be compared.
    pub const fn cpu_model(self) -> &'static str {
        match self {
            Self::Tcg | Self::Kvm => "max",
            Self::Counted => "qemu64",
        }
    }

    /// Further options of QEMU that this acceleration needs.
    pub const fn extra_arguments(self) -> &'static [&'static str] {
        match self {
            Self::Tcg | Self::Kvm => &[],
            // `sleep=off`: when the guest idles, its clock jumps to the next timer interrupt.
            Self::Counted => &["-icount", "shift=0,sleep=off"],
        }
    }

    /// The value of the launcher's option `--accel` that always leads to this acceleration.
    pub(crate) const fn choice(self) -> &'static str {
        match self {
            Self::Tcg | Self::Counted => "tcg",
            Self::Kvm => "kvm",
        }
    }

    /// The value of QEMU's option `-accel`.
    pub const fn qemu_value(self) -> &'static str {
        match self {
            Self::Tcg => "tcg,thread=multi",
            Self::Counted => "tcg,thread=single",
            Self::Kvm => "kvm",
        }
    }
}

fn kvm_is_usable(device: &Path, cpuinfo: &Path) -> Result<(), NoKvm> {
    fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(device)
        .map_err(|error| NoKvm::Device { device: device.display().to_string(), reason: error.to_string() })?;
    let flags = fs::read_to_string(cpuinfo).unwrap_or_default();
    let has_feature = flags
        .lines()
        .filter(|line| line.starts_with("flags"))
        .flat_map(str::split_ascii_whitespace)
        .any(|flag| flag == "vmx" || flag == "svm");
    if !has_feature {
        return Err(NoKvm::Cpu { cpuinfo: cpuinfo.display().to_string() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAPABLE: &str = "processor : 0\nflags\t\t: fpu vme svm sse\n";
    const INCAPABLE: &str = "model name : with vmx in its name\nflags\t\t: fpu vmxnot sse\n";

    /// The choice on a machine with that device (or without one) and those CPU flags.
    fn choose(choice: AccelChoice, device: Option<&str>, flags: &str) -> Result<Accel, NoKvm> {
        let machine = tempfile::tempdir().unwrap();
        let (kvm, cpuinfo) = (machine.path().join("kvm"), machine.path().join("cpuinfo"));
        if let Some(contents) = device {
            fs::write(&kvm, contents).unwrap();
        }
        fs::write(&cpuinfo, flags).unwrap();
        Accel::choose_from(choice, &kvm, &cpuinfo)
    }

    #[test]
    fn kvm_needs_the_device_and_the_cpu() {
        use AccelChoice::Auto;
        assert_eq!(choose(Auto, Some(""), CAPABLE), Ok(Accel::Kvm));
        assert_eq!(choose(Auto, Some(""), INCAPABLE), Ok(Accel::Tcg));
        assert_eq!(choose(Auto, None, CAPABLE), Ok(Accel::Tcg));
        assert_eq!(choose(Auto, None, ""), Ok(Accel::Tcg));
    }

    #[test]
    fn kvm_on_demand_fails_with_the_reason() {
        use AccelChoice::Kvm;
        assert_eq!(choose(Kvm, Some(""), CAPABLE), Ok(Accel::Kvm));
        let error = choose(Kvm, None, CAPABLE).unwrap_err();
        assert!(error.to_string().contains("No such file"), "{error}");
        let error = choose(Kvm, Some(""), INCAPABLE).unwrap_err();
        assert!(error.to_string().contains("vmx"), "{error}");
    }

    #[test]
    fn only_tcg_counts_instructions() {
        let counted = Accel::choose_for(Clock::Instructions, AccelChoice::Auto);
        assert_eq!(counted, Ok(Accel::Counted));
        assert_eq!(Accel::choose_for(Clock::Time, AccelChoice::Tcg), Ok(Accel::Tcg));
    }

    #[test]
    fn tcg_can_be_asked_for() {
        assert_eq!(choose(AccelChoice::Tcg, Some(""), CAPABLE), Ok(Accel::Tcg));
    }
}
