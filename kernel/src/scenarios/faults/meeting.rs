//! Makes two CPUs meet in the race windows of the historical mistakes.
//!
//! Some of the windows are a few instructions wide: a free has read its pageblock's state and not yet
//! locked the zone. To see them in seconds instead of weeks, a guest frees and
//! allocates where an isolator is at work, and the one waits in its window until the other has done its
//! part, or until its patience is over. Only builds with the `faults` feature have such points.
//!
//! | meeting | the guest | the isolator meanwhile |
//! |---|---|---|
//! | [`Meeting::FreeWhileIsolating`] | has read "not isolated", and waits | isolates |
//! | [`Meeting::FreeWhileLettingGo`] | has read "isolated", and waits | undoes the isolation |
//! | [`Meeting::TakeWhileLettingGo`] | takes large blocks | waits between two pageblocks of its undo |

use core::fmt;
use core::hint;
use core::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};

use pageblock::{Pfn, PfnRange, YieldPoint};
use spin::relax::RelaxStrategy as _;
use x86_64::instructions::interrupts;

use crate::memory::allocator;
use crate::smp::{self, ipi};
use crate::space::lock::SpinThenHalt;
use crate::time;

/// How long one waits for the other at the most. Long, because the other may be a virtual CPU that its
/// host does not run just now; mostly it is over at once.
const PATIENCE_US: u64 = 20_000;

/// What two CPUs do at the same time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Meeting {
    /// A free that saw the pageblock before its isolation.
    FreeWhileIsolating,
    /// A free that saw the pageblock before the undo.
    FreeWhileLettingGo,
    /// An allocation that comes in the middle of an undo.
    TakeWhileLettingGo,
}

impl Meeting {
    /// All of them.
    pub(super) const ALL: [Self; 3] =
        [Self::FreeWhileIsolating, Self::FreeWhileLettingGo, Self::TakeWhileLettingGo];
}

/// How far a meeting is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
enum Stage {
    /// Nobody is invited.
    None,
    /// The guest says where, and waits for the isolator.
    Invited,
    /// The isolator has isolated the place.
    Isolated,
    /// The guest's free is in its window.
    FreeInWindow,
    /// The isolator's undo is in its window.
    UndoInWindow,
    /// Whoever waited may go on.
    Met,
}

static STAGE: AtomicU8 = AtomicU8::new(Stage::None as u8);
/// An index into [`Meeting::ALL`].
static MEETING: AtomicUsize = AtomicUsize::new(0);
/// Where: the first frame and the number of frames.
static PLACE: [AtomicUsize; 2] = [AtomicUsize::new(0), AtomicUsize::new(0)];
/// Meetings that came about, of each kind.
static HELD: [AtomicU64; 3] = [const { AtomicU64::new(0) }; 3];
/// The CPU whose windows are stretched, + 1.
static STRETCHED: AtomicUsize = AtomicUsize::new(0);

/// Meetings that came about since boot, of the kind that there were fewest of.
pub(super) fn held() -> u64 {
    HELD.iter().map(|held| held.load(Ordering::Relaxed)).min().unwrap_or(0)
}

fn reach(stage: Stage) {
    STAGE.store(stage as u8, Ordering::SeqCst);
}

fn is_at(stage: Stage) -> bool {
    STAGE.load(Ordering::SeqCst) == stage as u8
}

fn meeting() -> Meeting {
    Meeting::ALL[MEETING.load(Ordering::SeqCst)]
}

/// Waits where interrupts may be masked. The other one may need an answer of this CPU before it can go on: a drain does.
fn wait_in_window(until: impl Fn() -> bool) {
    let end = time::now_us() + PATIENCE_US;
    while !until() && time::now_us() < end {
        if interrupts::are_enabled() {
            hint::spin_loop();
        } else {
            ipi::serve();
        }
    }
}

/// Waits, and leaves the host's CPU to others meanwhile.
fn wait(until: impl Fn() -> bool) {
    let end = time::now_us() + PATIENCE_US;
    while !until() && time::now_us() < end {
        SpinThenHalt::relax();
    }
}

/// Stretches the windows of meetings from now on.
pub(super) fn stretch() {
    allocator().set_yield_hook(Some(&reached));
}

/// Windows are as long as they are.
pub(super) fn relax() {
    allocator().set_yield_hook(None);
}

/// Says what is stretched, and by how much.
pub(super) struct Stretched;

impl fmt::Display for Stretched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "race windows are stretched, with and without the fault: some frees wait up to {} ms after they have \
             read their pageblock's state, for an isolation to begin or end; some undos as long between two pageblocks",
            PATIENCE_US / 1000
        )
    }
}

fn reached(point: YieldPoint) {
    if STRETCHED.load(Ordering::SeqCst) != smp::current().number() + 1 {
        return;
    }
    let window = match point {
        YieldPoint::FreeHasReadState => Stage::FreeInWindow,
        YieldPoint::UndoBetweenBlocks => Stage::UndoInWindow,
        _ => return,
    };
    reach(window);
    wait_in_window(|| !is_at(window));
    if !is_at(window) {
        HELD[MEETING.load(Ordering::SeqCst)].fetch_add(1, Ordering::Relaxed);
    }
    // Once is enough.
    STRETCHED.store(0, Ordering::SeqCst);
}

/// Stretches the next window on this CPU that `body` comes to.
fn stretched(body: impl FnOnce()) {
    STRETCHED.store(smp::current().number() + 1, Ordering::SeqCst);
    body();
    STRETCHED.store(0, Ordering::SeqCst);
}

/// The guest's part: `act` is the free, or the allocation, that is to happen at `place`.
pub(super) fn be_guest(with: Meeting, place: PfnRange, act: impl FnOnce()) {
    MEETING.store(with as usize, Ordering::SeqCst);
    PLACE[0].store(place.start().number(), Ordering::SeqCst);
    PLACE[1].store(place.len(), Ordering::SeqCst);
    reach(Stage::Invited);
    match with {
        Meeting::FreeWhileIsolating => stretched(act),
        Meeting::FreeWhileLettingGo => {
            wait(|| is_at(Stage::Isolated));
            stretched(act);
        }
        Meeting::TakeWhileLettingGo => {
            wait(|| is_at(Stage::UndoInWindow));
            act();
            reach(Stage::Met);
        }
    }
    reach(Stage::None);
}

/// The isolator's part, if there is a guest: `isolate` is given the place.
pub(super) fn receive_guest<I>(isolate: impl FnOnce(PfnRange) -> I) {
    wait(|| is_at(Stage::Invited) || is_at(Stage::FreeInWindow));
    let with = meeting();
    if with == Meeting::FreeWhileIsolating {
        wait(|| is_at(Stage::FreeInWindow));
    }
    if !is_at(Stage::Invited) && !is_at(Stage::FreeInWindow) {
        return;
    }
    let [start, len] = [0, 1].map(|part: usize| PLACE[part].load(Ordering::SeqCst));
    let isolated = isolate(PfnRange::with_len(Pfn::new(start), len));
    match with {
        Meeting::FreeWhileIsolating => {
            reach(Stage::Met);
            wait(|| !is_at(Stage::Met)); // until the free is over
            drop(isolated);
        }
        Meeting::FreeWhileLettingGo => {
            reach(Stage::Isolated);
            wait(|| is_at(Stage::FreeInWindow));
            drop(isolated);
            reach(Stage::Met);
        }
        Meeting::TakeWhileLettingGo => stretched(|| drop(isolated)),
    }
}
