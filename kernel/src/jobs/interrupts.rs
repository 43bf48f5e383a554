//! Atomic allocation from the timer interrupt of every CPU.
//!
//! Each tick frees the oldest of a few blocks that its CPU holds and allocates another one with
//! [`Depth::Atomic`], in whatever the tick interrupted. A failure is no fault: atomic requests may
//! fail, and the interrupt tries again with the next tick. Neighbours: `time`, which calls the hook,
//! and [`pages`](crate::space::pages).

use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use pageblock::{AllocRequest, CpuId, Depth, Order, Pfn};
use x86_64::instructions::interrupts::without_interrupts;

use crate::smp::{self, MAX_CPUS};
use crate::space::pages;
use crate::time;

const HELD: usize = 8;

/// What one CPU's ticks hold. Only that CPU touches it, with interrupts masked.
struct Held {
    cursor: AtomicUsize,
    /// A block as its frame's number + 1; 0 for none. Its order follows from the index.
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

/// Mostly single pages, now and then a small block.
fn order(index: usize) -> Order {
    Order::new(match index {
        HELD_PAIR => 1,
        HELD_QUAD => 2,
        _ => 0,
    })
}

const HELD_PAIR: usize = HELD - 2;
const HELD_QUAD: usize = HELD - 1;

/// Lets the ticks allocate.
pub(crate) fn start() {
    RUNNING.store(true, Ordering::Release);
    time::set_tick_hook(Some(on_tick));
}

/// Stops it and frees what the ticks hold. Call it with no other work on the CPUs.
pub(crate) fn stop() {
    RUNNING.store(false, Ordering::Release);
    // Every CPU frees its own, with its ticks masked: none of them can be in the middle of one.
    smp::run_on_all(|cpu: CpuId| {
        without_interrupts(|| {
            let held = &CPUS[cpu.number()];
            (0..HELD).for_each(|index| held.free(index));
        });
    });
}

/// Blocks that ticks have allocated and freed since boot.
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
