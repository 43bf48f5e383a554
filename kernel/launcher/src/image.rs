//! Builds the kernel for the best target that is installed.
//!
//! A cargo inside a cargo: with a target folder of its own, so that it does not
//! wait for the lock of the cargo that started us, and with a cleaned
//! environment, so that neither the flags for the host's programs nor what the
//! outer cargo sets for this one change the kernel.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The target that kernels are made for.
const BARE_TARGET: &str = "x86_64-unknown-none";
/// The target that every Linux machine with Rust has. See `kernel/flags.toml`.
const HOST_TARGET: &str = "x86_64-unknown-linux-gnu";

/// What is compiled into the kernel beside the allocator that everybody gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Instruments {
    /// Nothing.
    #[default]
    None,
    /// Accounting mistakes, to be chosen on the kernel's command line.
    Faults,
    /// Other accounting designs, for the scenario that compares them.
    Designs,
}

impl Instruments {
    /// The image's target folder.
    const fn folder(self) -> &'static str {
        match self {
            Self::None => "kernel",
            Self::Faults => "kernel-faults",
            Self::Designs => "kernel-designs",
        }
    }

    const fn features(self) -> &'static str {
        match self {
            Self::None => "image",
            Self::Faults => "image,faults",
            Self::Designs => "image,designs",
        }
    }
}

/// Where cargo's messages go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Messages {
    /// To the user, as they come.
    Shown,
    /// Into the error, if the build fails.
    Kept,
}

/// The kernel could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A tool of the toolchain did not run.
    #[error("`{tool}` cannot be run: {error}")]
    Tool {
        /// Which.
        tool: String,
        /// Why.
        error: std::io::Error,
    },
    /// The build ran and failed.
    #[error("the kernel does not build (`{command}`, {status})\n{messages}")]
    Cargo {
        /// What was run.
        command: String,
        /// How it ended.
        status: std::process::ExitStatus,
        /// What it said, unless the user has seen it.
        messages: String,
    },
    /// The build succeeded and left nothing behind.
    #[error("the build left no kernel at {}", .0.display())]
    NoImage(PathBuf),
}

/// Builds the kernel and says where its image is.
pub fn build(instruments: Instruments, messages: Messages) -> Result<PathBuf, BuildError> {
    let target = choose_target(&sysroot()?);
    let folder = target_folder(env::var_os("CARGO_TARGET_DIR"), instruments.folder());
    let image = folder.join(target).join("kernel").join("pageblock-kernel");
    run(build_command(target, &folder, instruments), image, messages)
}

/// Builds the small kernel of that name and says where its image is.
pub fn build_example(name: &str, messages: Messages) -> Result<PathBuf, BuildError> {
    let target = choose_target(&sysroot()?);
    let folder = target_folder(env::var_os("CARGO_TARGET_DIR"), "examples");
    let mut command = cargo_build(target, &folder);
    command.args(["--package", "pageblock-examples", "--bin", name, "--features", "image"]);
    command.args(["--config", "examples/config.toml"]);
    run(command, folder.join(target).join("kernel").join(name), messages)
}

fn run(mut command: Command, image: PathBuf, messages: Messages) -> Result<PathBuf, BuildError> {
    if messages == Messages::Shown {
        command.stderr(Stdio::inherit());
    }
    let output = command
        .output()
        .map_err(|error| BuildError::Tool { tool: cargo().to_string_lossy().into_owned(), error })?;
    if !output.status.success() {
        return Err(BuildError::Cargo {
            command: crate::qemu::as_typed(&command),
            status: output.status,
            messages: String::from_utf8_lossy(&output.stderr).into_owned(),
        });
    }
    if !image.is_file() {
        return Err(BuildError::NoImage(image));
    }
    Ok(image)
}

fn build_command(target: &str, folder: &Path, instruments: Instruments) -> Command {
    let mut command = cargo_build(target, folder);
    command.args(["--package", "pageblock-kernel", "--features", instruments.features()]);
    command.args(["--config", "kernel/flags.toml"]);
    command
}

fn cargo_build(target: &str, folder: &Path) -> Command {
    let mut command = Command::new(cargo());
    command
        .current_dir(workspace())
        .args(["build", "--profile", "kernel", "--target", target])
        .arg("--target-dir")
        .arg(folder)
        .stdin(Stdio::null());
    forget_outer_build(&mut command);
    command
}

/// Takes everything out of a command's environment that was meant for the
/// programs that run here and would change what a cargo inside it builds.
pub fn forget_outer_build(command: &mut Command) {
    for (name, _) in env::vars_os() {
        if is_for_the_outer_build(&name.to_string_lossy()) {
            command.env_remove(name);
        }
    }
}

