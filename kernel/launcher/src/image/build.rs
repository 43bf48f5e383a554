//! Builds a kernel image for the best target that is installed.
//!
//! A second cargo builds it, with a clean environment, so that flags for programs of the host do
//! not change the kernel. Each kind of image has a target folder, in which only the image is. What
//! is compiled for them is in one other folder, so that no image rebuilds what another one has, and
//! this cargo does not wait for the lock of the cargo that runs the launcher.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::host::shell;
use crate::host::streams::say;
use crate::image::environment::clear_build_environment;

/// The small kernels in `examples/`, by name.
pub const EXAMPLES: [&str; 4] = ["heap", "leak", "single_cpu", "virtio_disk"];

/// What each of the [`EXAMPLES`] shows.
pub(crate) const EXAMPLES_SHOW: [&str; EXAMPLES.len()] = [
    "a heap for Rust's `alloc` on top of the page allocator",
    "a leak that is found: which line of the source allocated what is never freed",
    "a minimal kernel, with page tables from the allocator",
    "a disk that is read with the crate `virtio-drivers`, into memory from the allocator",
];

/// Those of the [`EXAMPLES`] whose guest has a disk.
pub(crate) const EXAMPLES_WITH_DISK: [&str; 1] = ["virtio_disk"];

/// Rust's target for kernels. It is an optional component of the toolchain.
const BARE_TARGET: &str = "x86_64-unknown-none";
/// The target that is installed with Rust on Linux. `kernel/flags.toml` makes a kernel of it.
const HOST_TARGET: &str = "x86_64-unknown-linux-gnu";

/// The folder with what is compiled for the images.
const SHARED: &str = "images";

/// Which features of the allocator the kernel is built with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Instruments {
    /// None: the allocator as it is published.
    #[default]
    None,
    /// `faults`: historical accounting mistakes that the kernel's command line switches on.
    Faults,
    /// `designs`: other accounting designs, for the scenario that compares them.
    Designs,
    /// `trace`: the allocator reports what its slow paths do.
    Trace,
    /// `faults` and `trace`.
    FaultsAndTrace,
}

impl Instruments {
    /// The same, and the switches of historical mistakes.
    pub(crate) const fn with_faults(self) -> Self {
        match self {
            Self::Trace | Self::FaultsAndTrace => Self::FaultsAndTrace,
            Self::None | Self::Faults | Self::Designs => Self::Faults,
        }
    }

    /// The same, and the events of the slow paths. The other designs have none.
    pub(crate) const fn with_trace(self) -> Self {
        match self {
            Self::None | Self::Trace => Self::Trace,
            Self::Faults | Self::FaultsAndTrace => Self::FaultsAndTrace,
            Self::Designs => Self::Designs,
        }
    }

    /// The target folder. Each set has one, so that an image stays when another one is built.
    const fn folder(self) -> &'static str {
        match self {
            Self::None => "kernel",
            Self::Faults => "kernel-faults",
            Self::Designs => "kernel-designs",
            Self::Trace => "kernel-trace",
            Self::FaultsAndTrace => "kernel-faults-trace",
        }
    }

    /// The features of the kernel's package.
    const fn features(self) -> &'static str {
        match self {
            Self::None => "image",
            Self::Faults => "image,faults",
            Self::Designs => "image,designs",
            Self::Trace => "image,trace",
            Self::FaultsAndTrace => "image,faults,trace",
        }
    }
}

/// Where the messages of cargo go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Messages {
    /// To standard error, at once.
    Shown,
    /// Into the error, if the build fails.
    Kept,
}

/// Why there is no kernel image.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A tool of the toolchain cannot be started.
    #[error("`{tool}` cannot be run: {error}")]
    Tool {
        /// The tool.
        tool: String,
        /// The error of the operating system.
        error: io::Error,
    },
    /// The build failed.
    #[error("the kernel does not build (`{command}`, {status})\n{messages}")]
    Cargo {
        /// The command line of the build.
        command: String,
        /// Its exit status.
        status: std::process::ExitStatus,
        /// Its messages, unless they were shown.
        messages: String,
    },
    /// The build succeeded, but the image is not where it should be.
    #[error("the build left no kernel at {}", .0.display())]
    NoImage(PathBuf),
}

