//! Real threads whose pcplists have no lock: [`PcpAccess::owner_only`].
//!
//! The barrier on every CPU is the system call `membarrier`.
//!
//! Every thread is a CPU, allocates and frees as fast as it can and passes blocks on to others; one
//! isolates, drains and audits meanwhile. Nothing may be handed out twice, nothing may be lost, no
//! audit may drift, and no page of an isolated block may be out of sight.

#![expect(unsafe_code, reason = "promises that the platform's barrier is one")]

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, Once};

use pageblock::{
    AllocRequest, CpuId, Depth, Mobility, NoMigration, Order, PageAllocator, PcpAccess, Pfn, PfnRange,
    Platform, X86_64,
};
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use rustix::thread::{MembarrierCommand, membarrier};

use crate::support::{frames, mebibytes, scope};

/// Workers and the one that looks after them.
const CPUS: usize = 4;
const STEPS: usize = 60_000;

thread_local! {
    static CPU: Cell<usize> = const { Cell::new(0) };
}

pub(super) struct Host;

/// Gives this thread a number.
pub(super) fn become_cpu(number: usize) {
    CPU.set(number);
}

impl Platform for Host {
    // SAFETY: each thread has a number of its own below `CPUS` before it calls the allocator, no
    // thread is interrupted by code that calls it, and `membarrier` is a barrier on every thread of
    // the process.
    const PCP_ACCESS: PcpAccess<Self> = unsafe { PcpAccess::owner_only(|_| CPUS) };

    fn current_cpu(&self) -> CpuId {
        CpuId::new(CPU.get())
    }

    fn barrier_on_every_cpu(&self) {
        static REGISTERED: Once = Once::new();
        REGISTERED.call_once(|| membarrier(MembarrierCommand::RegisterPrivateExpedited).unwrap());
        membarrier(MembarrierCommand::PrivateExpedited).unwrap();
    }
}

type Machine = PageAllocator<'static, Host, X86_64>;

/// Who owns which frame.
struct Ledger {
    first: usize,
    owned: Vec<AtomicBool>,
}

impl Ledger {
    fn new(span: PfnRange) -> Self {
        Self { first: span.start().number(), owned: span.iter().map(|_| AtomicBool::new(false)).collect() }
    }

    fn change(&self, range: PfnRange, owned: bool) {
        for pfn in range.iter() {
            let before = self.owned[pfn.number() - self.first].swap(owned, Ordering::SeqCst);
            assert_ne!(before, owned, "{pfn} was handed out twice, or freed by who did not own it");
        }
    }
}

fn work(
    machine: &Machine,
    ledger: &Ledger,
    passed: &Mutex<Vec<(Pfn, Order)>>,
    enough: &AtomicBool,
    cpu: usize,
) {
    become_cpu(cpu);
    let mut numbers = SmallRng::seed_from_u64(0x9e37_79b9 + cpu as u64);
    let mut held: Vec<(Pfn, Order)> = Vec::new();
    // On a busy host the workers go on until the isolating thread had its turns, within a bound.
    for step in 0..50 * STEPS {
        if step >= STEPS && enough.load(Ordering::Relaxed) {
            break;
        }
        let order = Order::new([0, 0, 0, 0, 1, 2, 3, 5][numbers.random_range(0..8)]);
        if held.len() < 64 && numbers.random_range(0..2) == 0 {
            let mobility = [Mobility::Movable, Mobility::Unmovable][numbers.random_range(0..2)];
            if let Ok(pfn) = machine.alloc_pages(AllocRequest::new(order, mobility)) {
                ledger.change(order.block(pfn), true);
                held.push((pfn, order));
            }
            continue;
        }
        let place = numbers.random_range(0..held.len().max(1));
        let mine = if held.is_empty() { None } else { Some(held.swap_remove(place)) };
        let freed = match numbers.random_range(0..16) {
            // What one allocated another frees.
            0 => {
                let mut passed = passed.lock().unwrap();
                let other = passed.pop();
                passed.extend(mine);
                other
            }
            _ => mine,
        };
        if let Some((pfn, order)) = freed {
            ledger.change(order.block(pfn), false);
            machine.free_pages(pfn, order).unwrap();
        }
    }
    for (pfn, order) in held {
        ledger.change(order.block(pfn), false);
        machine.free_pages(pfn, order).unwrap();
    }
}

