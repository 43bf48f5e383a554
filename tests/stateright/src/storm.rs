//! Threads run the library, and what each lock hold does must be what a step of the model does.
//!
//! The machine is one of single blocks: a pageblock is one block, as it is one frame in the model.
//! Three threads are the three CPUs, with the tasks of those of the model: all allocate and free,
//! one drains, and one isolates, migrates, takes and undoes. Whenever a thread masks interrupts, and
//! whenever it ends that, the whole machine is looked at, with all other threads out of their lock
//! holds. A pageblock that is not as it was at the last look must have changed as a step of the
//! model changes one; and the counters must be what the pageblocks add up to.
//!
//! The platform is the default one, in which the lists have a lock: in owner-only mode a CPU pushes
//! and pops without masking anything, so that there is nothing to look between. The stores to the
//! gates, and who has which list, cannot be seen. The steps that change no record (those of a drain,
//! and the reads of an owner) are therefore not compared.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};

use pageblock::{
    AllocRequest, AllocatedState, ContigOptions, Faults, Geometry, Migrate, MigrateError, Move, Order, Pfn,
    PfnRange, Platform, YieldPoint,
};

use crate::search::{Changes, every_change};
use crate::state::{CPUS, DRAINER, ISOLATOR};
use crate::support::{Machine, Threads, Watcher, frames, scope, watch_holds};
use crate::view::{Change, Isolation, Seen, View, if_drained};

/// A block is a pageblock.
enum Single {}
impl Geometry for Single {
    const MAX_ORDER: Order = Order::new(1);
    const PAGEBLOCK_ORDER: Order = Order::new(1);
    const DMA_END: Pfn = Pfn::new(16);
    const DMA32_END: Pfn = Pfn::new(48);
}

const ORDER: Order = Single::PAGEBLOCK_ORDER;
const FIRST: usize = Single::DMA32_END.number();
const PAGEBLOCKS: usize = 24;
/// What each CPU does in a run.
const OPERATIONS: usize = 30_000;

fn pageblock(number: usize) -> PfnRange {
    ORDER.block(Pfn::new(FIRST + number * ORDER.pages()))
}

fn number_of(pfn: Pfn) -> usize {
    (pfn.number() - FIRST) / ORDER.pages()
}

/// The machine as it was at the last look, and all that was seen so far.
struct Log {
    last: [(Seen, bool); PAGEBLOCKS],
    /// The pageblocks that the isolator knows to be drained.
    drained: [bool; PAGEBLOCKS],
    holds: u64,
    changes: BTreeMap<Change, u64>,
    /// What no step of the model does.
    wrong: BTreeSet<String>,
}

thread_local! {
    /// How many lock holds this thread is in.
    static DEPTH: Cell<usize> = const { Cell::new(0) };
    /// Whether it is looking at the machine, which takes locks too.
    static LOOKS: Cell<bool> = const { Cell::new(false) };
    /// The pageblock of the block that it frees.
    static FREED: Cell<usize> = const { Cell::new(0) };
    /// Its turn, while it is in a lock hold.
    static TURN: RefCell<Option<MutexGuard<'static, Log>>> = const { RefCell::new(None) };
}

/// Lets one thread at a time hold locks, and looks at the machine before and after each hold.
struct Looker {
    machine: &'static Machine<Single>,
    log: &'static Mutex<Log>,
    model: &'static Changes,
}

impl Watcher for Looker {
    fn begins(&self) {
        if LOOKS.get() {
            return;
        }
        if DEPTH.replace(DEPTH.get() + 1) == 0 {
            let turn = self.log.lock().unwrap();
            TURN.set(Some(turn));
        }
        TURN.with_borrow_mut(|turn| turn.iter_mut().for_each(|log| log.holds += 1));
        self.look();
    }

    fn ended(&self) {
        if LOOKS.get() {
            return;
        }
        self.look();
        DEPTH.set(DEPTH.get() - 1);
        if DEPTH.get() == 0 {
            TURN.set(None);
            // Else the thread would have the next turn, too.
            std::thread::yield_now();
        }
    }
}

