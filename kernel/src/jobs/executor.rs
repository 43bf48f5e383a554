//! One run queue of cooperative tasks for all CPUs.
//!
//! A CPU takes the first task, runs one step of it, and puts it at the end of the queue. No task
//! holds a lock or an active address space from one step to the next, so steps may run in any
//! order, and one CPU is enough. The jobs and the drivers of the scenarios are the tasks.

use core::sync::atomic::{AtomicUsize, Ordering};

use heapless::Deque;
use pageblock::CpuId;
use pageblock_protocol::config;
use spin::relax::RelaxStrategy as _;
use x86_64::instructions::hlt;

use crate::arch::percpu;
use crate::jobs::grace_period;
use crate::smp;
use crate::sync::{Lock, SpinThenHalt};
use crate::time::{self, TICK_HZ};

/// The most jobs that can run at once.
pub(crate) const MAX_JOBS: usize = config::MAX_JOBS as usize;

/// The most tasks beside them.
const MORE: usize = 16;

/// Whether a task has more steps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Progress {
    /// The task has more to do.
    Again,
    /// The task is finished.
    Done,
}

/// Work that is done in steps.
pub(crate) trait Task: Send {
    /// Does a bounded part of the work.
    fn step(&mut self) -> Progress;
}

/// `None` is finished.
impl<T: Task> Task for Option<T> {
    fn step(&mut self) -> Progress {
        self.as_mut().map_or(Progress::Done, T::step)
    }
}

/// A task, with a lock that is held during a step.
pub(crate) type TaskRef = &'static Lock<dyn Task>;

static QUEUE: Lock<Deque<TaskRef, { MAX_JOBS + MORE }>> = Lock::new(Deque::new());
static UNFINISHED: AtomicUsize = AtomicUsize::new(0);

/// Runs the tasks on all CPUs until all are finished. At most 16 more than [`MAX_JOBS`].
pub(crate) fn run(tasks: impl IntoIterator<Item = TaskRef>) {
    for task in tasks {
        UNFINISHED.fetch_add(1, Ordering::Relaxed);
        enqueue(task);
    }
    smp::run_on_all(work);
}

fn work(_cpu: CpuId) {
    let mut share = HostShare::new();
    while UNFINISHED.load(Ordering::Acquire) > 0 {
        grace_period::note_step();
        share.halt_if_starved();
        // Not in the `match`, which would hold the lock of the queue during the step.
        let next = QUEUE.lock().pop_front();
        match next {
            Some(task) => match task.lock().step() {
                Progress::Again => enqueue(task),
                Progress::Done => {
                    UNFINISHED.fetch_sub(1, Ordering::Release);
                }
            },
            None => SpinThenHalt::relax(),
        }
    }
}

/// The share of host CPU time that this CPU gets, estimated from the ticks that it misses.
///
/// A virtual CPU that the host stops running may hold a lock of the allocator. The other CPUs then
/// spin, which takes even more host time. On such a host it is faster if CPUs halt now and then
/// between steps, when they hold no lock.
struct HostShare {
    since_us: u64,
    ticks: u64,
    starved: bool,
    steps: u32,
}

impl HostShare {
    /// The period over which ticks are counted.
    const WINDOW_US: u64 = 40_000;
    /// Steps from one halt to the next.
    const STEPS: u32 = 4;

    fn new() -> Self {
        Self { since_us: time::now_us(), ticks: ticks(), starved: false, steps: 0 }
    }

    /// Halts, with no lock held, if this CPU missed more than half of its recent ticks.
    fn halt_if_starved(&mut self) {
        let passed = time::now_us().saturating_sub(self.since_us);
        if passed >= Self::WINDOW_US {
            let expected = passed * u64::from(TICK_HZ) / 1_000_000;
            self.starved = (ticks() - self.ticks) * 2 < expected;
            (self.since_us, self.ticks) = (self.since_us + passed, ticks());
        }
        self.steps += 1;
        if self.starved && self.steps.is_multiple_of(Self::STEPS) {
            hlt();
        }
    }
}

fn ticks() -> u64 {
    percpu::own().ticks.load(Ordering::Relaxed)
}

fn enqueue(task: TaskRef) {
    let full = QUEUE.lock().push_back(task).is_err();
    assert!(!full, "more tasks than the run queue holds");
}
