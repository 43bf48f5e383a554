//! Builds everything in this package with `cfg(shuttle)`: see `src/sync.rs` of the library.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-cfg=shuttle");
}
