//! Carries out one measurement: one allocator, one workload, and either the clock or callgrind.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::arena::{Arena, Backing};
use crate::cpu;
use crate::peer::{Peer, PeerId};
use crate::peers::ours::{Locked, OwnerOnly};
use crate::peers::visit::{Visitor, visit};
use crate::workloads::exhaust::Exhausted;
use crate::workloads::fragmentation::HugePages;
use crate::workloads::init::InitCost;
use crate::workloads::list::{Kind, Workload};
use crate::workloads::misuse::Verdict;
use crate::workloads::steady::{Done, Steady};
use crate::workloads::threads::Scaling;
use crate::workloads::{bursts, exhaust, fragmentation, full, init, machines, misuse, mixed, pairs, threads};

/// How a measurement is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub(crate) enum Method {
    /// Repeat rounds until the time is up, and report the fastest.
    Clock,
    /// Run a few rounds under callgrind.
    Count,
}

/// The result of a measurement.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Found {
    Steady(Rounds),
    Threads(Scaling),
    Init(InitCost),
    Fragmentation(HugePages),
    Exhaust(Exhausted),
    Misuse(Verdict),
}

/// The result of a [`Steady`] workload.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Rounds {
    pub(crate) pairs: u64,
    pub(crate) failures: u64,
    /// The time of the fastest round. `None` under callgrind.
    pub(crate) ns_per_pair: Option<f64>,
}

/// A measurement, as the arguments of the process describe it.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Measurement {
    #[arg(value_enum)]
    pub(crate) peer: PeerId,
    #[arg(value_enum)]
    pub(crate) workload: Workload,
    #[arg(value_enum)]
    pub(crate) method: Method,
    /// The time for all timed rounds.
    pub(crate) milliseconds: u64,
}

/// The number of rounds under callgrind. Two rounds differ only by pcplist batches that span them.
const COUNTED_ROUNDS: usize = 2;

/// The least number of timed rounds, however long they take.
const TIMED_ROUNDS: usize = 8;

impl Measurement {
    pub(crate) fn carry_out(self) -> Found {
        if self.workload.kind() == Kind::Machine {
            return Found::Steady(match self.peer {
                PeerId::Ours => machines::run::<OwnerOnly>(self.workload),
                _ => machines::run::<Locked>(self.workload),
            });
        }
        visit(self.peer, self)
    }

    fn budget(self) -> Duration {
        match self.method {
            Method::Clock => Duration::from_millis(self.milliseconds),
            Method::Count => Duration::ZERO,
        }
    }

    fn steady<P: Peer, S: Steady<P>>(self, peer: &P) -> Found {
        let mut workload = S::new(peer);
        let mut done = Done::default();
        let mut ns = 0.0;
        let budget = self.budget() / S::STATES as u32;
        for state in 0..S::STATES {
            workload.enter(peer, state);
            let mut fastest = f64::INFINITY;
            let started = Instant::now();
            for number in 0.. {
                let enough = match self.method {
                    Method::Count => number == COUNTED_ROUNDS,
                    Method::Clock => number >= TIMED_ROUNDS && started.elapsed() >= budget,
                };
                if enough {
                    break;
                }
                workload.prepare();
                let before = Instant::now();
                let round = workload.round(peer);
                let took = before.elapsed();
                done += round;
                fastest = fastest.min(took.as_nanos() as f64 / round.pairs as f64);
            }
            ns += fastest / S::STATES as f64;
        }
        let ns_per_pair = (self.method == Method::Clock).then_some(ns);
        Found::Steady(Rounds { pairs: done.pairs, failures: done.failures, ns_per_pair })
    }
}

impl Visitor for Measurement {
    type Output = Found;

    fn visit<P: Peer>(self) -> Found {
        // If pinning fails, the measurement is only more disturbed.
        let _ = cpu::pin(0);
        let peer = || P::new(Arena::new(Backing::Huge));
        match self.workload {
            Workload::Pair => self.steady::<P, pairs::Pair>(&peer()),
            Workload::FreshPair => self.steady::<P, pairs::FreshPair>(&peer()),
            Workload::Burst => self.steady::<P, bursts::Burst>(&peer()),
            Workload::Mixed => self.steady::<P, mixed::Mixed>(&peer()),
            Workload::HugePair => self.steady::<P, pairs::HugePair>(&peer()),
            Workload::Full => self.steady::<P, full::Full>(&peer()),
            Workload::FullBurst => self.steady::<P, full::FullBurst>(&peer()),
            Workload::HandOver => self.steady::<P, bursts::HandOver>(&peer()),
            Workload::LargeBurst => self.steady::<P, bursts::LargeBurst>(&peer()),
            Workload::PairThreads | Workload::BurstThreads | Workload::AgedBurstThreads => {
                Found::Threads(threads::scaling(&peer(), self.workload, self.budget()))
            }
            Workload::Init => Found::Init(init::init::<P>(self.budget())),
            Workload::FragMixed => Found::Fragmentation(fragmentation::mixed(&peer())),
            Workload::FragSingle => Found::Fragmentation(fragmentation::single(&peer())),
            Workload::FragHinted => Found::Fragmentation(fragmentation::hinted(&peer())),
            Workload::FragChurn => Found::Fragmentation(fragmentation::churn(&peer())),
            Workload::Exhaust => Found::Exhaust(exhaust::exhaust(&peer())),
            Workload::DoubleFree => Found::Misuse(misuse::double_free(&peer())),
            Workload::WrongOrder => Found::Misuse(misuse::wrong_order(&peer())),
            Workload::SmallMachine
            | Workload::LowMark
            | Workload::Refusal
            | Workload::Isolate
            | Workload::CmaNew
            | Workload::CmaStats
            | Workload::CmaFull
            | Workload::CmaAlloc
            | Workload::CmaPinned => unreachable!("carried out without an adapter"),
            Workload::OutOfRange => Found::Misuse(misuse::out_of_range(&peer())),
        }
    }
}
