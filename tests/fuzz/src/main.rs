//! Fuzzes the library against the reference model of the hosted tests.
//!
//! The bytes of an input are a geometry, a machine and steps on it, as the property tests make them
//! (`tests/hosted/reference_model/decode.rs`). Under `cargo fuzz` the engine chooses them by what
//! code they reach. Without it this program runs the files that it is given, so that what was found
//! can be repeated without it.

#![cfg_attr(fuzzing, no_main)]

#[path = "../../hosted/reference_model/mod.rs"]
mod reference_model;
#[expect(dead_code, unused_imports, unused_macros, reason = "the hosted tests use the rest of it")]
#[path = "../../hosted/support/mod.rs"]
mod support;

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Some(case) = reference_model::Case::decode(bytes) {
        case.run();
    }
});

#[cfg(not(fuzzing))]
fn main() -> std::io::Result<()> {
    for path in std::env::args().skip(1) {
        let case = reference_model::Case::decode(&std::fs::read(&path)?);
        println!("{path}: {case:?}");
        if let Some(case) = case {
            case.run();
        }
    }
    Ok(())
}
