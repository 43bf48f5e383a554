//! The symbols of the test binary itself, into which every part of the library has been compiled.
//!
//! Two tests share this: one that the default build has no symbol of a fault or a design (`tests/no_faults.rs`), and one that the
//! instrumented build has them all (`tests/instrumented/tests/present.rs`), so that the first is known to look at the right thing.

use std::{env, fs};

use object::{Object, ObjectSymbol};
use pageblock::{AllocRequest, ContigOptions, NoMigration, Order};

use crate::support::{frames, range};

/// Modules that exist with the `faults` or the `designs` feature only, as they stand in a mangled name.
pub(crate) const INSTRUMENTS: [&str; 4] = [
    "9pageblock6faults2on",
    "9pageblock5buddy7history",
    "9pageblock5buddy7designs",
    "9pageblock7designs6ledger",
];

/// Uses every path that has a marked point, so that the compiler makes it.
fn exercise() {
    let machine = frames(&[(0, 2048)]).tune(|tuning| tuning.guard_below(Order::new(1))).build();
    let page = machine.alloc_pages(AllocRequest::movable()).unwrap();
    machine.free_pages(page, Order::ZERO).unwrap();
    machine.drain_all();
    drop(machine.alloc_contig(range(512, 600), &NoMigration, ContigOptions::default()).unwrap());
    assert!(machine.audit().is_exact() && machine.verify().is_ok());
}

/// Those of [`INSTRUMENTS`] that have a symbol in this binary.
pub(crate) fn found() -> Vec<&'static str> {
    exercise();
    let binary = fs::read(env::current_exe().unwrap()).unwrap();
    // The library goes by other names where it is compiled more than once.
    let names: Vec<String> = object::File::parse(&*binary)
        .unwrap()
        .symbols()
        .filter_map(|symbol| Some(symbol.name().ok()?.replace("22pageblock_instrumented", "9pageblock")))
        .collect();
    assert!(names.iter().any(|name| name.contains("9pageblock5buddy")), "the library is in the binary");
    INSTRUMENTS.into_iter().filter(|mark| names.iter().any(|name| name.contains(mark))).collect()
}
