//! Drives the in-kernel tests.
fn main() {}
