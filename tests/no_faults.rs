//! The default build of the library has no symbol of a historical mistake or of another accounting design.
#![cfg(not(any(feature = "faults", feature = "designs")))]

mod support;
#[path = "instrumented/tests/symbols/mod.rs"]
mod symbols;

#[test]
fn the_default_build_has_no_symbol_of_a_fault_or_a_design() {
    let found = symbols::found();
    assert!(found.is_empty(), "{found:?} in a build without the features");
}
