//! Measures how the cost of an operation grows with the machine: with its CPUs, and with its memory.
//!
//! `cargo bench -p pageblock-benches --bench scaling`; `README.md` beside this has the options. Everything is counted, nothing but initialisation
//! is timed, so that a small and busy machine will do. Files: [`storm`] is what many CPUs do, [`trace`] and [`coherence`] find out what
//! it costs; [`sizes`] is what one CPU does on machines of all sizes; [`valgrind`] runs both; [`report`] is what you see.

mod coherence;
mod machine;
mod report;
mod sizes;
mod storm;
mod trace;
mod valgrind;

use std::num::NonZero;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use clap::Parser;

/// How the cost of an operation grows with CPUs and with memory.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    inner: Option<Inner>,
    /// Fewer CPUs, less memory
    #[arg(long)]
    quick: bool,
    /// This part only
    #[arg(long, value_enum)]
    only: Option<Part>,
    /// These loads only
    #[arg(long, value_enum, value_delimiter = ',', value_name = "LOADS")]
    load: Vec<storm::Load>,
    /// Write the results to this file as well, as one JSON object
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Exit with 1 if a cost grows more than it should
    #[arg(long)]
    check: bool,
    /// Cargo says so
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    Cpus,
    Memory,
}

/// What this program does when it is the one that is watched.
#[derive(clap::Subcommand)]
enum Inner {
    #[command(hide = true)]
    Storm { load: storm::Load, cpus: usize, memory: u64 },
    #[command(hide = true)]
    Size { work: sizes::Work, memory: u64 },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match arguments.inner {
        Some(Inner::Storm { load, cpus, memory }) => storm::run(load, cpus, memory),
        Some(Inner::Size { work, memory }) => {
            let (operations, took) = sizes::run(work, memory);
            println!("{operations} {}", took.as_nanos());
        }
        None => {
            return match measure(&arguments) {
                Ok(true) => ExitCode::SUCCESS,
                Ok(false) => ExitCode::from(1),
                Err(error) => {
                    eprintln!("error: {error}");
                    ExitCode::from(3)
                }
            };
        }
    }
    ExitCode::SUCCESS
}

/// Measures and reports. Whether every cost that was to be checked is within bounds.
fn measure(arguments: &Arguments) -> Result<bool, String> {
    let valgrind = valgrind::find()?;
    let wants = |part| arguments.only.is_none_or(|only| only == part);
    let mut report = report::Report::default();
    if wants(Part::Cpus) {
        let most = if arguments.quick { 8 } else { coherence::Caches::CPUS };
        let cpus: Vec<_> = (0..).map(|n| 1 << n).take_while(|cpus| *cpus <= most).collect();
        let loads = storm::Load::ALL.into_iter();
        let loads = loads.filter(|load| arguments.load.is_empty() || arguments.load.contains(load));
        let all = loads.flat_map(|load| cpus.iter().map(move |cpus| (load, *cpus)));
        report.storms = side_by_side(all.collect(), |(load, cpus)| {
            let cost = valgrind::storm(&valgrind, load, cpus, cpus as u64 * MEMORY_PER_CPU)?;
            Ok((load, cpus, cost))
        })?;
    }
    if wants(Part::Memory) {
        let most = if arguments.quick { 16 * GIB } else { 1024 * GIB };
        let memories: Vec<_> = (0..).map(|n| GIB << (2 * n)).take_while(|memory| *memory <= most).collect();
        let all = memories.iter().flat_map(|memory| sizes::Work::ALL.map(|work| (work, *memory)));
        report.sizes = side_by_side(all.collect(), |(work, memory)| {
            let cost = valgrind::size(&valgrind, work, memory)?;
            Ok((work, memory, cost))
        })?;
        // Timed: one at a time.
        for memory in memories {
            report.init_times.push((memory, valgrind::init_time(memory)?));
        }
    }
    print!("{report}");
    if let Some(file) = &arguments.json {
        let text = format!("{:#}\n", report.json());
        std::fs::write(file, text).map_err(|error| format!("{}: {error}", file.display()))?;
    }
    let excesses = report.excesses();
    if arguments.check {
        excesses.iter().for_each(|excess| println!("too much: {excess}"));
    }
    Ok(!arguments.check || excesses.is_empty())
}

/// Does all the jobs, as many at a time as there are CPUs, the last first: they are the longest. Results are in the jobs' order.
fn side_by_side<J: Copy + Sync, R: Send>(
    jobs: Vec<J>,
    job: impl Fn(J) -> Result<R, String> + Sync,
) -> Result<Vec<R>, String> {
    let left = AtomicUsize::new(jobs.len());
    let results: Vec<_> = jobs.iter().map(|_| Mutex::new(None)).collect();
    let workers = thread::available_parallelism().map_or(1, NonZero::get);
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Ok(n) =
                    left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1))
                {
                    let result = job(jobs[n - 1]);
                    *results[n - 1].lock().expect("no worker panics with it") = Some(result);
                    eprintln!("{} of {} done", jobs.len() - left.load(Ordering::Relaxed), jobs.len());
                }
            });
        }
    });
    let result = |cell: Mutex<Option<_>>| {
        cell.into_inner().ok().flatten().ok_or_else(|| "a worker died".to_owned())?
    };
    results.into_iter().map(result).collect()
}

const GIB: u64 = 1 << 30;
/// More CPUs come with more memory.
const MEMORY_PER_CPU: u64 = GIB;
