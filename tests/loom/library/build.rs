//! Builds everything in this package with `cfg(loom)`: see `src/sync.rs` of the library.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-cfg=loom");
}
