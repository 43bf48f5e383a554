//! The mutants, as `cargo mutants` lists them.

use std::path::Path;
use std::process::{Command, Stdio};

use serde::Deserialize;

/// A place in a file: line and column, both from 1.
#[derive(Debug, Clone, Copy, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

/// From a place to the one after it.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct Span {
    pub(crate) start: Place,
    pub(crate) end: Place,
}

/// A change of the source.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Mutant {
    /// What the environment calls it. 0 is no mutant.
    #[serde(skip)]
    pub(crate) number: u32,
    /// The file, relative to the repository.
    pub(crate) file: String,
    /// Place and change, for people.
    pub(crate) name: String,
    /// What is replaced.
    pub(crate) span: Span,
    /// By what.
    pub(crate) replacement: String,
}

/// Every mutant of the library that the repository's `.cargo/mutants.toml` selects.
pub(crate) fn list(repository: &Path) -> Vec<Mutant> {
    let output = Command::new("cargo")
        .args(["mutants", "--list", "--json", "--package", "pageblock"])
        .current_dir(repository)
        .stderr(Stdio::inherit())
        .output()
        .expect("cargo starts");
    assert!(output.status.success(), "`cargo mutants` fails: is `cargo install cargo-mutants` done?");
    let mut mutants: Vec<Mutant> = serde_json::from_slice(&output.stdout).expect("a list of mutants");
    for (mutant, number) in mutants.iter_mut().zip(1..) {
        mutant.number = number;
    }
    mutants
}
