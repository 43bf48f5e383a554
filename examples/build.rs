//! Links the kernels with `link.ld` and without C's start-up files, for either of their targets.

use std::env;

fn main() {
    let folder = env::var("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR");
    println!("cargo::rerun-if-changed={folder}/link.ld");
    if env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("none") {
        // `x86_64-unknown-none`: the linker is called directly.
        println!("cargo::rustc-link-arg-bins=-T{folder}/link.ld");
    } else {
        // The host's target: the linker is called through the C compiler.
        for arg in ["-nostartfiles", "-nostdlib", "-static", "-no-pie", "-Wl,--build-id=none"] {
            println!("cargo::rustc-link-arg-bins={arg}");
        }
        println!("cargo::rustc-link-arg-bins=-Wl,-T{folder}/link.ld");
    }
}