/// Whether a variable was meant for the programs that run here, or set by the
/// cargo that runs us, and would change the kernel.
fn is_for_the_outer_build(name: &str) -> bool {
    const OF_THE_USER: [&str; 7] = [
        "CARGO_HOME",
        "CARGO_TERM_",
        "CARGO_NET_",
        "CARGO_HTTP_",
        "CARGO_REGISTRY_",
        "CARGO_REGISTRIES_",
        "CARGO_SOURCE_",
    ];
    const FLAGS: [&str; 6] =
        ["RUSTFLAGS", "RUSTDOCFLAGS", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER", "MAKEFLAGS", "MFLAGS"];
    FLAGS.contains(&name)
        || name == "CARGO"
        || (name.starts_with("CARGO_") && !OF_THE_USER.iter().any(|kept| name.starts_with(kept)))
}

fn cargo() -> OsString {
    // Set by an outer cargo to itself, so that both are of one toolchain.
    env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

fn workspace() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_path_buf()
}

/// Feature sets have folders of their own, so that changing between them does
/// not build everything again.
fn target_folder(cargo_target_dir: Option<OsString>, name: &str) -> PathBuf {
    cargo_target_dir
        .map_or_else(
            || workspace().join("target"),
            |folder| env::current_dir().unwrap_or_default().join(folder),
        )
        .join(name)
}

fn sysroot() -> Result<PathBuf, BuildError> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(&rustc)
        .current_dir(workspace())
        .args(["--print", "sysroot"])
        .output()
        .map_err(|error| BuildError::Tool { tool: rustc.to_string_lossy().into_owned(), error })?;
    Ok(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim_end()))
}

fn choose_target(sysroot: &Path) -> &'static str {
    let libraries = sysroot.join("lib/rustlib").join(BARE_TARGET).join("lib");
    let has_core = fs::read_dir(libraries).is_ok_and(|mut entries| {
        entries.any(|entry| {
            entry.is_ok_and(|entry| {
                let name = entry.file_name();
                let name = name.to_string_lossy();
                name.starts_with("libcore-") && name.ends_with(".rlib")
            })
        })
    });
    if has_core { BARE_TARGET } else { HOST_TARGET }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bare_target_is_chosen_when_its_core_is_installed() {
        let sysroot = tempfile::tempdir().unwrap();
        assert_eq!(choose_target(sysroot.path()), HOST_TARGET);
        let libraries = sysroot.path().join("lib/rustlib/x86_64-unknown-none/lib");
        fs::create_dir_all(&libraries).unwrap();
        assert_eq!(choose_target(sysroot.path()), HOST_TARGET);
        fs::write(libraries.join("libcompiler_builtins-1.rlib"), "").unwrap();
        assert_eq!(choose_target(sysroot.path()), HOST_TARGET);
        fs::write(libraries.join("libcore-0123.rlib"), "").unwrap();
        assert_eq!(choose_target(sysroot.path()), BARE_TARGET);
    }

    #[test]
    fn the_outer_build_does_not_reach_the_kernel() {
        for name in [
            "RUSTFLAGS",
            "CARGO_ENCODED_RUSTFLAGS",
            "CARGO_BUILD_RUSTFLAGS",
            "CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS",
            "CARGO_TARGET_DIR",
            "CARGO_BUILD_TARGET",
            "CARGO_PROFILE_RELEASE_DEBUG",
            "CARGO_MANIFEST_DIR",
            "CARGO_PKG_NAME",
            "CARGO_MAKEFLAGS",
            "RUSTC_WRAPPER",
        ] {
            assert!(is_for_the_outer_build(name), "{name} must go");
        }
        for name in [
            "PATH",
            "HOME",
            "CARGO_HOME",
            "RUSTUP_HOME",
            "RUSTUP_TOOLCHAIN",
            "CARGO_NET_OFFLINE",
            "CARGO_TERM_COLOR",
            "http_proxy",
        ] {
            assert!(!is_for_the_outer_build(name), "{name} must stay");
        }
    }

    #[test]
    fn the_kernel_has_a_target_folder_of_its_own() {
        let default = target_folder(None, "kernel");
        assert!(default.ends_with("target/kernel"), "{default:?}");
        assert_eq!(target_folder(Some("/x".into()), "kernel"), Path::new("/x/kernel"));
    }

    #[test]
    fn faults_are_compiled_in_on_demand_only() {
        let typed =
            |instruments| crate::qemu::as_typed(&build_command(BARE_TARGET, Path::new("/x"), instruments));
        assert!(typed(Instruments::None).contains("--features image "));
        assert!(typed(Instruments::Faults).contains("--features image,faults "));
        assert!(typed(Instruments::Designs).contains("--features image,designs "));
    }
}
