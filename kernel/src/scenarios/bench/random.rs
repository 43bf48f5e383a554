//! Allocations and frees of random orders, with half of memory in use.
//!
//! Each operation is counted by itself; the next one is chosen between the counts.

use pageblock::Order;
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::memory::allocator;
use crate::scenarios::bench::blocks::{Blocks, NoMemory, alloc, free};
use crate::scenarios::bench::counter::{Instructions, count};
use crate::scenarios::bench::reference as at;
use crate::scenarios::bench::report;

const LARGEST: u8 = 9;

/// Measures both distributions of orders, with that many operations each.
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

/// The instructions of the operations of one kind.
#[derive(Default)]
struct Total {
    operations: u64,
    total: u64,
    worst: u64,
}

impl Total {
    fn add(&mut self, instructions: u64) {
        self.operations += 1;
        self.total += instructions;
        self.worst = self.worst.max(instructions);
    }
}

#[derive(Default)]
struct Run {
    alloc: Total,
    free: Total,
}

impl Run {
    fn mean(&self) -> Instructions {
        Instructions::mean(self.alloc.total + self.free.total, self.alloc.operations + self.free.operations)
    }
}

/// Allocates half of memory, then allocates and frees around that level.
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
            report::progress("random operations");
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
