//! How often an operation gets past its CPU's own lists, with so many CPUs at work.
//!
//! Every CPU allocates and frees blocks of all orders, small ones mostly, in waves: for a while it mostly allocates, up to
//! two thousand blocks, and then mostly frees. Now and then a block goes to the next CPU, which frees it. Timer interrupts
//! allocate and free meanwhile. How often the zones' locks were
//! taken is the allocator's own count. Neighbours: `smp` runs it, `jobs::interrupts` has the ticks.

use core::sync::atomic::{AtomicU64, Ordering};

use heapless::Vec;
use pageblock::{CpuId, Order, Pfn, ZoneKind};
use pageblock_protocol::{Line, Value};
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};

use super::blocks::{alloc, free};
use super::counter::Instructions;
use crate::jobs::interrupts;
use crate::memory::allocator;
use crate::report;
use crate::smp::{self, MAX_CPUS};

/// Blocks that a CPU has at a time, at the most.
const LIVE: usize = 2048;
/// Turns until the tide turns, at the most.
const WAVE: u64 = 2048;
/// Turns in so many that go with the tide.
const WITH_THE_TIDE: u32 = 4;
/// One block in so many goes to another CPU.
const PASSED_ON: u32 = 16;
const LARGEST: u8 = 9;

/// By CPU: a block that it is to free, as [`encode`] has it; or 0.
static GIFTS: [AtomicU64; MAX_CPUS] = [const { AtomicU64::new(0) }; MAX_CPUS];

/// Runs it, with so many turns on each CPU. Says how many operations that were.
pub(super) fn measure(seed: u64, turns: u64) -> u64 {
    // First for a while uncounted, so that lists are filled and pageblocks are claimed.
    run(seed, turns / 4);
    let before = lock_holds();
    let operations = run(seed.wrapping_add(1), turns);
    // The last look at the counts took each zone's lock once.
    let holds = (lock_holds() - before).saturating_sub(ZoneKind::COUNT as u64);
    report_row(operations, holds);
    operations
}

/// How often a zone's lock was taken since boot, less what asking for that takes.
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
    report::line(Line::Row(NAMES.get(smp::cpu_count() - 1).unwrap_or(&"storm-on-more-cpus")));
    let cell = |key, value| report::line(Line::Cell { key, value });
    cell("operations", Value::Integer(operations.cast_signed()));
    cell("zone_lock_holds", Value::Integer(holds.cast_signed()));
    let percent = Instructions::mean(holds * 100, operations).thousandths();
    cell("left_per_cpu_path_percent", Value::Thousandths(percent));
}

fn run(seed: u64, turns: u64) -> u64 {
    let operations = AtomicU64::new(0);
    let in_interrupts = interrupts::operations();
    interrupts::start();
    smp::run_on_all(|cpu| {
        operations.fetch_add(work(cpu, seed, turns), Ordering::Relaxed);
    });
    interrupts::stop();
    let left = GIFTS.iter().filter(|gift| free_gift(gift)).count();
    operations.into_inner() + left as u64 + interrupts::operations() - in_interrupts
}

/// What each CPU does. Counts its operations.
fn work(cpu: CpuId, seed: u64, turns: u64) -> u64 {
    let mut rng = SmallRng::seed_from_u64(seed ^ (cpu.number() as u64) << 32);
    let next = &GIFTS[(cpu.number() + 1) % smp::cpu_count()];
    let mut live: Vec<(Pfn, Order), LIVE> = Vec::new();
    let mut operations = 0;
    let (mut rises, mut until) = (true, 0);
    for turn in 0..turns {
        if turn == until {
            rises = !rises;
            until += rng.random_range(1..=WAVE);
        }
        let allocates = rises == (rng.random_range(0..WITH_THE_TIDE) != 0);
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
        operations += u64::from(free_gift(&GIFTS[cpu.number()]));
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

/// Frees what somebody passed on, if anybody did.
fn free_gift(gift: &AtomicU64) -> bool {
    if gift.load(Ordering::Relaxed) == 0 {
        return false;
    }
    // Acquire: pairs with the Release of who gave it.
    let word = gift.swap(0, Ordering::Acquire);
    if word == 0 {
        return false;
    }
    free(allocator(), Pfn::new((word >> 8) as usize), Order::new(word as u8));
    true
}
