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

use super::MAX_JOBS;
use crate::smp;
use crate::space::lock::{Lock, SpinThenHalt};

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
    while UNFINISHED.load(Ordering::Acquire) > 0 {
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

fn enqueue(task: TaskRef) {
    let full = QUEUE.lock().push_back(task).is_err();
    assert!(!full, "more tasks than the run queue holds");
}
