//! Instructions of allocations and frees: in pairs, in bursts, and in bulk.
//!
//! The instructions of the loops around the calls are measured separately and subtracted. A first
//! round is not counted, so that the pcplists are filled and pageblocks are claimed.

use core::hint::black_box;

use pageblock::{AllocRequest, Order, Pfn};
use rand::SeedableRng as _;
use rand::rngs::SmallRng;

use crate::memory::allocator;
use crate::scenarios::bench::blocks::{Blocks, NoMemory, alloc, alloc_page, free, free_page};
use crate::scenarios::bench::counter::{Instructions, count};
use crate::scenarios::bench::reference::{self as at, Workload};
use crate::scenarios::bench::report;

/// Measures all workloads.
pub(super) fn measure(seed: u64) -> Result<(), NoMemory> {
    hot_page()?;
    for (workload, order) in [(at::ORDER_3_PAIR, 3), (at::ORDER_4_PAIR, 4), (at::ORDER_9_PAIR, 9)] {
        hot_block(workload, Order::new(order))?;
    }
    let mut rng = SmallRng::seed_from_u64(seed);
    burst(at::BURST, &mut rng, 1024, 20)?;
    burst(at::LARGE_BURST, &mut rng, Blocks::CAPACITY, 2)?;
    bulk()
}

/// The number of pairs in a loop.
const TURNS: u64 = 10_000;

/// The instructions of the loop without a pair.
fn empty_loop() -> u64 {
    count(|| {
        for turn in 0..TURNS {
            black_box(turn);
        }
    })
}

/// Pairs of an allocation and a free of a page.
fn hot_page() -> Result<(), NoMemory> {
    let allocator = allocator();
    free_page(allocator, alloc_page(allocator).ok_or(NoMemory)?);
    let total = count(|| {
        for turn in 0..TURNS {
            black_box(turn);
            if let Some(pfn) = alloc_page(allocator) {
                free_page(allocator, pfn);
            }
        }
    });
    report::whole(at::ORDER_0_PAIR, Instructions::mean(total - empty_loop(), TURNS));
    Ok(())
}

/// Pairs of an allocation and a free of a larger block.
fn hot_block(workload: Workload, order: Order) -> Result<(), NoMemory> {
    let allocator = allocator();
    free(allocator, alloc(allocator, order).ok_or(NoMemory)?, order);
    let total = count(|| {
        for turn in 0..TURNS {
            black_box(turn);
            if let Some(pfn) = alloc(allocator, order) {
                free(allocator, pfn, order);
            }
        }
    });
    report::whole(workload, Instructions::mean(total - empty_loop(), TURNS));
    Ok(())
}

/// Bursts of `pages` allocated pages, which are then freed in random order.
fn burst(workload: Workload, rng: &mut SmallRng, pages: usize, rounds: u64) -> Result<(), NoMemory> {
    let allocator = allocator();
    let mut blocks = Blocks::new().ok_or(NoMemory)?;
    let (mut allocs, mut frees) = (0, 0);
    for round in 0..=rounds {
        let alloc = count(|| {
            for _ in 0..pages {
                if let Some(pfn) = alloc_page(allocator) {
                    blocks.push(pfn, Order::ZERO);
                }
            }
        });
        if blocks.len() < pages {
            return Err(NoMemory);
        }
        blocks.shuffle(rng);
        let free = count(|| {
            while let Some((pfn, _)) = blocks.pop() {
                free_page(allocator, pfn);
            }
        });
        if round > 0 {
            allocs += alloc;
            frees += free;
        }
    }
    let pushing = count(|| {
        for number in 0..pages {
            blocks.push(black_box(Pfn::new(number)), Order::ZERO);
        }
    });
    let popping = count(|| {
        while let Some((pfn, _)) = blocks.pop() {
            black_box(pfn);
        }
    });
    let pairs = rounds * pages as u64;
    report::pair(
        workload,
        Instructions::mean(allocs - rounds * pushing, pairs),
        Instructions::mean(frees - rounds * popping, pairs),
    );
    Ok(())
}

/// Allocations of many pages with one call.
fn bulk() -> Result<(), NoMemory> {
    let allocator = allocator();
    const PAGES: usize = 512;
    const ROUNDS: u64 = 20;
    let mut pages = [Pfn::new(0); PAGES];
    let (mut allocs, mut frees) = (0, 0);
    for round in 0..=ROUNDS {
        let mut filled = 0;
        let alloc = count(|| filled = allocator.alloc_bulk(AllocRequest::unmovable(), &mut pages));
        if filled < PAGES {
            return Err(NoMemory);
        }
        let free = count(|| pages.into_iter().for_each(|pfn| free_page(allocator, pfn)));
        if round > 0 {
            allocs += alloc;
            frees += free;
        }
    }
    let mean = |total| Instructions::mean(total, ROUNDS * PAGES as u64);
    report::whole(at::BULK_ALLOC, mean(allocs));
    report::whole(at::BULK_FREE, mean(frees));
    Ok(())
}
