//! Measures this repository's allocator and its published peers on the same workloads, and prints one table.
//!
//! `cargo bench -p pageblock-benches`; the `README.md` above has the options. Without `--bench`, which cargo says when it measures, this
//! is a test: [`checks`] that every allocator does what the measurements take for granted.

mod arena;
mod arguments;
mod callgrind;
mod campaign;
mod checks;
mod cpu;
mod measure;
mod peer;
mod peers;
mod report;
mod results;
mod roi;
mod workloads;

use std::error::Error;
use std::process::ExitCode;

use clap::Parser as _;

use crate::arguments::{Arguments, Inner};
use crate::campaign::Campaign;

fn main() -> ExitCode {
    // Test runners have words of their own.
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
