//! Finds QEMU and writes its command line.
//!
//! The machine is the same everywhere, whatever the host has: no default
//! devices, a serial line, the exit device, and the kernel by its PVH entry.

use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use pageblock_protocol::exit::DEBUG_EXIT_PORT;

use crate::accel::Accel;

/// The name that QEMU's emulator for this guest goes by.
pub const PROGRAM: &str = "qemu-system-x86_64";

/// Where the debugger finds a guest that waits for one.
pub const GDB_PORT: u16 = 1234;

/// An emulator that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Qemu(PathBuf);

/// There is no emulator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("QEMU is missing: there is no `{}`.\n{}", .program.display(), install_hint())]
pub struct NoQemu {
    /// What was looked for.
    pub program: PathBuf,
}

/// The guest's hardware.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Number of CPUs.
    pub cpus: u32,
    /// Memory in MiB.
    pub memory_mib: u32,
}

/// Whether a debugger is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Debugger {
    /// Run at once.
    #[default]
    None,
    /// Wait for one on [`GDB_PORT`] before the first instruction.
    Wait,
}

impl Qemu {
    /// Finds the emulator: a path, or a name to look up in `PATH`.
    pub fn find(program: &OsStr) -> Result<Self, NoQemu> {
        which::which(program).map(Self).map_err(|_| NoQemu { program: program.into() })
    }

    /// The command that boots a kernel image.
    pub fn command(
        &self,
        machine: Machine,
        accel: Accel,
        debugger: Debugger,
        image: &Path,
        command_line: &str,
    ) -> Command {
        let mut command = Command::new(&self.0);
        command
            .args(["-accel", accel.qemu_value()])
            .args(accel.more_arguments())
            .args(["-machine", "pc", "-cpu", accel.cpu_model()])
            .args(["-smp", &machine.cpus.to_string()])
            .args(["-m", &machine.memory_mib.to_string()])
            .args(["-nodefaults", "-no-user-config", "-display", "none"])
            .args(["-no-reboot", "-serial", "stdio", "-device"])
            .arg(format!("isa-debug-exit,iobase={DEBUG_EXIT_PORT:#x},iosize=4"))
            .arg("-kernel")
            .arg(image)
            .args(["-append", command_line]);
        if debugger == Debugger::Wait {
            command.args(["-S", "-gdb", &format!("tcp::{GDB_PORT}")]);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// What the emulator says about itself, for a report of its failure.
    pub fn version(&self) -> String {
        let output = Command::new(&self.0).arg("--version").output();
        match output {
            Ok(output) => String::from_utf8_lossy(&output.stdout)
                .lines()
                .next()
                .unwrap_or("no answer to --version")
                .to_owned(),
            Err(error) => error.to_string(),
        }
    }
}

impl fmt::Display for Qemu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.display().fmt(f)
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cpus, memory_mib } = self;
        let plural = if *cpus == 1 { "" } else { "s" };
        write!(f, "{cpus} CPU{plural}, {memory_mib} MiB")
    }
}

/// A command as one could type it.
pub fn as_typed(command: &Command) -> String {
    let quote = |word: &OsStr| {
        let word = word.to_string_lossy();
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@+%".contains(c);
        if !word.is_empty() && word.chars().all(plain) {
            word.into_owned()
        } else {
            format!("'{}'", word.replace('\'', r"'\''"))
        }
    };
    std::iter::once(command.get_program()).chain(command.get_args()).map(quote).collect::<Vec<_>>().join(" ")
}

fn install_hint() -> String {
    let os_release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let command = install_command(std::env::consts::OS, &os_release);
    format!(
        "Install it with: {command}\n\
         or say where it is: --qemu PATH, or PAGEBLOCK_QEMU=PATH in the environment."
    )
}

/// How to install QEMU on an operating system that describes itself like that.
fn install_command(os: &str, os_release: &str) -> &'static str {
    if os == "macos" {
        return "brew install qemu";
    }
    let names: Vec<&str> = os_release
        .lines()
        .filter_map(|line| line.strip_prefix("ID=").or_else(|| line.strip_prefix("ID_LIKE=")))
        .flat_map(|value| value.trim_matches('"').split_ascii_whitespace())
        .collect();
    let is = |name| names.contains(&name);
    if is("fedora") || is("rhel") {
        "sudo dnf install -y qemu-system-x86-core"
    } else if is("arch") {
        "sudo pacman -S --needed qemu-system-x86"
    } else if is("alpine") {
        "sudo apk add qemu-system-x86_64"
    } else if is("suse") || is("opensuse") {
        "sudo zypper install -y qemu-x86"
    } else {
        "sudo apt-get install -y --no-install-recommends qemu-system-x86"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_emulator_comes_with_the_install_command() {
        let error = Qemu::find(OsStr::new("/nowhere/qemu-system-x86_64")).unwrap_err();
        let message = error.to_string();
        assert!(message.contains("/nowhere/qemu-system-x86_64"), "{message}");
        assert!(message.contains("Install it with: "), "{message}");
        assert!(message.contains("qemu"), "{message}");
    }

    #[test]
    fn distributions_have_their_own_install_commands() {
        for (os, os_release, word) in [
            ("linux", "ID=debian\n", "apt-get"),
            ("linux", "ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n", "apt-get"),
            ("linux", "NAME=x\nID=fedora\n", "dnf"),
            ("linux", "ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n", "dnf"),
            ("linux", "ID=arch\n", "pacman"),
            ("linux", "ID=alpine\n", "apk"),
            ("linux", "ID=\"opensuse-leap\"\nID_LIKE=\"suse opensuse\"", "zypper"),
            ("linux", "", "apt-get"),
            ("macos", "", "brew"),
        ] {
            let command = install_command(os, os_release);
            assert!(command.contains(word), "{os_release:?} gives `{command}`");
        }
    }

    #[test]
    fn the_machine_is_spelt_out() {
        let machine = Machine { cpus: 3, memory_mib: 512 };
        let qemu = Qemu("/usr/bin/qemu".into());
        let image = Path::new("/tmp/my kernel");
        let command = qemu.command(machine, Accel::Tcg, Debugger::None, image, "seed=1 jobs=2");
        let typed = as_typed(&command);
        for part in [
            "/usr/bin/qemu -accel tcg,thread=multi ",
            " -smp 3 ",
            " -m 512 ",
            " -nodefaults ",
            " -no-reboot ",
            " isa-debug-exit,iobase=0xf4,iosize=4 ",
            " -kernel '/tmp/my kernel' ",
            " -append 'seed=1 jobs=2'",
        ] {
            assert!(typed.contains(part), "`{part}` is not in `{typed}`");
        }
        assert!(!typed.contains("-gdb"));
        let command = qemu.command(machine, Accel::Kvm, Debugger::Wait, image, "");
        let typed = as_typed(&command);
        assert!(typed.contains("-accel kvm "), "{typed}");
        assert!(typed.ends_with("-append '' -S -gdb tcp::1234"), "{typed}");
        assert!(!typed.contains("-icount"), "{typed}");
        let command = qemu.command(machine, Accel::Counted, Debugger::None, image, "");
        let typed = as_typed(&command);
        for part in [" -accel tcg,thread=single ", " -icount shift=0,sleep=off ", " -cpu qemu64 "] {
            assert!(typed.contains(part), "`{part}` is not in `{typed}`");
        }
    }

    #[test]
    fn quotes_survive_the_shell() {
        let mut command = Command::new("printf");
        command.args(["%s|", "it's", "a b", ""]);
        let typed = as_typed(&command);
        let output = Command::new("sh").args(["-c", &typed]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "it's|a b||");
    }
}
