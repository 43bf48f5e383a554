//! All measurements of a run, each in a process of its own: the program runs itself, so that no allocator meets the memory, the caches
//! or the crash of another.
//!
//! First the clock, one process at a time and the allocators in turn, twice over, so that a disturbance does not meet one of them only.
//! Then callgrind, as many at a time as there are processors: counts do not mind. Neighbours: [`measure`](crate::measure) is the
//! other end, [`results`](crate::results) what comes of it.

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
use crate::workloads::misuse::Verdict;
use crate::workloads::{Kind, Workload};

/// How long to measure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Effort {
    /// For figures that are to be told.
    Full,
    /// For a look.
    Quick,
}

impl Effort {
    /// How often everything is timed.
    const fn passes(self) -> usize {
        match self {
            Self::Full => 3,
            Self::Quick => 1,
        }
    }

    const fn milliseconds(self) -> u64 {
        match self {
            Self::Full => 400,
            Self::Quick => 100,
        }
    }
}

/// What to measure.
#[derive(Clone, Debug)]
pub(crate) struct Campaign {
    pub(crate) peers: Vec<PeerId>,
    pub(crate) workloads: Vec<Workload>,
    pub(crate) effort: Effort,
    /// Where to leave what callgrind writes, for `callgrind_annotate`.
    pub(crate) profile: Option<PathBuf>,
}

type Error = Box<dyn std::error::Error + Send + Sync>;

impl Campaign {
    /// Measures, and says on standard error what it is at.
    pub(crate) fn run(&self) -> Result<Results, Error> {
        let program = std::env::current_exe()?;
        let mut results = Results::default();
        let measurements: Vec<_> = self.measurements().collect();
        for pass in 1..=self.effort.passes() {
            for (number, it) in measurements.iter().enumerate() {
                // Only time differs from one pass to the next.
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
            None => eprintln!("valgrind is not installed: no instructions are counted"),
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
        let counted = |it: &Measurement| matches!(it.workload.kind(), Kind::Steady | Kind::Init);
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

/// The words that make a process carry a measurement out.
fn words(it: Measurement) -> [String; 5] {
    let method = match it.method {
        Method::Clock => "clock",
        Method::Count => "count",
    };
    let milliseconds = it.milliseconds.to_string();
    ["measure", it.peer.key(), it.workload.key(), method, &milliseconds].map(str::to_owned)
}

fn time(program: &Path, it: Measurement) -> Result<Found, Error> {
    let output = Command::new(program).args(words(it)).output()?;
    if !output.status.success() && it.workload.kind() == Kind::Misuse {
        return Ok(Found::Misuse(Verdict::Dies));
    }
    found(it, &output)
}

fn count(program: &Path, valgrind: &Path, folder: &Path, it: Measurement) -> Result<Counted, Error> {
    let written: PathBuf = folder.join(format!("callgrind.out.{}.{}", it.workload.key(), it.peer.key()));
    let output = callgrind::watching(valgrind, &written, program.as_os_str()).args(words(it)).output()?;
    let found = found(it, &output)?;
    let times = match found {
        Found::Steady(rounds) => rounds.pairs,
        Found::Init(begun) => begun.times,
        _ => return Err("only what is repeated is counted".into()),
    };
    let instructions: Instructions = callgrind::sum(&fs::read_to_string(written)?);
    Ok(Counted { instructions, times })
}

fn found(it: Measurement, output: &Output) -> Result<Found, Error> {
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let error =
            format!("{} on {} ended with {}:\n{said}", it.workload.key(), it.peer.key(), output.status);
        return Err(io::Error::other(error).into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}
