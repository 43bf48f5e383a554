//! Mutation testing: each mutant is a small change of the library, and a test has to notice it.
//!
//! `cargo-mutants` makes the mutants and builds the tests once for each, which is a minute or more.
//! Here all of them are in one build: a function that has mutants becomes a `match` whose arms are
//! the changed copies of its body, and the environment of the test program says which arm runs. So
//! a mutant costs a run of the tests, and that ends with the first one that fails.
//!
//! | module | what it does |
//! |---|---|
//! | `mutant` | asks `cargo mutants --list` for the mutants that `.cargo/mutants.toml` selects |
//! | `explained` | leaves those out that `explained.txt` says something about |
//! | `rewrite` | one source file with all its mutants |
//! | `build` | the copy of the repository, without the mutants that do not compile |
//! | `trial` | runs a test program with one mutant until a test fails |
//! | `outcomes` | what the tests made of each mutant, in a file that a later run goes on with |
//!
//! A function that is evaluated by the compiler is not mutated there, because there is no
//! environment at that time.

mod build;
mod explained;
mod mutant;
mod outcomes;
mod rewrite;
mod trial;

use std::env;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::build::Tree;
use crate::mutant::Mutant;
use crate::outcomes::{Outcomes, place};
use crate::trial::{Outcome, Program};

/// Tests of the hosted program that take long: they run when no other test has noticed a mutant.
const SLOW: &[&str] = &[
    "stress::",
    "reference_model::",
    "removed_records::",
    "random_maps",
    "records_live_in",
    "a_mover_and_a_free_race",
    "added_records::memory_is_added",
    "exchange::an_isolation_finds",
    "guard::a_million",
    "hwpoison::cpus",
    "owner_word::many",
    "reserves::an_atomic_request_takes_what",
    "reserves::cached_pages_of_a_low",
    "reserves::nobody_is_refused",
    "sparse::memory_may_be",
    "sparse::twelve",
];
/// Without a line of output for so long, the quick tests hang.
const QUICK_STALL: Duration = Duration::from_secs(20);
/// Likewise for the slow ones, of which one may take most of a minute.
const SLOW_STALL: Duration = Duration::from_secs(180);

fn main() -> ExitCode {
    let repository = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")).canonicalize().unwrap();
    let mut arguments: Vec<String> = env::args().skip(1).collect();
    let mut flag = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name);
        at.map(|at| arguments.remove(at)).is_some()
    };
    let (quick, again, resume) = (flag("--quick"), flag("--missed"), flag("--resume"));

    let mut mutants = mutant::list(&repository);
    let explained = explained::explained(&repository, &mutants);
    println!("{} mutants, {} of them are in explained.txt.", mutants.len(), explained.len());
    mutants.retain(|mutant| !explained.contains(&mutant.number));
    if !arguments.is_empty() {
        let position =
            |mutant: &Mutant| arguments.iter().position(|part| mutant.name.contains(part.as_str()));
        mutants.retain(|mutant| position(mutant).is_some());
        mutants.sort_by_key(position);
    }
    if again {
        let noticed = Outcomes::read(&repository).noticed();
        mutants.retain(|mutant| !noticed.contains(&place(&mutant.name)));
    }
    let generated = mutants.len();
    let tree = Tree::new(&repository, mutants);
    let mut report = Outcomes::begin(&repository, &tree.fingerprint(quick), resume);
    let built = tree.build();
    println!("{} of {generated} mutants compile.", built.mutants.len());

    let skipped: Vec<&str> = SLOW.iter().flat_map(|test| ["--skip", test]).collect();
    let mut programs = vec![
        Program::new(&built.unit_tests, &[], QUICK_STALL),
        Program::new(&built.hosted_tests, &skipped, QUICK_STALL),
    ];
    if !quick {
        programs.push(Program::new(&built.hosted_tests, SLOW, SLOW_STALL));
    }
    trial::limit_memory();
    for program in &programs {
        assert_eq!(program.run(0), Outcome::Missed, "a test fails without a mutant");
    }

    let start = Instant::now();
    for (index, mutant) in built.mutants.iter().enumerate() {
        if report.has(&mutant.name) {
            continue;
        }
        let outcome = programs
            .iter()
            .map(|program| program.run(mutant.number))
            .find(|outcome| *outcome != Outcome::Missed);
        let outcome = outcome.unwrap_or(Outcome::Missed);
        report.add(&outcome, &mutant.name);
        if outcome == Outcome::Missed {
            println!("missed: {}", mutant.name);
        }
        if (index + 1) % 50 == 0 {
            println!("{} of {}, {:.0?}", index + 1, built.mutants.len(), start.elapsed());
        }
    }
    println!("{report}");
    println!("in {:.0?}", start.elapsed());
    if report.missed() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
