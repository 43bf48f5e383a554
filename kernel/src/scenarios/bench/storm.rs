//! How often operations miss the pcplists and take the zone's lock, with all CPUs at work.
//!
//! Every CPU allocates and frees blocks of all orders, mostly small ones, in alternating phases: in
//! one phase it mostly allocates, up to two thousand blocks, and in the next one it mostly frees.
//! Some blocks are passed to the next CPU, which frees them. Timer interrupts allocate and free
//! meanwhile. The allocator itself counts how often the locks of the zones are taken.

use core::sync::atomic::{AtomicU64, Ordering};

use heapless::Vec;
use pageblock::{CpuId, Order, Pfn, ZoneKind};
use pageblock_protocol::Value;
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::jobs::interrupts;
use crate::memory::allocator;
use crate::report;
use crate::scenarios::bench::blocks::{alloc, free};
use crate::scenarios::bench::counter::Instructions;
use crate::smp::{self, MAX_CPUS};

/// The most blocks that a CPU holds at a time.
const LIVE: usize = 2048;
/// The most operations in a phase.
const PHASE: u64 = 2048;
/// All but one in this many operations are of the kind of the phase.
const OTHER_KIND: u32 = 4;
/// One block in this many is passed to another CPU.
const PASSED_ON: u32 = 16;
const LARGEST: u8 = 9;

/// By CPU: a block that it has to free, as [`encode`] returns it; or 0.
static REMOTE_FREES: [AtomicU64; MAX_CPUS] = [const { AtomicU64::new(0) }; MAX_CPUS];

/// Runs the workload with that many turns on each CPU. Returns the number of operations.
pub(super) fn measure(seed: u64, turns: u64) -> u64 {
    // The first run is not counted, so that the pcplists are filled and pageblocks are claimed.
    run(seed, turns / 4);
    let before = lock_holds();
    let operations = run(seed.wrapping_add(1), turns);
    // The difference includes one acquisition of each lock by the reading of the counts.
    let holds = (lock_holds() - before).saturating_sub(ZoneKind::COUNT as u64);
    report_row(operations, holds);
    operations
}

/// How often the locks of all zones were taken since boot.
fn lock_holds() -> u64 {
    allocator().zoneinfo().zones.iter().map(|zone| zone.lock_holds).sum()
}

fn report_row(operations: u64, holds: u64) {
    const NAMES: [&str; 8] = [
        "storm-on-1-cpu",
        "storm-on-2-cpus",
        "storm-on-3-cpus",
        "storm-on-4-cpus",
        "storm-on-5-cpus",
        "storm-on-6-cpus",
        "storm-on-7-cpus",
        "storm-on-8-cpus",
    ];
    let percent = Instructions::mean(holds * 100, operations).thousandths();
    report::row(
        NAMES.get(smp::cpu_count() - 1).unwrap_or(&"storm-on-more-cpus"),
        [
            ("operations", Value::Integer(operations.cast_signed())),
            ("zone_lock_holds", Value::Integer(holds.cast_signed())),
            ("left_per_cpu_path_percent", Value::Thousandths(percent)),
        ],
    );
}

fn run(seed: u64, turns: u64) -> u64 {
    let operations = AtomicU64::new(0);
    let in_interrupts = interrupts::operations();
    interrupts::start();
    smp::run_on_all(|cpu| {
        operations.fetch_add(work(cpu, seed, turns), Ordering::Relaxed);
    });
    interrupts::stop();
    let left = REMOTE_FREES.iter().filter(|block| free_passed_on(block)).count();
    operations.into_inner() + left as u64 + interrupts::operations() - in_interrupts
}

/// The work of one CPU. Returns the number of its operations.
fn work(cpu: CpuId, seed: u64, turns: u64) -> u64 {
    let mut rng = SmallRng::seed_from_u64(seed ^ (cpu.number() as u64) << 32);
    let next = &REMOTE_FREES[(cpu.number() + 1) % smp::cpu_count()];
    let mut live: Vec<(Pfn, Order), LIVE> = Vec::new();
    let mut operations = 0;
    let (mut mostly_allocates, mut until) = (true, 0);
    for turn in 0..turns {
        if turn == until {
            mostly_allocates = !mostly_allocates;
            until += rng.random_range(1..=PHASE);
        }
        let allocates = mostly_allocates == (rng.random_range(0..OTHER_KIND) != 0);
        if !live.is_full() && (live.is_empty() || allocates) {
            let order = Order::new((rng.random::<u32>().trailing_zeros() as u8).min(LARGEST));
            if let Some(pfn) = alloc(allocator(), order) {
                operations += 1;
                live.push((pfn, order)).expect("it is not full");
            }
        } else {
            let (pfn, order) = live.swap_remove(rng.random_range(0..live.len()));
            let is_passed_on = rng.random_range(0..PASSED_ON) == 0;
            if !is_passed_on
                || next.compare_exchange(0, encode(pfn, order), Ordering::Release, Ordering::Relaxed).is_err()
            {
                free(allocator(), pfn, order);
                operations += 1;
            }
        }
        operations += u64::from(free_passed_on(&REMOTE_FREES[cpu.number()]));
    }
    for (pfn, order) in live {
        free(allocator(), pfn, order);
        operations += 1;
    }
    operations
}

fn encode(pfn: Pfn, order: Order) -> u64 {
    (pfn.number() as u64) << 8 | u64::from(order.get())
}

/// Frees a block that another CPU has passed on, if there is one.
fn free_passed_on(block: &AtomicU64) -> bool {
    if block.load(Ordering::Relaxed) == 0 {
        return false;
    }
    // Acquire: pairs with the Release with which the block was passed on.
    let word = block.swap(0, Ordering::Acquire);
    if word == 0 {
        return false;
    }
    free(allocator(), Pfn::new((word >> 8) as usize), Order::new(word as u8));
    true
}