/// Builds the kernel and returns the path of its image.
pub fn build(instruments: Instruments, messages: Messages) -> Result<PathBuf, BuildError> {
    let target = choose_target(&sysroot()?);
    let folder = target_folder(instruments.folder());
    let image = folder.join(target).join("kernel").join("pageblock-kernel");
    run(build_command(target, &folder, instruments), image, messages)
}

/// Builds one of the [`EXAMPLES`] and returns the path of its image.
pub fn build_example(name: &str, messages: Messages) -> Result<PathBuf, BuildError> {
    let target = choose_target(&sysroot()?);
    let folder = target_folder("examples");
    let mut command = cargo_build(target, &folder);
    command.args(["--package", "pageblock-examples", "--bin", name, "--features", "image"]);
    command.args(["--config", "examples/config.toml"]);
    run(command, folder.join(target).join("kernel").join(name), messages)
}

fn run(mut command: Command, image: PathBuf, messages: Messages) -> Result<PathBuf, BuildError> {
    let output = match messages {
        Messages::Kept => command.output(),
        Messages::Shown => show(&mut command),
    };
    let output =
        output.map_err(|error| BuildError::Tool { tool: cargo().to_string_lossy().into_owned(), error })?;
    if !output.status.success() {
        return Err(BuildError::Cargo {
            command: shell::command_line(&command),
            status: output.status,
            messages: String::from_utf8_lossy(&output.stderr).into_owned(),
        });
    }
    if !image.is_file() {
        return Err(BuildError::NoImage(image));
    }
    Ok(image)
}

/// Runs cargo with its messages on standard error. Where that is no terminal, so that cargo shows
/// no progress, a line every few seconds says that it still builds.
fn show(command: &mut Command) -> io::Result<Output> {
    const PACE: Duration = Duration::from_secs(10);
    let mut cargo = command.stdout(Stdio::null()).stderr(Stdio::inherit()).spawn()?;
    let (start, is_terminal) = (Instant::now(), io::stderr().is_terminal());
    let mut next = start + PACE;
    let status = loop {
        if let Some(status) = cargo.try_wait()? {
            break status;
        }
        thread::sleep(Duration::from_millis(20));
        if !is_terminal && Instant::now() >= next {
            next += PACE;
            say(format_args!("cargo builds the image, {} s", start.elapsed().as_secs()));
        }
    };
    Ok(Output { status, stdout: Vec::new(), stderr: Vec::new() })
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
    clear_build_environment(&mut command);
    command.env("CARGO_BUILD_BUILD_DIR", target_folder(SHARED));
    command
}

fn cargo() -> OsString {
    // A cargo that runs the launcher sets this to its own path, so that both are of one toolchain.
    env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

fn workspace() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_path_buf()
}

/// The folder of that name, inside the target folder of the workspace.
fn target_folder(name: &str) -> PathBuf {
    target_folder_in(env::var_os("CARGO_TARGET_DIR"), name)
}

fn target_folder_in(cargo_target_dir: Option<OsString>, name: &str) -> PathBuf {
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

/// The target for kernels if it is installed, else the one that always is.
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
    fn the_kernel_has_a_target_folder_of_its_own() {
        let default = target_folder_in(None, "kernel");
        assert!(default.ends_with("target/kernel"), "{default:?}");
        assert_eq!(target_folder_in(Some("/x".into()), "kernel"), Path::new("/x/kernel"));
    }

    #[test]
    fn what_is_compiled_is_shared_by_all_images() {
        let folder = |command: &Command| {
            let mut variables = command.get_envs();
            let found = variables.find(|(name, _)| *name == "CARGO_BUILD_BUILD_DIR");
            found.and_then(|(_, value)| value.map(PathBuf::from)).unwrap()
        };
        let kernel = build_command(BARE_TARGET, Path::new("/x"), Instruments::None);
        let faults = build_command(BARE_TARGET, Path::new("/y"), Instruments::Faults);
        assert!(folder(&kernel).ends_with("images"));
        assert_eq!(folder(&kernel), folder(&faults));
    }

    #[test]
    fn faults_are_compiled_in_on_demand_only() {
        let typed =
            |instruments| shell::command_line(&build_command(BARE_TARGET, Path::new("/x"), instruments));
        assert!(typed(Instruments::None).contains("--features image "));
        assert!(typed(Instruments::Faults).contains("--features image,faults "));
        assert!(typed(Instruments::Designs).contains("--features image,designs "));
    }
}
