//! W5: the throughput of one thread and of two, each pinned to a processor of its own.
//!
//! A trial begins at the same time for all threads and ends with the slowest. It takes less than a
//! millisecond, so that some trials run undisturbed on a busy machine. The best trial counts.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::cpu;
use crate::peer::Peer;
use crate::workloads::bursts::{self, Burst};
use crate::workloads::list::Workload;
use crate::workloads::states::shortened;
use crate::workloads::{pairs, states};

/// The number of pairs of each thread in a trial. They take a few hundred microseconds.
const PAIRS: usize = 8 * bursts::LENGTH;

/// The number of trials.
const TRIALS: usize = 500;

/// The trials end early after this multiple of their time: a disturbed trial takes milliseconds.
const PATIENCE: u32 = 8;

/// The result, in millions of pairs per second in the best trial.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Scaling {
    /// Of one thread.
    pub(crate) one: f64,
    /// Of two threads together. `None` if this machine has only one processor.
    pub(crate) two: Option<f64>,
    /// The cache lines of frame states of which both CPUs have frames during their bursts. `None`
    /// without bursts, and for other allocators than pageblock.
    pub(crate) shared_lines: Option<usize>,
}

/// Runs W1 or W2 on one thread, then on two.
pub(crate) fn scaling<P: Peer>(peer: &P, workload: Workload, budget: Duration) -> Scaling {
    match workload {
        Workload::AgedBurstThreads => drop(states::age_by_both(peer)),
        _ => states::age(peer),
    }
    let bursts = workload != Workload::PairThreads;
    let shared_lines = (bursts && P::ID.is_ours()).then(|| shared_lines(peer));
    let one = best(peer, workload, 1, budget).expect("a processor");
    Scaling { one, two: best(peer, workload, 2, budget), shared_lines }
}

/// The frame states of pageblock in a cache line.
const LINE: usize = 16;

/// Counts the cache lines of frame states that have frames of a burst on each of two CPUs.
fn shared_lines<P: Peer>(peer: &P) -> usize {
    let bursts = [0, 1].map(|number| {
        cpu::become_cpu(number);
        states::take(peer, bursts::LENGTH)
    });
    let [one, other] =
        bursts.each_ref().map(|frames| frames.iter().map(|pfn| pfn.number() / LINE).collect::<HashSet<_>>());
    for (number, frames) in bursts.into_iter().enumerate() {
        cpu::become_cpu(number);
        states::give_back(peer, frames);
    }
    cpu::become_cpu(0);
    one.intersection(&other).count()
}

/// The state that the threads share: a spinning barrier, and the times of the current trial.
struct Trials {
    threads: usize,
    arrived: AtomicUsize,
    /// The start of the current trial on the first thread, in nanoseconds since `epoch`.
    began: AtomicU64,
    /// The end of the current trial on the last thread.
    ended: AtomicU64,
    /// The number of threads that could not be pinned.
    unpinned: AtomicUsize,
    epoch: Instant,
}

impl Trials {
    /// Waits until all threads have called this for the `number`th time.
    fn wait(&self, number: usize) {
        self.arrived.fetch_add(1, Ordering::AcqRel);
        while self.arrived.load(Ordering::Acquire) < number * self.threads {
            std::hint::spin_loop();
        }
    }

    fn now(&self) -> u64 {
        self.epoch.elapsed().as_nanos() as u64
    }
}

fn best<P: Peer>(peer: &P, workload: Workload, threads: usize, budget: Duration) -> Option<f64> {
    let shared = Trials {
        threads,
        arrived: AtomicUsize::new(0),
        began: AtomicU64::new(u64::MAX),
        ended: AtomicU64::new(0),
        unpinned: AtomicUsize::new(0),
        epoch: Instant::now(),
    };
    let found = thread::scope(|scope| {
        let run = |cpu| {
            let shared = &shared;
            move || run_trials(peer, workload, cpu, shared, budget)
        };
        let others: Vec<_> = (1..threads).map(|cpu| scope.spawn(run(cpu))).collect();
        let found = run(0)();
        for other in others {
            other.join().expect("the thread did its work");
        }
        found
    });
    (shared.unpinned.into_inner() == 0).then_some(found)
}

/// Runs the trials on one thread. Returns the best rate of all threads together.
fn run_trials<P: Peer>(
    peer: &P,
    workload: Workload,
    number: usize,
    shared: &Trials,
    budget: Duration,
) -> f64 {
    if !cpu::pin(number) {
        shared.unpinned.fetch_add(1, Ordering::Relaxed);
    }
    let mut burst = Burst::with_stream(100 + number as u64);
    let mut best: f64 = 0.0;
    let mut waits = 0;
    let mut wait = || {
        waits += 1;
        shared.wait(waits);
    };
    // All threads read the same end of a trial between two barriers, so that all stop after the
    // same one.
    let mut more = true;
    let mut trials = 0;
    while more {
        burst.shuffle();
        wait();
        let began = shared.now();
        let done = match workload {
            Workload::BurstThreads | Workload::AgedBurstThreads => {
                (0..shortened::<P>(PAIRS / bursts::LENGTH).max(1)).map(|_| burst.burst(peer).pairs).sum()
            }
            _ => pairs::pairs::<P, 0>(peer, shortened::<P>(PAIRS)).pairs,
        };
        let ended = shared.now();
        shared.began.fetch_min(began, Ordering::AcqRel);
        shared.ended.fetch_max(ended, Ordering::AcqRel);
        wait();
        let (first, last) = (shared.began.load(Ordering::Acquire), shared.ended.load(Ordering::Acquire));
        trials += 1;
        more = trials < TRIALS && last < (budget * PATIENCE).as_nanos() as u64;
        let rate = (done * shared.threads as u64) as f64 * 1000.0 / (last - first) as f64;
        best = best.max(rate);
        wait();
        // Each thread resets the times before any thread passes the next barrier.
        shared.began.store(u64::MAX, Ordering::Release);
        shared.ended.store(0, Ordering::Release);
    }
    best
}
