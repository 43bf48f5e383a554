//! Passes linker arguments for the kernel image: the linker script, and no C start-up files.
//!
//! The compiler flags are in `flags.toml`, because a build script cannot set them. The command for
//! the image, from the workspace root and without `RUSTFLAGS` in the environment, which would
//! replace the flags in that file:
//!
//! ```text
//! cargo build -p pageblock-kernel --features image --profile kernel --config kernel/flags.toml \
//!     --target T --target-dir target/kernel
//! ```
//!
//! `T` is `x86_64-unknown-none` if its `core` is installed, and otherwise the host's
//! `x86_64-unknown-linux-gnu`, whose precompiled `core` works as well (see `src/host_core.rs`).

use std::env;

fn main() {
    let manifest_dir = env::var("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR");
    let target_os = env::var("CARGO_CFG_TARGET_OS").expect("cargo sets CARGO_CFG_TARGET_OS");
    let script = format!("{manifest_dir}/link.ld");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={script}");
    if env::var_os("CARGO_FEATURE_IMAGE").is_none() {
        return; // a hosted program is linked as usual
    }

    let for_the_linker = [
        format!("-T{script}"),
        "-zmax-page-size=4096".into(),
        "--build-id=none".into(),
        "--gc-sections".into(),
    ];
    if target_os == "none" {
        // The linker is called directly.
        for arg in for_the_linker {
            println!("cargo::rustc-link-arg-bins={arg}");
        }
    } else {
        // The linker is called through the C compiler.
        for arg in ["-nostartfiles", "-nostdlib", "-static", "-no-pie"] {
            println!("cargo::rustc-link-arg-bins={arg}");
        }
        for arg in for_the_linker {
            println!("cargo::rustc-link-arg-bins=-Wl,{arg}");
        }
    }
}