impl Looker {
    fn look(&self) {
        LOOKS.set(true);
        TURN.with_borrow_mut(|turn| {
            if let Some(log) = turn {
                self.compare(log);
            }
        });
        LOOKS.set(false);
    }

    fn compare(&self, log: &mut Log) {
        let mut now = log.last;
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
        for ((last, now), drained) in log.last.iter().zip(&now).zip(log.drained) {
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
        log.last = now;
        let pages =
            |isolated| ORDER.pages() * now.iter().filter(|now| **now == (Seen::Free, isolated)).count();
        let counted = [self.machine.free_count(), self.machine.isolated_count()];
        if counted != [pages(false), pages(true)] {
            log.wrong.insert("the counters are not what the pageblocks add up to".to_owned());
        }
    }
}

/// Where each movable block is, if there is one: the page table that a migration updates.
struct Slots {
    places: Vec<Mutex<Option<Pfn>>>,
    log: &'static Mutex<Log>,
    asked: &'static Asked,
}

/// The pageblock that the isolator is asked to isolate, by a CPU that waits for that in a free.
#[derive(Default)]
struct Asked(Mutex<Option<usize>>);

impl Asked {
    fn get(&self) -> Option<usize> {
        *self.0.lock().unwrap()
    }

    fn answer(&self) {
        *self.0.lock().unwrap() = None;
    }

    /// Waits until the pageblock is isolated and drained, but not for ever: the isolator may be done.
    fn wait_for(&self, number: usize) {
        *self.0.lock().unwrap() = Some(number);
        for _ in 0..1000 {
            if self.get() != Some(number) {
                return;
            }
            std::thread::yield_now();
        }
        self.answer();
    }
}

/// The owners, as they are asked while this pageblock is evacuated.
struct Owners<'a>(&'a Slots, usize);

impl Migrate for Owners<'_> {
    fn migrate(&self, page: Move) -> Result<(), MigrateError> {
        // Nothing is migrated before the drain has ended.
        self.0.log.lock().unwrap().drained[self.1] = true;
        let mut place = self.0.places[page.owner as usize - 1].lock().unwrap();
        match *place {
            // Some owners refuse.
            Some(pfn) if pfn == page.from && page.owner.is_multiple_of(3) => Err(MigrateError::Busy),
            Some(pfn) if pfn == page.from => {
                *place = Some(page.to);
                Ok(())
            }
            _ => Err(MigrateError::Gone),
        }
    }
}

struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % n
    }
}

/// Allocates or frees the block of some slot.
fn use_memory(machine: &Machine<Single>, slots: &Slots, random: &mut Random) {
    let index = random.below(slots.places.len());
    let mut place = slots.places[index].lock().unwrap();
    if let Some(pfn) = place.take() {
        // A migration may have begun; it is told that the block is gone.
        drop(place);
        FREED.set(number_of(pfn));
        machine.free_pages(pfn, ORDER).unwrap();
    } else {
        let request = AllocRequest::movable().order(ORDER).owner(index as u64 + 1);
        *place = machine.alloc_pages(request).ok();
    }
}

/// Isolates a pageblock, or evacuates and takes it.
fn isolate(machine: &Machine<Single>, slots: &Slots, random: &mut Random) {
    let asked = slots.asked.get();
    let number = asked.unwrap_or(random.below(PAGEBLOCKS));
    let know = |drained| slots.log.lock().unwrap().drained[number] = drained;
    if asked.is_some() || random.below(4) == 0 {
        if let Ok(isolated) = machine.isolate(pageblock(number)) {
            know(true);
            slots.asked.answer();
            (0..random.below(4)).for_each(|_| std::thread::yield_now());
            drop(isolated);
        }
    } else {
        let options = ContigOptions::default().attempts(2);
        drop(machine.alloc_contig(pageblock(number), &Owners(slots, number), options));
    }
    know(false);
}

