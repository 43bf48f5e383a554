//! Measures pageblock and the published page-frame allocators on the same workloads.
//!
//! `cargo bench -p pageblock-benches` prints one table; `README.md` in the folder above lists the
//! options. `cargo test` runs this program without `--bench`: then it runs [`checks`], the tests of
//! what the measurements rely on.
//!
//! | files, the highest first | what they do |
//! |---|---|
//! | `arguments`, `checks` | the command line; the tests |
//! | `report/` | table, JSON, plot |
//! | `campaign` | starts one process for each measurement |
//! | `results` | collects the figures of all measurements |
//! | `measure` | carries out one measurement |
//! | `workloads/` | what the allocators are made to do |
//! | `peers/`, `counted` | an adapter for each allocator; the functions that callgrind counts |
//! | `peer`, `callgrind`, `arena`, `cpu` | what allocators and measurements have in common |

mod arena;
mod arguments;
mod callgrind;
mod campaign;
mod checks;
mod counted;
mod cpu;
mod measure;
mod peer;
mod peers;
mod report;
mod results;
mod workloads;

use std::error::Error;
use std::process::ExitCode;

use clap::Parser as _;

use crate::arguments::{Arguments, Inner};
use crate::campaign::Campaign;

fn main() -> ExitCode {
    // A test runner passes neither of these words, and has options of its own.
    let mut words = std::env::args().skip(1);
    if !words.any(|word| word == "--bench" || word == "measure") {
        return checks::run();
    }
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<(), Box<dyn Error + Send + Sync>> {
    let Arguments { inner, selection, json, plot, bench: _ } = arguments;
    if let Some(Inner::Measure(measurement)) = inner {
        println!("{}", serde_json::to_string(&measurement.carry_out())?);
        return Ok(());
    }
    let campaign = Campaign::from(selection);
    let results = campaign.run()?;
    println!("{}", report::table::table(&results));
    if let Some(path) = json {
        report::json::write(&path, &campaign, &results)?;
    }
    if let Some(path) = plot {
        report::plot::write(&path, &results)?;
    }
    Ok(())
}
