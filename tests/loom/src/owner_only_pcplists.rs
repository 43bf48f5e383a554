//! CPUs use their pcplists without a lock, and another CPU drains them ([`PcpAccess::owner_only`]).
//!
//! | model | broken by | how |
//! |---|---|---|
//! | a free that opens a list against an isolation | no barrier on the owner's CPU | W2: a page stays on a pcplist |
//! | a free against an isolation | no barrier on the owner's CPU | W2: a page stays on a pcplist |
//! | a pair against a drain | no barrier on the owner's CPU | both are inside at once |
//! | a free against a drain | no barrier on the owner's CPU | as above |
//! | a free against a bad frame | no barrier on the owner's CPU | the mark is overwritten |
//!
//! The barrier on every CPU is what it is in a kernel: a call that interrupts the other CPU,
//! anywhere between two accesses of the gate, and has it execute a fence there. Nothing else orders
//! the owner's accesses: there is no fence in its way.

#![expect(unsafe_code, reason = "promises that a thread is a CPU")]

use std::fmt::Debug;
use std::marker::PhantomData;
use std::sync::Arc;

use loom::sync::atomic::{AtomicBool, AtomicU32, Ordering, fence};
use loom::thread::{JoinHandle, yield_now};
use pageblock::{AllocRequest, ContigOptions, CpuId, Faults, NoMigration, Order, PcpAccess, Pfn, Platform};

use crate::model::{Cpus, Machine, Model, as_cpu, assert_not_hidden, cpu, frames, this_cpu};

const MOST_CPUS: usize = 2;

/// What reaches a CPU from outside.
struct Line {
    /// Calls that it was sent.
    sent: AtomicU32,
    /// Of these, answered.
    answered: AtomicU32,
    /// Whether it executes anything. A CPU that does not has executed a fence when it stopped.
    running: AtomicBool,
}

loom::lazy_static! {
    static ref LINES: [Line; MOST_CPUS] = std::array::from_fn(|_| Line {
        sent: AtomicU32::new(0),
        answered: AtomicU32::new(0),
        running: AtomicBool::new(false),
    });
}

/// Answers a call from another CPU, where an interrupt may come.
///
/// Whether the CPU sees the call here or later is up to the model.
fn interrupt() {
    let line = &LINES[this_cpu()];
    let sent = line.sent.load(Ordering::Relaxed);
    if sent != line.answered.load(Ordering::Relaxed) {
        fence(Ordering::SeqCst);
        line.answered.store(sent, Ordering::Relaxed);
    }
}

/// The barrier as a kernel makes it.
trait Barrier: Debug + Default + Send + Sync + 'static {
    fn on_every_cpu();
}

/// By calling each.
#[derive(Debug, Default)]
struct Called;
impl Barrier for Called {
    fn on_every_cpu() {
        fence(Ordering::SeqCst);
        for line in LINES.iter().enumerate().filter(|(cpu, _)| *cpu != this_cpu()).map(|(_, line)| line) {
            let call = line.sent.fetch_add(1, Ordering::Relaxed) + 1;
            while line.running.load(Ordering::Acquire) && line.answered.load(Ordering::Relaxed) < call {
                interrupt(); // whoever waits goes on answering
                yield_now();
            }
        }
        fence(Ordering::SeqCst);
    }
}

/// Of the CPU that asks alone: the others are forgotten.
#[derive(Debug, Default)]
struct Forgotten;
impl Barrier for Forgotten {
    fn on_every_cpu() {
        fence(Ordering::SeqCst);
    }
}

#[derive(Debug, Default)]
struct OwnerOnly<B, const CPUS: usize>(PhantomData<B>);

impl<B: Barrier, const CPUS: usize> Platform for OwnerOnly<B, CPUS> {
    // SAFETY: each thread is a CPU of its own number for all its life, and `B` is the barrier, but
    // where a model is to fail.
    const PCP_ACCESS: PcpAccess<Self> = unsafe { PcpAccess::owner_only(|_| CPUS) };

    fn current_cpu(&self) -> CpuId {
        CpuId::new(this_cpu())
    }

    fn barrier_on_every_cpu(&self) {
        B::on_every_cpu();
    }
}

impl<B: Barrier, const CPUS: usize> Cpus for OwnerOnly<B, CPUS> {
    const COUNT: usize = CPUS;

    fn interrupt() {
        interrupt();
    }
}

type Of<B, const CPUS: usize> = Machine<OwnerOnly<B, CPUS>>;

/// Four frames for each CPU, so that each list may hold a page. All are owned but these.
fn machine<B: Barrier, const CPUS: usize>(free: impl Iterator<Item = usize>) -> Arc<Of<B, CPUS>> {
    Machine::owned(4 * CPUS, Order::ZERO, &free.collect::<Vec<_>>())
}

/// Frames 0 to 3 are owned, but for frame 0, which is on the list of CPU 1, and fills it.
fn one_at_hand<B: Barrier>() -> Arc<Of<B, 2>> {
    let machine = machine(4..8);
    as_cpu(1, || machine.free_pages(Pfn::new(0), Order::ZERO).unwrap());
    machine
}

/// Starts CPUs 1, 2 and so on, one for each work, and plays CPU 0. Returns when all are done.
fn play<M: Send + Sync + 'static>(machine: &Arc<M>, others: &[fn(&M)], first: impl FnOnce()) {
    for line in &LINES[..=others.len()] {
        line.running.store(true, Ordering::Relaxed);
    }
    let start = |(number, work): (usize, &fn(&M))| -> JoinHandle<()> {
        let (machine, work) = (machine.clone(), *work);
        cpu(number, move || {
            work(&machine);
            stop();
        })
    };
    let others: Vec<_> = (1..).zip(others).map(start).collect();
    first();
    stop();
    for other in others {
        other.join().unwrap();
    }
}

