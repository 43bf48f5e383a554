//! Finds QEMU and builds its command line.
//!
//! The guest's devices do not depend on the host: no default devices, one serial port, the exit
//! device, and a kernel that is entered through its PVH note.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use pageblock_protocol::exit::DEBUG_EXIT_PORT;

use crate::qemu::accel::Accel;
use crate::qemu::device::{Device, NoDevice};
use crate::qemu::install;
use crate::qemu::machine::{Debugger, Machine, Peripherals, Screen};

/// The name of QEMU's emulator for x86_64 guests.
pub const PROGRAM: &str = "qemu-system-x86_64";

/// The path of an emulator that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Qemu(PathBuf);

/// The emulator is not installed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("QEMU is missing: there is no `{}`.\n{}", .program.display(), install::hint())]
pub struct NoQemu {
    /// The path, or the name, that was looked up.
    pub program: PathBuf,
}

impl Qemu {
    /// Finds the emulator. `program` is a path, or a name to look up in `PATH`.
    pub fn find(program: &OsStr) -> Result<Self, NoQemu> {
        which::which(program).map(Self).map_err(|_| NoQemu { program: program.into() })
    }

    /// The command that boots a kernel image, with all standard streams but the input piped.
    pub fn command(
        &self,
        machine: Machine,
        accel: Accel,
        debugger: Debugger,
        peripherals: &Peripherals,
        image: &Path,
        command_line: &str,
    ) -> Command {
        let mut command = Command::new(&self.0);
        command
            .args(["-accel", accel.qemu_value()])
            .args(accel.extra_arguments())
            .args(["-machine", "pc", "-cpu", accel.cpu_model()])
            .args(["-smp", &machine.cpus.to_string()])
            .args(["-m", &machine.memory_mib.to_string()])
            .args(["-nodefaults", "-no-user-config"])
            .args(["-no-reboot", "-serial", "stdio", "-device"])
            .arg(format!("isa-debug-exit,iobase={DEBUG_EXIT_PORT:#x},iosize=4"))
            .arg("-kernel")
            .arg(image)
            .args(["-append", command_line]);
        match &peripherals.screen {
            Screen::None => command.args(["-display", "none"]),
            // The kind of window is QEMU's choice.
            Screen::Window => command.args(["-device", "VGA"]),
            Screen::Hidden { monitor } => {
                let listen = format!("unix:{},server=on,wait=off", monitor.display());
                command.args(["-display", "none", "-device", "VGA", "-qmp", &listen])
            }
        };
        command.args(&peripherals.arguments);
        if let Debugger::Wait { port } = debugger {
            command.args(["-S", "-gdb", &format!("tcp::{port}")]);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Checks that the emulator has these devices: distributions leave some out.
    pub fn check(&self, devices: &[Device]) -> Result<(), NoDevice> {
        for device in devices {
            let mut command = Command::new(&self.0);
            command.args(["-device", &format!("{},help", device.name)]).stdin(Stdio::null());
            let why = match command.output() {
                Ok(output) if output.status.success() => continue,
                Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
                Err(error) => error.to_string(),
            };
            return Err(NoDevice { program: self.0.clone(), device: device.name, why });
        }
        Ok(())
    }

    /// The first line of `--version`, for the report of a failure.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::shell::command_line;

    #[test]
    fn a_missing_emulator_comes_with_the_install_command() {
        let error = Qemu::find(OsStr::new("/nowhere/qemu-system-x86_64")).unwrap_err();
        let message = error.to_string();
        assert!(message.contains("/nowhere/qemu-system-x86_64"), "{message}");
        assert!(message.contains("Install it with: "), "{message}");
        assert!(message.contains("qemu"), "{message}");
    }

    #[test]
    fn the_command_line_describes_the_whole_machine() {
        let machine = Machine { cpus: 3, memory_mib: 512 };
        let none = Peripherals::default();
        let qemu = Qemu("/usr/bin/qemu".into());
        let image = Path::new("/tmp/my kernel");
        let command = qemu.command(machine, Accel::Tcg, Debugger::None, &none, image, "seed=1 jobs=2");
        let typed = command_line(&command);
        for part in [
            "/usr/bin/qemu -accel tcg,thread=multi ",
            " -smp 3 ",
            " -m 512 ",
            " -nodefaults ",
            " -no-reboot ",
            " isa-debug-exit,iobase=0xf4,iosize=4 ",
            " -kernel '/tmp/my kernel' ",
            " -append 'seed=1 jobs=2' -display none",
        ] {
            assert!(typed.contains(part), "`{part}` is not in `{typed}`");
        }
        assert!(!typed.contains("-gdb"));
        let command = qemu.command(machine, Accel::Kvm, Debugger::Wait { port: 4321 }, &none, image, "");
        let typed = command_line(&command);
        assert!(typed.contains("-accel kvm "), "{typed}");
        assert!(typed.ends_with("-append '' -display none -S -gdb tcp::4321"), "{typed}");
        assert!(!typed.contains("-icount"), "{typed}");
        let monitor = Screen::Hidden { monitor: "/tmp/s".into() };
        let command =
            qemu.command(machine, Accel::Tcg, Debugger::None, &Peripherals::only(monitor), image, "");
        let typed = command_line(&command);
        assert!(typed.contains(" -display none -device VGA -qmp unix:/tmp/s,"), "{typed}");
        let command =
            qemu.command(machine, Accel::Tcg, Debugger::None, &Peripherals::only(Screen::Window), image, "");
        assert!(!command_line(&command).contains("-display"));
        let command = qemu.command(machine, Accel::Counted, Debugger::None, &none, image, "");
        let typed = command_line(&command);
        for part in [" -accel tcg,thread=single ", " -icount shift=0,sleep=off ", " -cpu qemu64 "] {
            assert!(typed.contains(part), "`{part}` is not in `{typed}`");
        }
    }
}
