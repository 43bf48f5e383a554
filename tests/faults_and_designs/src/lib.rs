//! The tests of each historical fault, and of each accounting design beside ours.
//!
//! They need the library with the features `faults` and `designs`, which is in `library`. Whether a
//! build without these features is free of both is tested on the kernel image, in `tests/system`.
#![cfg(test)]

mod designs;
mod faults;
mod other_cpu;
#[expect(dead_code, reason = "the search without faults uses the rest")]
#[path = "../../closure/src/search/mod.rs"]
mod search;
mod shortest;
#[expect(dead_code, unused_imports, unused_macros, reason = "the hosted tests use the rest")]
#[path = "../../hosted/support/mod.rs"]
mod support;