/// Runs the three CPUs until each has done its operations, or until something is wrong.
fn storm(faults: Faults, operations: usize) -> MutexGuard<'static, Log> {
    let memory = frames(&[(FIRST, FIRST + PAGEBLOCKS * ORDER.pages())]).no_reserve().cpus(CPUS);
    let machine: &'static Machine<Single> = Box::leak(Box::new(memory.build_as()));
    machine.set_faults(faults);
    // The isolator goes on where a fault has read what it should read later.
    let asked: &'static Asked = Box::leak(Box::default());
    let read = match faults {
        Faults::STATE_READ_BEFORE_PCP_LOCK => YieldPoint::FreeBeforePcpLock,
        _ => YieldPoint::FreeHasReadState,
    };
    let wait = move |point| {
        let isolates = machine.platform().current_cpu().number() == ISOLATOR;
        if point == read && !isolates {
            asked.wait_for(FREED.get());
        }
    };
    if !faults.is_empty() {
        machine.set_yield_hook(Some(Box::leak(Box::new(wait))));
    }
    let log: &'static Mutex<Log> = Box::leak(Box::new(Mutex::new(Log {
        last: [(Seen::Free, false); PAGEBLOCKS],
        drained: [false; PAGEBLOCKS],
        holds: 0,
        changes: BTreeMap::new(),
        wrong: BTreeSet::new(),
    })));
    let looker: &'static Looker = Box::leak(Box::new(Looker { machine, log, model: every_change() }));
    let slots = Slots { places: (0..PAGEBLOCKS).map(|_| Mutex::default()).collect(), log, asked };
    let wrong = AtomicBool::new(false);
    scope(|scope| {
        for cpu in 0..CPUS {
            let (slots, wrong) = (&slots, &wrong);
            scope.spawn(move || {
                Threads::become_cpu(cpu);
                watch_holds(looker);
                let mut random = Random(cpu as u64 + 1);
                for _ in 0..operations {
                    match (cpu, random.below(8)) {
                        (DRAINER, 0) => machine.drain_all(),
                        (ISOLATOR, 0..3) => isolate(machine, slots, &mut random),
                        _ => use_memory(machine, slots, &mut random),
                    }
                    if !log.lock().unwrap().wrong.is_empty() {
                        wrong.store(true, Ordering::Relaxed);
                    }
                    if wrong.load(Ordering::Relaxed) {
                        break;
                    }
                }
            });
        }
    });
    log.lock().unwrap()
}

#[test]
fn each_lock_hold_of_a_storm_is_a_step_of_the_model() {
    let model = every_change();
    let log = storm(Faults::empty(), OPERATIONS);
    assert_eq!(log.wrong, BTreeSet::new(), "what no step of the model does");
    println!(
        "{} lock holds; {} of {} changes of a pageblock that steps of the model make",
        log.holds,
        log.changes.len(),
        model.len()
    );
    for ((before, after), steps) in model {
        let times = log.changes.get(&(*before, *after)).copied().unwrap_or(0);
        let names: Vec<String> = steps.iter().map(|step| step.name()).collect();
        println!("  {before:?} -> {after:?}: {times} times ({})", names.join(", "));
    }
    assert!(4 * log.changes.len() >= 3 * model.len(), "the storm reaches too little of the model");
}

/// The comparison finds what it is for. A block that is lost is not: to stay allocated is a step of
/// the model, too.
#[test]
fn a_lock_hold_of_a_broken_library_is_no_step_of_the_model() {
    for (name, fault) in [
        ("cached-type-at-spill", Faults::CACHED_TYPE_AT_SPILL),
        ("stale-normal", Faults::STALE_NORMAL),
        ("w2-window", Faults::STATE_READ_BEFORE_PCP_LOCK),
    ] {
        let log = storm(fault, OPERATIONS);
        println!("{name}, after {} lock holds: {:?}", log.holds, log.wrong);
        assert!(!log.wrong.is_empty(), "{name} was not found");
    }
}
