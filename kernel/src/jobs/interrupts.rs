//! Allocation and free in the timer interrupt of every CPU.
//!
//! Each tick frees the oldest of a few blocks that its CPU holds, and allocates another one with
//! [`Depth::Atomic`], whatever code it has interrupted. The next tick retries.

use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use pageblock::{AllocRequest, CpuId, Depth, Order, Pfn};
use x86_64::instructions::interrupts::without_interrupts;

use crate::arch::tick;
use crate::smp::{self, MAX_CPUS};
use crate::space::pages;

/// The orders of the blocks that a CPU holds.
const ORDERS: [u8; 8] = [0, 0, 0, 0, 0, 0, 1, 2];
const HELD: usize = ORDERS.len();

/// The blocks that the ticks of one CPU hold. Only that CPU uses them, with interrupts masked.
struct Held {
    cursor: AtomicUsize,
    /// Each block as its frame number + 1; 0 for none. The index determines the order.
    blocks: [AtomicUsize; HELD],
}

static CPUS: [Held; MAX_CPUS] = [const { Held::new() }; MAX_CPUS];
static RUNNING: AtomicBool = AtomicBool::new(false);
static OPERATIONS: AtomicU64 = AtomicU64::new(0);

impl Held {
    const fn new() -> Self {
        Self { cursor: AtomicUsize::new(0), blocks: [const { AtomicUsize::new(0) }; HELD] }
    }

    fn free(&self, index: usize) {
        let block = self.blocks[index].swap(0, Ordering::Relaxed);
        if block != 0 {
            pages::free(Pfn::new(block - 1), order(index));
            OPERATIONS.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn allocate(&self, index: usize) {
        let request = AllocRequest::unmovable().order(order(index)).depth(Depth::Atomic);
        if let Ok(pfn) = pages::allocate(request) {
            self.blocks[index].store(pfn.number() + 1, Ordering::Relaxed);
            OPERATIONS.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The order of the block with that index.
fn order(index: usize) -> Order {
    Order::new(ORDERS[index])
}

/// Starts the allocations.
pub(crate) fn start() {
    RUNNING.store(true, Ordering::Release);
    tick::set_hook(Some(on_tick));
}

/// Stops the allocations and frees all held blocks. No other task may be running on the CPUs.
pub(crate) fn stop() {
    RUNNING.store(false, Ordering::Release);
    // Every CPU frees its own blocks with ticks masked, so that no tick can be using them.
    smp::run_on_all(|cpu: CpuId| {
        without_interrupts(|| {
            let held = &CPUS[cpu.number()];
            (0..HELD).for_each(|index| held.free(index));
        });
    });
}

/// Allocations and frees in ticks since boot.
pub(crate) fn operations() -> u64 {
    OPERATIONS.load(Ordering::Relaxed)
}

fn on_tick() {
    if !RUNNING.load(Ordering::Acquire) {
        return;
    }
    let held = &CPUS[smp::current().number()];
    let index = held.cursor.fetch_add(1, Ordering::Relaxed) % HELD;
    held.free(index);
    held.allocate(index);
}
