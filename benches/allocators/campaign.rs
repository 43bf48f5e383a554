//! Carries out all measurements of a run, each in a process of its own.
//!
//! The program starts itself, so that no allocator is affected by the memory, the caches or a crash
//! of another. First come the timed measurements, one process at a time. Each pass times every
//! allocator once, so that a disturbance of the machine does not affect one allocator only. Then
//! callgrind counts, with as many processes as there are processors, because load does not change
//! counts.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Mutex;
use std::thread;

use crate::callgrind::{self, Instructions};
use crate::measure::{Found, Measurement, Method};
use crate::peer::PeerId;
use crate::results::{Counted, Results};
use crate::workloads::list::{Kind, Workload};
use crate::workloads::misuse::Verdict;

/// How long a run measures.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Effort {
    /// For figures that are published.
    Full,
    /// For a quick look.
    Quick,
}

impl Effort {
    /// The number of timed passes.
    const fn passes(self) -> usize {
        match self {
            Self::Full => 3,
            Self::Quick => 1,
        }
    }

    /// The time for one timed measurement.
    const fn milliseconds(self) -> u64 {
        match self {
            Self::Full => 400,
            Self::Quick => 100,
        }
    }
}

/// A run: what is measured, and how long.
#[derive(Clone, Debug)]
pub(crate) struct Campaign {
    pub(crate) peers: Vec<PeerId>,
    pub(crate) workloads: Vec<Workload>,
    pub(crate) effort: Effort,
    /// The folder that keeps the output of callgrind.
    pub(crate) profile: Option<PathBuf>,
}

type Error = Box<dyn std::error::Error + Send + Sync>;

impl Campaign {
    /// Measures, and prints its progress to standard error.
    pub(crate) fn run(&self) -> Result<Results, Error> {
        let program = std::env::current_exe()?;
        let mut results = Results::default();
        let measurements: Vec<_> = self.measurements().collect();
        for pass in 1..=self.effort.passes() {
            for (number, it) in measurements.iter().enumerate() {
                // Only times differ from one pass to the next.
                if pass > 1 && !matches!(it.workload.kind(), Kind::Steady | Kind::Threads | Kind::Init) {
                    continue;
                }
                let of = measurements.len();
                let passes = self.effort.passes();
                eprintln!(
                    "pass {pass}/{passes}, {}/{of}: {} {}",
                    number + 1,
                    it.workload.key(),
                    it.peer.key()
                );
                results.add(it.peer, it.workload, time(&program, *it)?);
            }
        }
        match callgrind::installed() {
            Some(valgrind) => self.count(&program, &valgrind, &mut results)?,
            None => eprintln!("valgrind is not installed, so no instructions are counted"),
        }
        Ok(results)
    }

    fn measurements(&self) -> impl Iterator<Item = Measurement> {
        self.workloads.iter().flat_map(move |&workload| {
            let suits = self.peers.iter().filter(move |&&peer| workload.suits(peer));
            suits.map(move |&peer| Measurement {
                peer,
                workload,
                method: Method::Clock,
                milliseconds: self.effort.milliseconds(),
            })
        })
    }

    fn count(&self, program: &Path, valgrind: &Path, results: &mut Results) -> Result<(), Error> {
        let passing = tempfile::tempdir()?;
        let folder = self.profile.as_deref().unwrap_or(passing.path());
        fs::create_dir_all(folder)?;
        let counted =
            |it: &Measurement| matches!(it.workload.kind(), Kind::Steady | Kind::Machine | Kind::Init);
        let queue: Mutex<VecDeque<_>> = Mutex::new(self.measurements().filter(counted).collect());
        let results = Mutex::new(results);
        let work = || -> Result<(), Error> {
            loop {
                let Some(next) = queue.lock().expect("not poisoned").pop_front() else {
                    return Ok(());
                };
                let it = Measurement { method: Method::Count, ..next };
                eprintln!("callgrind: {} {}", it.workload.key(), it.peer.key());
                let counted = count(program, valgrind, folder, it)?;
                results.lock().expect("not poisoned").count(it.peer, it.workload, counted);
            }
        };
        thread::scope(|scope| {
            let processors = thread::available_parallelism().map_or(1, usize::from);
            let workers: Vec<_> = (0..processors).map(|_| scope.spawn(work)).collect();
            workers.into_iter().try_for_each(|worker| worker.join().expect("a worker does not panic"))
        })
    }
}

/// The arguments with which a process carries out a measurement.
fn arguments(it: Measurement) -> [String; 5] {
    let method = match it.method {
        Method::Clock => "clock",
        Method::Count => "count",
    };
    let milliseconds = it.milliseconds.to_string();
    ["measure", it.peer.key(), it.workload.key(), method, &milliseconds].map(str::to_owned)
}

fn time(program: &Path, it: Measurement) -> Result<Found, Error> {
    let output = Command::new(program).args(arguments(it)).output()?;
    if !output.status.success() && it.workload.kind() == Kind::Misuse {
        return Ok(Found::Misuse(Verdict::Dies));
    }
    found(it, &output)
}

fn count(program: &Path, valgrind: &Path, folder: &Path, it: Measurement) -> Result<Counted, Error> {
    let written: PathBuf = folder.join(format!("callgrind.out.{}.{}", it.workload.key(), it.peer.key()));
    let output = callgrind::command(valgrind, &written, program.as_os_str()).args(arguments(it)).output()?;
    let found = found(it, &output)?;
    let times = match found {
        Found::Steady(rounds) => rounds.pairs,
        Found::Init(begun) => begun.times,
        _ => return Err("only repeated operations are counted".into()),
    };
    let instructions: Instructions = callgrind::sum(&fs::read_to_string(written)?);
    Ok(Counted { instructions, times })
}

fn found(it: Measurement, output: &Output) -> Result<Found, Error> {
    if !output.status.success() {
        let messages = String::from_utf8_lossy(&output.stderr);
        let error =
            format!("{} on {} ended with {}:\n{messages}", it.workload.key(), it.peer.key(), output.status);
        return Err(io::Error::other(error).into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}
