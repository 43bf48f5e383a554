//! Threads run the library, and what each lock hold does must be what a step of the model does.
//!
//! The machine is one of single blocks: a pageblock is one block, as it is one frame in the model.
//! Three threads are the three CPUs, with the tasks of those of the model: all allocate and free,
//! one drains, and one isolates, migrates, takes and undoes. Whenever a thread masks interrupts,
//! and whenever it ends that, the whole machine is looked at, with all other threads out of their
//! lock holds. A pageblock that is not as it was at the last look must have changed as a step of
//! the model changes one; and the counters must be what the pageblocks add up to.
//!
//! This is done in the default mode, in which a CPU uses its lists with their lock held and
//! interrupts masked, and in owner-only mode, in which it masks nothing. There a CPU takes its turn
//! when it asks for its number, before it enters its gate, and the look is at the end of its call:
//! until then no other CPU is in a lock hold or in its gate. Drains wait for owners between lock
//! holds. The stores to the gates, and who has which list, cannot be seen. The steps that change no
//! record (those of a drain, and the reads of an owner) are therefore not compared.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};

use pageblock::{
    AllocRequest, ContigOptions, Faults, Migrate, MigrateError, Move, Pfn, Platform, YieldPoint,
};
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::looker::{
    FIRST, FREED, LOOKER, Log, Looker, Machine, ORDER, OwnerOnly, end_turn, number_of, pageblock,
};
use crate::search::every_change;
use crate::state::{CPUS, DRAINER, ISOLATOR};
use crate::support::{Threads, frames, scope, watch_holds};
use crate::view::{Change, Isolation, Seen};

/// A machine whose state is looked at fast, and what each CPU does on it.
const SMALL: Amount = Amount { pageblocks: 24, operations: 30_000 };
/// The smallest machine whose pcplists are refilled with several blocks of [`ORDER`].
const LARGE: Amount = Amount { pageblocks: 12_288, operations: 60 };

/// The pageblocks of a machine, and the operations of each CPU.
#[derive(Clone, Copy)]
struct Amount {
    pageblocks: usize,
    operations: usize,
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

