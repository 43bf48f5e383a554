//! Looks at a machine before and after each lock hold, while all others are out of theirs.
//!
//! Threads take turns: whoever is in a lock hold has one, and so has an owner that may be inside
//! its gate. A pageblock that is not as it was at the last look must have changed as a step of the
//! model changes one; and the counters must be what the pageblocks add up to.

#![expect(unsafe_code, reason = "promises that the barrier is one, and that CPU numbers are right")]

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, Once};

use pageblock::{AllocatedState, CpuId, Geometry, Order, PageAllocator, PcpAccess, Pfn, PfnRange, Platform};
use rustix::thread::{MembarrierCommand, membarrier};

use crate::search::Changes;
use crate::state::CPUS;
use crate::support::{Threads, Watcher};
use crate::view::{Change, Isolation, Seen, View, if_drained};

/// A block is a pageblock.
pub(crate) enum Single {}
impl Geometry for Single {
    const MAX_ORDER: Order = Order::new(1);
    const PAGEBLOCK_ORDER: Order = Order::new(1);
    const DMA_END: Pfn = Pfn::new(16);
    const DMA32_END: Pfn = Pfn::new(48);
}

pub(crate) const ORDER: Order = Single::PAGEBLOCK_ORDER;
pub(crate) const FIRST: usize = Single::DMA32_END.number();

/// CPUs without a lock: [`PcpAccess::owner_only`].
#[derive(Debug)]
pub(crate) struct OwnerOnly;

impl Platform for OwnerOnly {
    // SAFETY: each thread is a CPU of its own below `CPUS` before it calls the allocator, no thread
    // is interrupted by code that calls it, and `membarrier` is a barrier on every thread of the
    // process.
    const PCP_ACCESS: PcpAccess<Self> = unsafe { PcpAccess::owner_only(|_| CPUS) };

    fn current_cpu(&self) -> CpuId {
        keep_turn();
        Threads.current_cpu()
    }

    fn mask_interrupts(&self) -> usize {
        Threads.mask_interrupts()
    }

    fn restore_interrupts(&self, previous: usize) {
        Threads.restore_interrupts(previous);
    }

    fn barrier_on_every_cpu(&self) {
        static REGISTERED: Once = Once::new();
        REGISTERED.call_once(|| membarrier(MembarrierCommand::RegisterPrivateExpedited).unwrap());
        membarrier(MembarrierCommand::PrivateExpedited).unwrap();
    }
}

pub(crate) type Machine<P> = PageAllocator<'static, P, Single>;

pub(crate) fn pageblock(number: usize) -> PfnRange {
    ORDER.block(Pfn::new(FIRST + number * ORDER.pages()))
}

pub(crate) fn number_of(pfn: Pfn) -> usize {
    (pfn.number() - FIRST) / ORDER.pages()
}

/// The machine as it was at the last look, and all that was seen so far.
pub(crate) struct Log {
    pub(crate) last: Vec<(Seen, bool)>,
    /// The pageblocks that the isolator knows to be drained.
    pub(crate) drained: Vec<bool>,
    pub(crate) holds: u64,
    pub(crate) changes: BTreeMap<Change, u64>,
    /// What no step of the model does.
    pub(crate) wrong: BTreeSet<String>,
}

thread_local! {
    /// How many lock holds this thread is in.
    static DEPTH: Cell<usize> = const { Cell::new(0) };
    /// Whether it is looking at the machine, which takes locks too.
    static LOOKS: Cell<bool> = const { Cell::new(false) };
    /// The pageblock of the block that it frees.
    pub(crate) static FREED: Cell<usize> = const { Cell::new(0) };
    /// Its turn, while it is in a lock hold or may be inside its gate.
    static TURN: RefCell<Option<MutexGuard<'static, Log>>> = const { RefCell::new(None) };
    /// Whether it may be inside its gate, and keeps its turn at the end of a lock hold.
    static KEEPS_TURN: Cell<bool> = const { Cell::new(false) };
    /// The machine that it runs.
    pub(crate) static LOOKER: Cell<Option<&'static dyn Turns>> = const { Cell::new(None) };
}

