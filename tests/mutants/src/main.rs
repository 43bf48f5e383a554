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
//! | `suite` | the tests, in an order in which most mutants are noticed soon |
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
mod suite;
mod trial;

use std::env;
use std::num::NonZero;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use crate::build::Tree;
use crate::mutant::Mutant;
use crate::outcomes::{Outcomes, place};
use crate::suite::Suite;
use crate::trial::Outcome;

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
    let report = Outcomes::begin(&repository, &tree.fingerprint(quick), resume, again);
    let mut built = tree.build();
    println!("{} of {generated} mutants compile.", built.mutants.len());

    let suite = Suite::new(&built, quick);
    trial::limit_memory();
    assert_eq!(suite.run(0), Outcome::Missed, "a test fails without a mutant");

    let start = Instant::now();
    built.mutants.retain(|mutant| !report.has(&mutant.name));
    let (next, report) = (AtomicUsize::new(0), Mutex::new(report));
    let one_after_the_other = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(mutant) = built.mutants.get(index) else { break };
            let outcome = suite.run(mutant.number);
            report.lock().unwrap().add(&outcome, &mutant.name);
            if outcome == Outcome::Missed {
                println!("missed: {}", mutant.name);
            }
            if (index + 1).is_multiple_of(50) {
                println!("{} of {}, {:.0?}", index + 1, built.mutants.len(), start.elapsed());
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, NonZero::get) {
            scope.spawn(one_after_the_other);
        }
    });
    let report = report.into_inner().unwrap();
    println!("{report}");
    println!("in {:.0?}", start.elapsed());
    if report.missed() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
