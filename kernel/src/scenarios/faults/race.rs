//! Forces two CPUs into the race windows of the historical mistakes.
//!
//! Some of the windows are a few instructions wide, for example from the moment a free has read the
//! state of its pageblock until it has locked the zone. To hit them within seconds, an allocation
//! task frees and allocates in a range that an isolation task isolates at the same time, and each
//! waits in its window until the other has done its part, or for at most [`TIMEOUT_US`]. Only
//! builds with the feature `faults` have the yield points in which the waiting is done.
//!
//! | race | the allocation task | the isolation task meanwhile |
//! |---|---|---|
//! | [`Race::FreeDuringIsolate`] | has read "not isolated", and waits | isolates |
//! | [`Race::FreeDuringUndo`] | has read "isolated", and waits | undoes the isolation |
//! | [`Race::AllocDuringUndo`] | allocates large blocks | waits between two pageblocks |

use core::fmt;
use core::hint;
use core::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};

use pageblock::{Pfn, PfnRange, YieldPoint};
use spin::relax::RelaxStrategy as _;
use x86_64::instructions::interrupts;

use crate::memory::allocator;
use crate::smp::{self, ipi};
use crate::sync::SpinThenHalt;
use crate::time;

/// How long one side waits for the other. Most waits end at once, but the other side may be a
/// virtual CPU that the host does not run at the moment.
const TIMEOUT_US: u64 = 20_000;

/// A race between the two tasks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Race {
    /// A free that has read the state of its pageblock before an isolation.
    FreeDuringIsolate,
    /// A free that has read the state of its pageblock before the undo of an isolation.
    FreeDuringUndo,
    /// An allocation in the middle of an undo.
    AllocDuringUndo,
}

impl Race {
    /// All races.
    pub(super) const ALL: [Self; 3] = [Self::FreeDuringIsolate, Self::FreeDuringUndo, Self::AllocDuringUndo];
}

/// The progress of a race.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
enum Stage {
    /// No race is going on.
    Idle,
    /// The allocation task has published the range, and waits for the isolation task.
    Started,
    /// The isolation task has isolated the range.
    Isolated,
    /// The free is in its window.
    FreeInWindow,
    /// The undo is in its window.
    UndoInWindow,
    /// The task in the window may go on.
    Done,
}

static STAGE: AtomicU8 = AtomicU8::new(Stage::Idle as u8);
/// The current race, as an index into [`Race::ALL`].
static RACE: AtomicUsize = AtomicUsize::new(0);
/// The range of the current race: the first frame and the number of frames.
static RANGE: [AtomicUsize; 2] = [AtomicUsize::new(0), AtomicUsize::new(0)];
/// Completed races, by kind.
static COMPLETED: [AtomicU64; 3] = [const { AtomicU64::new(0) }; 3];
/// The number of the CPU whose next window is stretched, + 1; 0 for none.
static STRETCHED_CPU: AtomicUsize = AtomicUsize::new(0);

/// Completed races since boot, of the kind with the fewest.
pub(super) fn completed() -> u64 {
    COMPLETED.iter().map(|count| count.load(Ordering::Relaxed)).min().unwrap_or(0)
}

fn set_stage(stage: Stage) {
    STAGE.store(stage as u8, Ordering::SeqCst);
}

fn is_at(stage: Stage) -> bool {
    STAGE.load(Ordering::SeqCst) == stage as u8
}

/// Waits in a window, where interrupts may be masked. Serves interprocessor requests meanwhile,
/// because the other side may be in a drain that waits for this CPU.
fn wait_in_window(until: impl Fn() -> bool) {
    let end = time::now_us() + TIMEOUT_US;
    while !until() && time::now_us() < end {
        if interrupts::are_enabled() {
            hint::spin_loop();
        } else {
            ipi::serve();
        }
    }
}

/// Waits outside a window, and leaves the host's CPU to others meanwhile.
fn wait(until: impl Fn() -> bool) {
    let end = time::now_us() + TIMEOUT_US;
    while !until() && time::now_us() < end {
        SpinThenHalt::relax();
    }
}

/// Installs the hook that stretches race windows.
pub(super) fn install() {
    allocator().set_yield_hook(Some(&at_yield_point));
}

/// Removes the hook.
pub(super) fn uninstall() {
    allocator().set_yield_hook(None);
}

/// The note that says which windows are stretched, and for how long.
pub(super) struct StretchedNote;

impl fmt::Display for StretchedNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "race windows are stretched, with and without the fault: some frees wait up to {} ms after \
             they have read their pageblock's state, for an isolation to begin or end; some undos as long \
             between two pageblocks",
            TIMEOUT_US / 1000
        )
    }
}

fn at_yield_point(point: YieldPoint) {
    if STRETCHED_CPU.load(Ordering::SeqCst) != smp::current().number() + 1 {
        return;
    }
    let window = match point {
        YieldPoint::FreeHasReadState => Stage::FreeInWindow,
        YieldPoint::UndoBetweenBlocks => Stage::UndoInWindow,
        _ => return,
    };
    set_stage(window);
    wait_in_window(|| !is_at(window));
    if !is_at(window) {
        COMPLETED[RACE.load(Ordering::SeqCst)].fetch_add(1, Ordering::Relaxed);
    }
    // Only the first window of a race is stretched.
    STRETCHED_CPU.store(0, Ordering::SeqCst);
}

/// Runs `body` with the next window on this CPU stretched.
fn stretched(body: impl FnOnce()) {
    STRETCHED_CPU.store(smp::current().number() + 1, Ordering::SeqCst);
    body();
    STRETCHED_CPU.store(0, Ordering::SeqCst);
}

/// The side of the allocation task: `act` is the free or the allocation in `range`.
pub(super) fn run_allocation_side(race: Race, range: PfnRange, act: impl FnOnce()) {
    RACE.store(race as usize, Ordering::SeqCst);
    RANGE[0].store(range.start().number(), Ordering::SeqCst);
    RANGE[1].store(range.len(), Ordering::SeqCst);
    set_stage(Stage::Started);
    match race {
        Race::FreeDuringIsolate => stretched(act),
        Race::FreeDuringUndo => {
            wait(|| is_at(Stage::Isolated));
            stretched(act);
        }
        Race::AllocDuringUndo => {
            wait(|| is_at(Stage::UndoInWindow));
            act();
            set_stage(Stage::Done);
        }
    }
    set_stage(Stage::Idle);
}

/// The side of the isolation task, if a race has started: `isolate` isolates the range of the race.
pub(super) fn run_isolation_side<I>(isolate: impl FnOnce(PfnRange) -> I) {
    wait(|| is_at(Stage::Started) || is_at(Stage::FreeInWindow));
    let race = Race::ALL[RACE.load(Ordering::SeqCst)];
    if race == Race::FreeDuringIsolate {
        wait(|| is_at(Stage::FreeInWindow));
    }
    if !is_at(Stage::Started) && !is_at(Stage::FreeInWindow) {
        return;
    }
    let [start, len] = [0, 1].map(|part: usize| RANGE[part].load(Ordering::SeqCst));
    let isolated = isolate(PfnRange::with_len(Pfn::new(start), len));
    match race {
        Race::FreeDuringIsolate => {
            set_stage(Stage::Done);
            wait(|| !is_at(Stage::Done)); // until the free has returned
            drop(isolated);
        }
        Race::FreeDuringUndo => {
            set_stage(Stage::Isolated);
            wait(|| is_at(Stage::FreeInWindow));
            drop(isolated);
            set_stage(Stage::Done);
        }
        Race::AllocDuringUndo => stretched(|| drop(isolated)),
    }
}
