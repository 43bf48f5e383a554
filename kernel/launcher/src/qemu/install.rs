//! How QEMU is installed on the user's operating system.

use std::fs;

/// Tells the user how to install QEMU, or how to say where it is.
pub(crate) fn hint() -> String {
    let os_release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let command = install_command(std::env::consts::OS, &os_release);
    format!(
        "Install it with: {command}\n\
         or give its path: --qemu PATH, or PAGEBLOCK_QEMU=PATH in the environment."
    )
}

/// The command that installs QEMU on the system that `os_release` describes.
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
}