/// A looker, of whatever platform.
pub(crate) trait Turns {
    fn takes_turn(&self);
    fn look(&self);
}

/// This CPU is about to enter its gate. Whoever is inside has a turn, so that nobody with a turn
/// waits for it.
fn keep_turn() {
    if !LOOKS.get()
        && let Some(looker) = LOOKER.get()
    {
        looker.takes_turn();
        KEEPS_TURN.set(true);
    }
}

/// This CPU is outside of its gate and of lock holds.
pub(crate) fn end_turn() {
    if KEEPS_TURN.replace(false)
        && let Some(looker) = LOOKER.get()
    {
        looker.look();
        TURN.set(None);
        std::thread::yield_now();
    }
}

/// Lets one thread at a time hold locks, and looks at the machine before and after each hold.
pub(crate) struct Looker<P: Platform + 'static> {
    pub(crate) machine: &'static Machine<P>,
    pub(crate) log: &'static Mutex<Log>,
    pub(crate) model: &'static Changes,
}

impl<P: Platform> Watcher for Looker<P> {
    fn begins(&self) {
        if LOOKS.get() {
            return;
        }
        DEPTH.set(DEPTH.get() + 1);
        self.takes_turn();
        TURN.with_borrow_mut(|turn| turn.iter_mut().for_each(|log| log.holds += 1));
        self.look();
    }

    fn ended(&self) {
        if LOOKS.get() {
            return;
        }
        self.look();
        DEPTH.set(DEPTH.get() - 1);
        if DEPTH.get() == 0 && !KEEPS_TURN.get() {
            TURN.set(None);
            // Else the thread would have the next turn, too.
            std::thread::yield_now();
        }
    }
}

impl<P: Platform> Turns for Looker<P> {
    fn takes_turn(&self) {
        if TURN.with_borrow(Option::is_none) {
            let turn = self.log.lock().unwrap();
            TURN.set(Some(turn));
        }
    }

    fn look(&self) {
        LOOKS.set(true);
        TURN.with_borrow_mut(|turn| {
            if let Some(log) = turn {
                self.compare(log);
            }
        });
        LOOKS.set(false);
    }
}

impl<P: Platform> Looker<P> {
    fn compare(&self, log: &mut Log) {
        let mut now = log.last.clone();
        for info in self.machine.pageblocks() {
            let seen = match (info.free, info.cached) {
                (0, 0) => Seen::Migrating,
                (0, _) => Seen::Cached,
                _ => Seen::Free,
            };
            now[number_of(info.range.start())] = (seen, info.isolated);
        }
        for block in self.machine.allocated_blocks() {
            now[number_of(block.pfn)].0 = match block.state {
                AllocatedState::InUse => Seen::Allocated,
                AllocatedState::Contig => Seen::Contig,
                _ => Seen::Migrating,
            };
        }
        for ((last, now), &drained) in log.last.iter().zip(&now).zip(&log.drained) {
            if last == now {
                continue;
            }
            let view = |&(seen, isolated): &(Seen, bool)| -> View {
                let isolation = match (isolated, drained) {
                    (false, _) => Isolation::No,
                    (true, false) => Isolation::Marked,
                    (true, true) => Isolation::Drained,
                };
                (seen, isolation)
            };
            let change = (view(last), view(now));
            if change.0 != change.1 {
                // The isolator notes that the drain has ended when it has a chance to.
                let known = [change, if_drained(change)].into_iter().find(|c| self.model.contains_key(c));
                match known {
                    Some(change) => *log.changes.entry(change).or_default() += 1,
                    None => drop(log.wrong.insert(format!("{:?} became {:?}", change.0, change.1))),
                }
            }
        }
        let pages =
            |isolated| ORDER.pages() * now.iter().filter(|now| **now == (Seen::Free, isolated)).count();
        let counted = [self.machine.free_count(), self.machine.isolated_count()];
        if counted != [pages(false), pages(true)] {
            log.wrong.insert("the counters are not what the pageblocks add up to".to_owned());
        }
        log.last = now;
    }
}
