//! W5: the same on one thread and on two, each on a processor of its own.
//!
//! A trial begins for both at once and ends with the slower. It takes less than a millisecond, so that some trials run undisturbed on a
//! machine that does other things as well; the best counts.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::cpu;
use crate::peer::Peer;
use crate::workloads::bursts::{self, Burst};
use crate::workloads::states::shortened;
use crate::workloads::{Workload, pairs, states};

/// Pairs of each thread in a trial: a few hundred microseconds.
const PAIRS: usize = 8 * bursts::LENGTH;

/// So many trials, unless they take [`PATIENCE`] times as long as they may: one that is disturbed takes milliseconds.
const TRIALS: usize = 500;
const PATIENCE: u32 = 8;

/// What was found.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Scaling {
    /// Millions of pairs in a second, in the best trial, by one thread.
    pub(crate) one: f64,
    /// By both of two threads. `None` if this machine has one processor only.
    pub(crate) two: Option<f64>,
}

/// W1 or W2 by one thread, then by two.
pub(crate) fn scaling<P: Peer>(peer: &P, workload: Workload, budget: Duration) -> Scaling {
    states::age(peer);
    let one = best(peer, workload, 1, budget).expect("a processor");
    Scaling { one, two: best(peer, workload, 2, budget) }
}

/// What the threads tell each other.
struct Meeting {
    threads: usize,
    arrived: AtomicUsize,
    /// When the current trial began for the first and ended for the last, in nanoseconds since the meeting.
    began: AtomicU64,
    ended: AtomicU64,
    unpinned: AtomicUsize,
    epoch: Instant,
}

impl Meeting {
    /// Returns when all threads have come here for the `number`th time.
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
    let meeting = Meeting {
        threads,
        arrived: AtomicUsize::new(0),
        began: AtomicU64::new(u64::MAX),
        ended: AtomicU64::new(0),
        unpinned: AtomicUsize::new(0),
        epoch: Instant::now(),
    };
    let found = thread::scope(|scope| {
        let run = |cpu| {
            let meeting = &meeting;
            move || attend(peer, workload, cpu, meeting, budget)
        };
        let others: Vec<_> = (1..threads).map(|cpu| scope.spawn(run(cpu))).collect();
        let found = run(0)();
        for other in others {
            other.join().expect("the thread did its work");
        }
        found
    });
    (meeting.unpinned.into_inner() == 0).then_some(found)
}

/// One thread's trials. The best rate of all threads together.
fn attend<P: Peer>(peer: &P, workload: Workload, number: usize, meeting: &Meeting, budget: Duration) -> f64 {
    if !cpu::pin(number) {
        meeting.unpinned.fetch_add(1, Ordering::Relaxed);
    }
    let mut burst = Burst::with_stream(100 + number as u64);
    let mut best: f64 = 0.0;
    let mut meetings = 0;
    let mut wait = || {
        meetings += 1;
        meeting.wait(meetings);
    };
    // All must agree when to stop: the time is looked at between two meetings.
    let mut more = true;
    let mut trials = 0;
    while more {
        burst.shuffle();
        wait();
        let began = meeting.now();
        let done = match workload {
            Workload::BurstThreads => {
                (0..shortened::<P>(PAIRS / bursts::LENGTH).max(1)).map(|_| burst.burst(peer).pairs).sum()
            }
            _ => pairs::pairs::<P, 0>(peer, shortened::<P>(PAIRS)).pairs,
        };
        let ended = meeting.now();
        meeting.began.fetch_min(began, Ordering::AcqRel);
        meeting.ended.fetch_max(ended, Ordering::AcqRel);
        wait();
        let (first, last) = (meeting.began.load(Ordering::Acquire), meeting.ended.load(Ordering::Acquire));
        trials += 1;
        more = trials < TRIALS && last < (budget * PATIENCE).as_nanos() as u64;
        let rate = (done * meeting.threads as u64) as f64 * 1000.0 / (last - first) as f64;
        best = best.max(rate);
        wait();
        // Each resets, before anyone is past the next meeting.
        meeting.began.store(u64::MAX, Ordering::Release);
        meeting.ended.store(0, Ordering::Release);
    }
    best
}
