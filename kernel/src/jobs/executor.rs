//! One run queue for all CPUs, and cooperative tasks in it.
//!
//! A task is stepped, goes to the end of the queue, and is next picked by any CPU. No step holds a
//! lock or an active address space across its end, so the order of steps is free and one CPU is
//! enough. Neighbours: [`job`](super::job) and the scenarios' drivers are the tasks; `smp` runs the
//! worker on every CPU.

use core::sync::atomic::{AtomicUsize, Ordering};

use heapless::Deque;
use pageblock::CpuId;
use spin::relax::RelaxStrategy as _;
use x86_64::instructions::hlt;

use super::MAX_JOBS;
use crate::smp::{self, percpu};
use crate::space::lock::{Lock, SpinThenHalt};
use crate::time::{self, TICK_HZ};

/// Whether a task wants another step.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Progress {
    /// There is more to do.
    Again,
    /// The task is finished.
    Done,
}

/// Something that is worked on in steps.
pub(crate) trait Task: Send {
    /// Does a bounded piece of the work.
    fn step(&mut self) -> Progress;
}

/// Nothing is done at once.
impl<T: Task> Task for Option<T> {
    fn step(&mut self) -> Progress {
        self.as_mut().map_or(Progress::Done, T::step)
    }
}

/// A task and the lock that the CPU stepping it holds.
pub(crate) type TaskRef = &'static Lock<dyn Task>;

static QUEUE: Lock<Deque<TaskRef, { MAX_JOBS + 8 }>> = Lock::new(Deque::new());
static UNFINISHED: AtomicUsize = AtomicUsize::new(0);

/// Runs the tasks on all CPUs until every one is done. At most [`MAX_JOBS`] and a few.
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
        share.rest_if_starved();
        // Not in the `match`: the queue's lock would be held during the step.
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

/// How much of the host's time this CPU gets, by the timer interrupts that it misses.
///
/// A virtual CPU that its host does not run for a while may hold the allocator's locks just then, and
/// all others spin for it, which takes yet more of the host's time. Where that is so, CPUs do better to
/// rest a little between steps, when they hold nothing.
struct HostShare {
    since_us: u64,
    ticks: u64,
    starved: bool,
    steps: u32,
}

impl HostShare {
    /// Over how long ticks are counted.
    const WINDOW_US: u64 = 40_000;
    /// Steps from one rest to the next.
    const STEPS: u32 = 4;

    fn new() -> Self {
        Self { since_us: time::now_us(), ticks: ticks(), starved: false, steps: 0 }
    }

    /// Sleeps until the next interrupt if this CPU missed more than half of its ticks lately. To be
    /// called with no lock held.
    fn rest_if_starved(&mut self) {
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
