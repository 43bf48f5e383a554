//! Blocks of random orders that come and go with half of memory in use: the mean, and the worst single operation.
//!
//! What to do next is decided between the counts, and each operation is counted by itself. Neighbours:
//! [`blocks`](super::blocks) makes the calls, [`pages`](super::pages) has the regular patterns.

use pageblock::Order;
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};

use super::blocks::{Blocks, alloc, free};
use super::counter::{Instructions, count};
use super::{NoMemory, reference as at, report, say_progress};
use crate::memory::allocator;

const LARGEST: u8 = 9;

/// Runs both, with so many operations each.
pub(super) fn measure(seed: u64, operations: u64) -> Result<(), NoMemory> {
    let uniform = run(seed, operations, |rng| Order::new(rng.random_range(0..=LARGEST)))?;
    report::whole(at::RANDOM, uniform.mean());
    report::whole(at::RANDOM_WORST_ALLOC, Instructions::exactly(uniform.alloc.worst));
    report::whole(at::RANDOM_WORST_FREE, Instructions::exactly(uniform.free.worst));
    let geometric =
        run(seed, operations, |rng| Order::new((rng.random::<u32>().trailing_zeros() as u8).min(LARGEST)))?;
    report::whole(at::GEOMETRIC, geometric.mean());
    Ok(())
}

/// What operations of one kind took.
#[derive(Default)]
struct Tally {
    operations: u64,
    total: u64,
    worst: u64,
}

impl Tally {
    fn add(&mut self, instructions: u64) {
        self.operations += 1;
        self.total += instructions;
        self.worst = self.worst.max(instructions);
    }
}

#[derive(Default)]
struct Run {
    alloc: Tally,
    free: Tally,
}

impl Run {
    fn mean(&self) -> Instructions {
        Instructions::mean(self.alloc.total + self.free.total, self.alloc.operations + self.free.operations)
    }
}

/// Fills half of memory, then keeps it about that full.
fn run(seed: u64, operations: u64, mut order: impl FnMut(&mut SmallRng) -> Order) -> Result<Run, NoMemory> {
    let mut rng = SmallRng::seed_from_u64(seed);
    let mut blocks = Blocks::new().ok_or(NoMemory)?;
    let allocator = allocator();
    let half = allocator.managed_count() / 2;
    let mut used = 0;
    while used < half {
        let order = order(&mut rng);
        blocks.push(alloc(allocator, order).ok_or(NoMemory)?, order);
        used += order.pages();
    }
    let mut run = Run::default();
    for number in 0..operations {
        if number.is_multiple_of(operations.div_ceil(8)) {
            say_progress("operations at random");
        }
        if used < half {
            let order = order(&mut rng);
            let mut taken = None;
            run.alloc.add(count(|| taken = alloc(allocator, order)));
            blocks.push(taken.ok_or(NoMemory)?, order);
            used += order.pages();
        } else {
            blocks.choose(&mut rng);
            let (pfn, order) = blocks.pop().ok_or(NoMemory)?;
            run.free.add(count(|| free(allocator, pfn, order)));
            used -= order.pages();
        }
    }
    Ok(run)
}
