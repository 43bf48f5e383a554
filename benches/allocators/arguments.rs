//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::campaign::{Campaign, Effort};
use crate::measure::Measurement;
use crate::peer::PeerId;
use crate::workloads::Workload;

/// Measures the pageblock allocator and its published peers on the same workloads.
#[derive(Debug, Parser)]
#[command(name = "cargo bench -p pageblock-benches --")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) inner: Option<Inner>,
    #[command(flatten)]
    pub(crate) selection: Selection,
    /// Write the same as JSON.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Write a plot, as SVG.
    #[arg(long, value_name = "FILE")]
    pub(crate) plot: Option<PathBuf>,
    /// Cargo says this when it measures.
    #[arg(long, hide = true)]
    pub(crate) bench: bool,
}

/// How the program calls itself.
#[derive(Debug, Subcommand)]
pub(crate) enum Inner {
    /// Carries out one measurement in this process.
    #[command(hide = true)]
    Measure(Measurement),
}

/// What to measure.
#[derive(Debug, Args)]
pub(crate) struct Selection {
    /// Only these allocators.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "NAMES")]
    only: Vec<PeerId>,
    /// Only these workloads.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "NAMES")]
    workload: Vec<Workload>,
    /// A quick look: shorter, and once.
    #[arg(long)]
    quick: bool,
    /// Leave what callgrind writes here, for `callgrind_annotate`.
    #[arg(long, value_name = "FOLDER")]
    profile: Option<PathBuf>,
}

impl From<Selection> for Campaign {
    fn from(selection: Selection) -> Self {
        let Selection { only, workload, quick, profile } = selection;
        let effort = if quick { Effort::Quick } else { Effort::Full };
        Self { peers: or_all(only, PeerId::ALL), workloads: or_all(workload, Workload::ALL), effort, profile }
    }
}

fn or_all<T: Copy>(chosen: Vec<T>, all: &[T]) -> Vec<T> {
    if chosen.is_empty() { all.to_vec() } else { chosen }
}