#[test]
fn nothing_is_lost_or_handed_out_twice_without_a_lock() {
    let machine: &Machine = Box::leak(Box::new(mebibytes(64).cpus(CPUS).build_on(Host)));
    let all = machine.free_count();
    let ledger = Ledger::new(machine.span());
    let passed = Mutex::new(Vec::new());
    let running = AtomicUsize::new(CPUS - 1);
    let enough = AtomicBool::new(false);
    let (mut isolated, mut audits) = (0, 0);
    scope(|scope| {
        for cpu in 1..CPUS {
            let (ledger, passed, running, enough) = (&ledger, &passed, &running, &enough);
            scope.spawn(move || {
                work(machine, ledger, passed, enough, cpu);
                running.fetch_sub(1, Ordering::SeqCst);
            });
        }
        CPU.set(0);
        let mut numbers = SmallRng::seed_from_u64(7);
        while running.load(Ordering::SeqCst) > 0 {
            let block = Order::new(9).align_down(Pfn::new(4096 + numbers.random_range(0..12_000)));
            if let Ok(mut range) = machine.isolate(PfnRange::with_len(block, 512)) {
                isolated += 1;
                // Whatever is free there now stays so: whatever is not has an owner.
                if range.test().is_ok() {
                    for pfn in range.range().iter() {
                        assert!(!ledger.owned[pfn.number() - ledger.first].load(Ordering::SeqCst));
                    }
                }
            }
            if numbers.random_range(0..8) == 0 {
                machine.drain_all();
            }
            let audit = machine.audit();
            assert!(audit.is_exact(), "{audit}");
            audits += 1;
            enough.store(isolated > 10 && audits > 10, Ordering::Relaxed);
        }
    });
    for (pfn, order) in passed.into_inner().unwrap() {
        machine.free_pages(pfn, order).unwrap();
    }
    machine.drain_all();
    let census = machine.verify().unwrap().total();
    assert_eq!((census.allocated, census.cached, census.isolated), (0, 0, 0));
    assert_eq!(machine.free_count(), all);
    assert!(isolated > 10 && audits > 10, "{isolated} isolations, {audits} audits");
}

#[test]
fn mistakes_are_refused_without_a_lock() {
    let machine: Machine = frames(&[(4096, 8192)]).cpus(CPUS).build_on(Host);
    let pfn = machine.alloc_pages(AllocRequest::movable()).unwrap();
    assert!(machine.free_pages(pfn, Order::new(1)).is_err());
    machine.free_pages(pfn, Order::ZERO).unwrap();
    assert!(machine.free_pages(pfn, Order::ZERO).is_err());
    assert!(machine.free_pages(Pfn::new(1), Order::ZERO).is_err());
    machine.verify().unwrap();
}

#[test]
fn a_page_freed_into_an_isolated_block_is_at_hand_for_nobody() {
    let machine: Machine = frames(&[(4096, 8192)]).cpus(CPUS).build_on(Host);
    let pfn = machine.alloc_pages(AllocRequest::movable()).unwrap();
    let block = PfnRange::with_len(Order::new(9).align_down(pfn), 512);
    let mut isolated = machine.isolate(block).unwrap();
    assert!(isolated.test().is_err());
    machine.free_pages(pfn, Order::ZERO).unwrap();
    assert!(isolated.test().is_ok(), "it went past the pcplist");
    drop(isolated);
    let range = machine.alloc_contig(block, &NoMigration, Default::default()).unwrap();
    assert_eq!(range.range(), block);
}

#[test]
fn an_atomic_request_takes_what_its_own_cpu_has_cached_and_leaves_other_cpus_alone() {
    let machine: Machine = frames(&[(4096, 8192)]).cpus(CPUS).no_reserve().build_on(Host);
    let request = AllocRequest::unmovable().depth(Depth::Atomic);
    let mut pages = Vec::new();
    while let Ok(pfn) = machine.alloc_pages(AllocRequest::movable()) {
        pages.push(pfn);
    }
    CPU.set(1);
    machine.free_pages(pages[0], Order::ZERO).unwrap();
    CPU.set(0);
    assert!(machine.alloc_pages(request).is_err(), "the other CPU may have its lists in hand");
    machine.free_pages(pages[1], Order::ZERO).unwrap();
    assert_eq!(machine.alloc_pages(request), Ok(pages[1]), "cached for movable requests");
    assert_eq!(machine.alloc_pages(request.depth(Depth::Normal)), Ok(pages[0]), "this one may wait");
    machine.verify().unwrap();
}