    /// Waits until the pageblock is isolated and drained, but not for ever: the isolator may have
    /// ended.
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
        end_turn();
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

/// Allocates or frees the block of some slot.
fn use_memory<P: Platform>(machine: &Machine<P>, slots: &Slots, random: &mut SmallRng) {
    let index = random.random_range(0..slots.places.len());
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
fn isolate<P: Platform>(machine: &Machine<P>, slots: &Slots, random: &mut SmallRng) {
    let asked = slots.asked.get();
    let number = asked.unwrap_or(random.random_range(0..slots.places.len()));
    let know = |drained| {
        end_turn();
        slots.log.lock().unwrap().drained[number] = drained;
    };
    if asked.is_some() || random.random_range(0..4) == 0 {
        if let Ok(isolated) = machine.isolate(pageblock(number)) {
            know(true);
            slots.asked.answer();
            (0..random.random_range(0..4)).for_each(|_| std::thread::yield_now());
            drop(isolated);
        }
    } else {
        let options = ContigOptions::default().attempts(2);
        drop(machine.alloc_contig(pageblock(number), &Owners(slots, number), options));
    }
    know(false);
}

/// Runs the three CPUs until each has done its operations, or until something is wrong.
fn storm<P: Platform + Sync + 'static>(
    platform: P,
    faults: Faults,
    amount: Amount,
) -> MutexGuard<'static, Log> {
    let Amount { pageblocks, operations } = amount;
    let memory = frames(&[(FIRST, FIRST + pageblocks * ORDER.pages())]).no_reserve().cpus(CPUS);
    let machine: &'static Machine<P> = Box::leak(Box::new(memory.build_on(platform)));
    machine.set_faults(faults);
    // The isolator goes on where a fault has read what it should read later.
    let asked: &'static Asked = Box::leak(Box::default());
    let read = match faults {
        Faults::STATE_READ_BEFORE_PCP_LOCK => YieldPoint::FreeBeforePcpLock,
        _ => YieldPoint::FreeHasReadState,
    };
    let wait = move |point| {
        let isolates = Threads.current_cpu().number() == ISOLATOR;
        // Neither of the two points is inside a gate.
        end_turn();
        if point == read && !isolates {
            asked.wait_for(FREED.get());
        }
    };
    if !faults.is_empty() {
        machine.set_yield_hook(Some(Box::leak(Box::new(wait))));
    }
    let log: &'static Mutex<Log> = Box::leak(Box::new(Mutex::new(Log {
        last: vec![(Seen::Free, false); pageblocks],
        drained: vec![false; pageblocks],
        holds: 0,
        changes: BTreeMap::new(),
        wrong: BTreeSet::new(),
    })));
    let looker: &'static Looker<P> = Box::leak(Box::new(Looker { machine, log, model: every_change() }));
    let slots = Slots { places: (0..pageblocks).map(|_| Mutex::default()).collect(), log, asked };
    let wrong = AtomicBool::new(false);
    scope(|scope| {
        for cpu in 0..CPUS {
            let (slots, wrong) = (&slots, &wrong);
            scope.spawn(move || {
                Threads::become_cpu(cpu);
                watch_holds(looker);
                LOOKER.set(Some(looker));
                let mut random = SmallRng::seed_from_u64(cpu as u64 + 1);
                for _ in 0..operations {
                    match (cpu, random.random_range(0..8)) {
                        (DRAINER, 0) => machine.drain_all(),
                        (ISOLATOR, 0..3) => isolate(machine, slots, &mut random),
                        _ => use_memory(machine, slots, &mut random),
                    }
                    end_turn();
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

/// The change that no look can tell, and why.
const UNSEEN: Change = ((Seen::Allocated, Isolation::Marked), (Seen::Cached, Isolation::Marked));
const WHY: &str = "a look would have to come between the read of the slot by a free and its push";

/// Asserts that each change that was seen is one of the model, and prints how often each was seen
/// on the small machine and on the large one.
fn compare_with_model(mode: &str, small: &Log, large: &Log) {
    let model = every_change();
    for log in [small, large] {
        assert_eq!(log.wrong, BTreeSet::new(), "what no step of the model does");
    }
    let times = |change| [small, large].map(|log| log.changes.get(change).copied().unwrap_or(0));
    let seen = model.keys().filter(|change| times(change) != [0, 0]).count();
    let holds = small.holds + large.holds;
    let mut text = format!(
        "{mode}: {holds} lock holds; {seen} of {} changes of a pageblock by the model\n",
        model.len()
    );
    for (change, steps) in model {
        let names: Vec<String> = steps.iter().map(|step| step.name()).collect();
        let ([small, large], (before, after)) = (times(change), change);
        let why = if *change == UNSEEN { WHY } else { "" };
        text += &format!("  {before:?} -> {after:?}: {small} + {large} ({}) {why}\n", names.join(", "));
    }
    println!("{text}");
    assert_eq!(times(&UNSEEN), [0, 0], "it can be seen");
    assert!(4 * seen >= 3 * model.len(), "the storm reaches too little of the model");
}

#[test]
fn each_lock_hold_of_a_storm_is_a_step_of_the_model() {
    let small = storm(Threads, Faults::empty(), SMALL);
    let large = storm(Threads, Faults::empty(), LARGE);
    compare_with_model("pcplists with locks", &small, &large);
}

#[test]
fn each_call_of_an_owner_in_a_storm_is_made_of_steps_of_the_model() {
    let small = storm(OwnerOnly, Faults::empty(), SMALL);
    let large = storm(OwnerOnly, Faults::empty(), LARGE);
    compare_with_model("owner-only pcplists", &small, &large);
}

/// The comparison finds what it is for. A block that is lost is not: to stay allocated is a step of
/// the model, too.
#[test]
fn a_lock_hold_of_a_broken_library_is_no_step_of_the_model() {
    fn is_found<P: Platform + Sync + 'static>(platform: P, name: &str, fault: Faults) {
        let log = storm(platform, fault, SMALL);
        println!("{name}, after {} lock holds: {:?}", log.holds, log.wrong);
        assert!(!log.wrong.is_empty(), "{name} was not found");
    }
    for (name, fault) in [
        ("cached-type-at-spill", Faults::CACHED_TYPE_AT_SPILL),
        ("stale-normal", Faults::STALE_NORMAL),
        ("w2-window", Faults::STATE_READ_BEFORE_PCP_LOCK),
    ] {
        is_found(Threads, name, fault);
        is_found(OwnerOnly, name, fault);
    }
}
