//! The definition of the command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::campaign::{Campaign, Effort};
use crate::measure::Measurement;
use crate::peer::PeerId;
use crate::workloads::list::Workload;

/// Measures pageblock and the published page-frame allocators on the same workloads
#[derive(Debug, Parser)]
#[command(name = "cargo bench -p pageblock-benches --")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) inner: Option<Inner>,
    #[command(flatten)]
    pub(crate) selection: Selection,
    /// Write the results to this file as well, as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Write a plot to this file, as SVG
    #[arg(long, value_name = "FILE")]
    pub(crate) plot: Option<PathBuf>,
    /// Passed by `cargo bench`
    #[arg(long, hide = true)]
    pub(crate) bench: bool,
}

/// How this program starts itself.
#[derive(Debug, Subcommand)]
pub(crate) enum Inner {
    /// Carries out one measurement in this process
    #[command(hide = true)]
    Measure(Measurement),
}

/// The selection of what is measured.
#[derive(Debug, Args)]
pub(crate) struct Selection {
    /// Measure only these allocators
    #[arg(long, value_enum, value_delimiter = ',', value_name = "NAMES")]
    only: Vec<PeerId>,
    /// Measure only these workloads
    #[arg(long, value_enum, value_delimiter = ',', value_name = "NAMES")]
    workload: Vec<Workload>,
    /// Measure once instead of three times, and shorter
    #[arg(long)]
    quick: bool,
    /// Keep the output of callgrind in this folder, for `callgrind_annotate`
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