/// This CPU executes nothing any more.
fn stop() {
    fence(Ordering::SeqCst);
    LINES[this_cpu()].running.store(false, Ordering::Release);
}

fn allocate_and_free<P: Cpus>(machine: &Machine<P>) {
    let pfn = machine.alloc_pages(AllocRequest::movable()).unwrap();
    machine.free_pages(pfn, Order::ZERO).unwrap();
}

/// CPU 1 frees page 0 while CPU 0 isolates its pageblock, of which page 1 is free.
///
/// The list of CPU 1 is open and empty, so that its free takes the fast path.
const fn free_against_isolation<B: Barrier>() -> Model<OwnerOnly<B, 2>> {
    Model {
        machine: || {
            let machine = machine(2..8);
            as_cpu(1, || machine.free_pages(Pfn::new(1), Order::ZERO).unwrap());
            let page = as_cpu(1, || machine.alloc_pages(AllocRequest::movable()).unwrap());
            machine.free_pages(page, Order::ZERO).unwrap();
            machine
        },
        concurrently: |machine| {
            let free = |machine: &Of<B, 2>| machine.free_pages(Pfn::new(0), Order::ZERO).unwrap();
            play(machine, &[free], || {
                let mut isolated = machine.isolate(frames(0, 2)).unwrap();
                assert_not_hidden(&mut isolated);
            });
        },
        preemptions: Some(3),
    }
}

/// CPU 1 frees page 0, which turns bad. A free to a list stores the state of the page without
/// looking whether it has changed since it was read.
const fn free_against_bad_frame<B: Barrier>() -> Model<OwnerOnly<B, 2>> {
    Model {
        machine: || machine(1..8),
        concurrently: |machine| {
            let free = |machine: &Of<B, 2>| machine.free_pages(Pfn::new(0), Order::ZERO).unwrap();
            play(machine, &[free], || {
                let options = ContigOptions::default().attempts(1);
                let _ = machine
                    .soft_offline_page(Pfn::new(0), &NoMigration, options)
                    .unwrap_or_else(|error| panic!("{error}"));
            });
            assert_eq!(machine.meminfo().hwpoisoned, 1, "a bad frame is lost");
        },
        preemptions: Some(3),
    }
}

/// The same while the lists of CPU 1 are closed, so that its free opens one, and the drain of the
/// isolation must not pass over them.
const fn opening_against_isolation<B: Barrier>() -> Model<OwnerOnly<B, 2>> {
    Model { machine: || machine(1..8), ..free_against_isolation::<B>() }
}

/// CPU 1 takes a page from its list and puts it back, while CPU 0 drains.
const fn pair_against_drain<B: Barrier>() -> Model<OwnerOnly<B, 2>> {
    Model {
        machine: one_at_hand,
        concurrently: |machine| {
            play(machine, &[allocate_and_free], || machine.drain_all());
            give_back(machine, 1);
        },
        preemptions: Some(2),
    }
}

/// CPU 1, whose list is full, frees another page while CPU 0 drains.
///
/// The free takes the zone's lock, unless the drain has made room.
const fn free_against_drain<B: Barrier>() -> Model<OwnerOnly<B, 2>> {
    Model {
        machine: one_at_hand,
        concurrently: |machine| {
            let free = |machine: &Of<B, 2>| machine.free_pages(Pfn::new(1), Order::ZERO).unwrap();
            play(machine, &[free], || machine.drain_all());
            give_back(machine, 2);
        },
        preemptions: Some(3),
    }
}

/// Frees the first pages of the machine, which are owned, from this one on.
fn give_back<P: Cpus>(machine: &Machine<P>, from: usize) {
    for page in from..4 {
        machine.free_pages(Pfn::new(page), Order::ZERO).unwrap();
    }
}

#[test]
fn no_free_hides_from_an_isolation() {
    free_against_isolation::<Called>().holds();
}

#[test]
fn no_free_hides_from_a_bad_frame() {
    free_against_bad_frame::<Called>().holds();
}

#[test]
fn without_the_barrier_a_free_hides_from_a_bad_frame() {
    free_against_bad_frame::<Forgotten>().fails_with(Faults::empty(), "a bad frame is lost");
}

#[test]
fn no_free_hides_from_an_isolation_in_a_list_that_it_opens() {
    opening_against_isolation::<Called>().holds();
}

#[test]
fn without_the_barrier_a_free_hides_in_a_list_that_it_opens() {
    opening_against_isolation::<Forgotten>().fails_with(Faults::empty(), "hides on a pcplist");
}

#[test]
fn no_entry_is_taken_twice() {
    pair_against_drain::<Called>().holds();
}

#[test]
fn no_free_is_lost_in_a_drain() {
    free_against_drain::<Called>().holds();
}

#[test]
fn without_the_barrier_a_free_hides_from_an_isolation() {
    free_against_isolation::<Forgotten>().fails_with(Faults::empty(), "hides on a pcplist");
}

#[test]
fn without_the_barrier_two_are_inside() {
    pair_against_drain::<Forgotten>().fails_with(Faults::empty(), "Causality violation");
    free_against_drain::<Forgotten>().fails_with(Faults::empty(), "Causality violation");
}
