//! The environment of the cargo that builds a kernel.

use std::env;
use std::process::Command;

/// Removes from a command's environment all that would change what a cargo started by it builds.
///
/// That is what the user sets for programs of the host (`RUSTFLAGS`), and what the cargo that runs
/// the launcher sets for the launcher. Settings that only say where cargo gets things remain.
pub fn clear_build_environment(command: &mut Command) {
    for (name, _) in env::vars_os() {
        if changes_a_build(&name.to_string_lossy()) {
            command.env_remove(name);
        }
    }
}

/// Whether a variable of that name changes what cargo builds.
fn changes_a_build(name: &str) -> bool {
    const HARMLESS: [&str; 7] = [
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
        || (name.starts_with("CARGO_") && !HARMLESS.iter().any(|prefix| name.starts_with(prefix)))
}

#[cfg(test)]
mod tests {
    use super::*;

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
            assert!(changes_a_build(name), "{name} must go");
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
            assert!(!changes_a_build(name), "{name} must stay");
        }
    }
}
