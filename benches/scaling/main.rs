//! Measures how the cost of an operation grows with the machine: with its CPUs, and with its
//! memory.
//!
//! `cargo bench -p pageblock-benches --bench scaling`; `README.md` in this folder lists the
//! options. All costs are counted, except the time of initialisation, so that a small and busy host
//! will do.
//!
//! | files, the highest first | what they do |
//! |---|---|
//! | `main`, `report` | the command line; tables, JSON, and the bounds of `--check` |
//! | `valgrind` | runs the measurements in processes of their own, under valgrind |
//! | `simulation`, `sizes` | what many CPUs do; what one CPU does on machines of all sizes |
//! | `trace` | reads valgrind's trace of the simulation |
//! | `coherence` | a model of the CPUs' caches, which says what an access costs |
//! | `machine` | the allocator under measurement, and the addresses of its records |

mod coherence;
mod machine;
mod report;
mod simulation;
mod sizes;
mod trace;
mod valgrind;

use std::num::NonZero;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use clap::Parser;

/// Measures how the cost of an operation grows with CPUs and with memory
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    inner: Option<Inner>,
    /// Measure up to 8 CPUs and 16 GiB only
    #[arg(long)]
    quick: bool,
    /// Measure only this part
    #[arg(long, value_enum)]
    only: Option<Part>,
    /// Measure only these loads
    #[arg(long, value_enum, value_delimiter = ',', value_name = "LOADS")]
    load: Vec<simulation::Load>,
    /// Write the results to this file as well, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Exit with 1 if a cost grows more than it should
    #[arg(long)]
    check: bool,
    /// Passed by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    Cpus,
    Memory,
}

/// What this program does when it runs under valgrind.
#[derive(clap::Subcommand)]
enum Inner {
    #[command(hide = true)]
    Simulate { load: simulation::Load, cpus: usize, memory: u64 },
    #[command(hide = true)]
    Size { work: sizes::Work, memory: u64 },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match arguments.inner {
        Some(Inner::Simulate { load, cpus, memory }) => simulation::run(load, cpus, memory),
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

/// Measures and reports. Returns whether every checked cost is within its bounds.
fn measure(arguments: &Arguments) -> Result<bool, String> {
    let valgrind = valgrind::find()?;
    let wants = |part| arguments.only.is_none_or(|only| only == part);
    let mut report = report::Report::default();
    if wants(Part::Cpus) {
        let most = if arguments.quick { 8 } else { coherence::Caches::CPUS };
        let cpus: Vec<_> = (0..).map(|n| 1 << n).take_while(|cpus| *cpus <= most).collect();
        let loads = simulation::Load::ALL.into_iter();
        let loads = loads.filter(|load| arguments.load.is_empty() || arguments.load.contains(load));
        let all = loads.flat_map(|load| cpus.iter().map(move |cpus| (load, *cpus)));
        report.simulations = in_parallel(all.collect(), |(load, cpus)| {
            let cost = valgrind::simulate(&valgrind, load, cpus, cpus as u64 * MEMORY_PER_CPU)?;
            Ok((load, cpus, cost))
        })?;
    }
    if wants(Part::Memory) {
        let most = if arguments.quick { 16 * GIB } else { 1024 * GIB };
        let memories: Vec<_> = (0..).map(|n| GIB << (2 * n)).take_while(|memory| *memory <= most).collect();
        let all = memories.iter().flat_map(|memory| sizes::Work::ALL.map(|work| (work, *memory)));
        report.sizes = in_parallel(all.collect(), |(work, memory)| {
            let cost = valgrind::size(&valgrind, work, memory)?;
            Ok((work, memory, cost))
        })?;
        // These are timed, so they run one at a time.
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
        excesses.iter().for_each(|excess| println!("out of bounds: {excess}"));
    }
    Ok(!arguments.check || excesses.is_empty())
}

/// Runs all jobs, with as many workers as the host has processors.
///
/// The last jobs run first, because they take longest. The results have the order of the jobs.
fn in_parallel<J: Copy + Sync, R: Send>(
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
        cell.into_inner().ok().flatten().ok_or_else(|| "a worker panicked".to_owned())?
    };
    results.into_iter().map(result).collect()
}

const GIB: u64 = 1 << 30;
/// The memory for each CPU, so that the load per GiB is the same on all machines.
const MEMORY_PER_CPU: u64 = GIB;
