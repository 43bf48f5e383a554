//! Decides between hardware and software virtualisation.
//!
//! Hardware acceleration needs three things that must all agree: the device, the
//! permission to use it, and a CPU that says it can. A machine is known on which
//! the device opens, the CPU does not have the feature, and QEMU hangs.

use std::fs;
use std::path::Path;

/// What the user asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum AccelChoice {
    /// Hardware if the device, the permission and the CPU agree, else software.
    #[default]
    Auto,
    /// Software.
    Tcg,
    /// Hardware, or give up.
    Kvm,
}

/// What QEMU is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accel {
    /// Software, with a host thread per guest CPU.
    Tcg,
    /// Software, one guest CPU after the other, with a clock that goes by the instructions they execute.
    Counted,
    /// The Linux kernel's hypervisor.
    Kvm,
}

/// What the guest's clock goes by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Clock {
    /// The time.
    #[default]
    Time,
    /// The instructions that the guest executes: one is a nanosecond, whatever the host does meanwhile.
    Instructions,
}

/// Why there is no hardware acceleration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoKvm {
    /// The device cannot be opened for reading and writing.
    #[error("{device} cannot be opened for reading and writing: {reason}")]
    Device {
        /// The device.
        device: String,
        /// The operating system's words.
        reason: String,
    },
    /// The CPU has neither feature, so that KVM would hang if it starts at all.
    #[error("{cpuinfo} shows neither the `vmx` nor the `svm` flag")]
    Cpu {
        /// Where the flags were looked up.
        cpuinfo: String,
    },
}

impl Accel {
    /// Decides for this machine.
    pub fn choose(choice: AccelChoice) -> Result<Self, NoKvm> {
        Self::choose_from(choice, Path::new("/dev/kvm"), Path::new("/proc/cpuinfo"))
    }

    /// Decides for this machine and that clock: only software counts.
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

    /// The model of the guest's CPU. A count is of a processor that every emulator has, with what it can do today.
    pub const fn cpu_model(self) -> &'static str {
        match self {
            Self::Tcg | Self::Kvm => "max",
            Self::Counted => "qemu64",
        }
    }

    /// What else QEMU is told.
    pub const fn more_arguments(self) -> &'static [&'static str] {
        match self {
            Self::Tcg | Self::Kvm => &[],
            // A guest that idles goes on at once with what it waits for.
            Self::Counted => &["-icount", "shift=0,sleep=off"],
        }
    }

    /// The value of QEMU's `-accel`.
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

    /// Decides on a machine with that device (or none) and those CPU flags.
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
    fn hardware_needs_the_device_and_the_cpu() {
        use AccelChoice::Auto;
        assert_eq!(choose(Auto, Some(""), CAPABLE), Ok(Accel::Kvm));
        assert_eq!(choose(Auto, Some(""), INCAPABLE), Ok(Accel::Tcg));
        assert_eq!(choose(Auto, None, CAPABLE), Ok(Accel::Tcg));
        assert_eq!(choose(Auto, None, ""), Ok(Accel::Tcg));
    }

    #[test]
    fn hardware_on_demand_fails_with_the_reason() {
        use AccelChoice::Kvm;
        assert_eq!(choose(Kvm, Some(""), CAPABLE), Ok(Accel::Kvm));
        let error = choose(Kvm, None, CAPABLE).unwrap_err();
        assert!(error.to_string().contains("No such file"), "{error}");
        let error = choose(Kvm, Some(""), INCAPABLE).unwrap_err();
        assert!(error.to_string().contains("vmx"), "{error}");
    }

    #[test]
    fn only_software_counts() {
        let counted = Accel::choose_for(Clock::Instructions, AccelChoice::Auto);
        assert_eq!(counted, Ok(Accel::Counted));
        assert_eq!(Accel::choose_for(Clock::Time, AccelChoice::Tcg), Ok(Accel::Tcg));
    }

    #[test]
    fn software_can_be_asked_for() {
        assert_eq!(choose(AccelChoice::Tcg, Some(""), CAPABLE), Ok(Accel::Tcg));
    }
}
