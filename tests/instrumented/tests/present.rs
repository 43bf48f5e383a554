//! The instrumented build has a symbol of every part of the faults and the designs. That the default build has none is
//! `tests/no_faults.rs` of the root package; this test says that it would notice.

extern crate pageblock_instrumented as pageblock;

#[path = "../../support/mod.rs"]
mod support;
mod symbols;

#[test]
fn the_instrumented_build_has_symbols_of_every_fault_and_design() {
    assert_eq!(symbols::found(), symbols::INSTRUMENTS);
}
