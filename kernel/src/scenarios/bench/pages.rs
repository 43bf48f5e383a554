//! Instructions of allocations and frees: in pairs, in bursts, and in bulk.
//!
//! The instructions of the loops around the calls are measured separately and subtracted. A first
//! round is not counted, so that the pcplists are filled and pageblocks are claimed.

use core::hint::black_box;

use pageblock::{AllocRequest, Order, Pfn, Platform};
use rand::SeedableRng as _;
use rand::rngs::SmallRng;

use crate::memory::{allocator, default_mode};
use crate::scenarios::bench::blocks::{Allocator, Blocks, NoMemory, alloc, alloc_page, free, free_page};
use crate::scenarios::bench::counter::{Instructions, count};
use crate::scenarios::bench::reference::{self as at, Workload};
use crate::scenarios::bench::report::{self, Figure};

/// The figures of one access mode, in the order of [`WORKLOADS`].
type Figures = [Figure; WORKLOADS.len()];

const WORKLOADS: [Workload; 8] = [
    at::ORDER_0_PAIR,
    at::ORDER_3_PAIR,
    at::ORDER_4_PAIR,
    at::ORDER_9_PAIR,
    at::BURST,
    at::LARGE_BURST,
    at::BULK_ALLOC,
    at::BULK_FREE,
];

/// Measures all workloads, in both access modes.
pub(super) fn measure(seed: u64) -> Result<(), NoMemory> {
    let owner_only = measure_mode(allocator(), seed)?;
    let default = default_mode().map(|allocator| measure_mode(allocator, seed)).transpose()?;
    for (number, workload) in WORKLOADS.into_iter().enumerate() {
        report::figure(workload, owner_only[number], default.map(|figures| figures[number]));
    }
    Ok(())
}

fn measure_mode<P: Platform>(allocator: Allocator<P>, seed: u64) -> Result<Figures, NoMemory> {
    let mut rng = SmallRng::seed_from_u64(seed);
    let page = hot_page(allocator)?;
    let block = |order| hot_block(allocator, Order::new(order));
    let blocks = [block(3)?, block(4)?, block(9)?];
    let small = burst(allocator, &mut rng, 1024, 20)?;
    let large = burst(allocator, &mut rng, Blocks::CAPACITY, 2)?;
    let [bulk_alloc, bulk_free] = bulk(allocator)?;
    Ok([page, blocks[0], blocks[1], blocks[2], small, large, bulk_alloc, bulk_free])
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
fn hot_page<P: Platform>(allocator: Allocator<P>) -> Result<Figure, NoMemory> {
    free_page(allocator, alloc_page(allocator).ok_or(NoMemory)?);
    let total = count(|| {
        for turn in 0..TURNS {
            black_box(turn);
            if let Some(pfn) = alloc_page(allocator) {
                free_page(allocator, pfn);
            }
        }
    });
    Ok(Figure::whole(Instructions::mean(total - empty_loop(), TURNS)))
}

/// Pairs of an allocation and a free of a larger block.
fn hot_block<P: Platform>(allocator: Allocator<P>, order: Order) -> Result<Figure, NoMemory> {
    free(allocator, alloc(allocator, order).ok_or(NoMemory)?, order);
    let total = count(|| {
        for turn in 0..TURNS {
            black_box(turn);
            if let Some(pfn) = alloc(allocator, order) {
                free(allocator, pfn, order);
            }
        }
    });
    Ok(Figure::whole(Instructions::mean(total - empty_loop(), TURNS)))
}

/// Bursts of `pages` allocated pages, which are then freed in random order.
fn burst<P: Platform>(
    allocator: Allocator<P>,
    rng: &mut SmallRng,
    pages: usize,
    rounds: u64,
) -> Result<Figure, NoMemory> {
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
            while let Some((pfn, _)) = blocks.pop() {
                free_page(allocator, pfn);
            }
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
    Ok(Figure::pair(
        Instructions::mean(allocs - rounds * pushing, pairs),
        Instructions::mean(frees - rounds * popping, pairs),
    ))
}

/// Allocations and frees of many pages with one call.
fn bulk<P: Platform>(allocator: Allocator<P>) -> Result<[Figure; 2], NoMemory> {
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
        let mut freed = Ok(());
        let free = count(|| freed = allocator.free_bulk(&pages, Order::ZERO));
        assert_eq!(freed, Ok(()), "a page of a bulk allocation was not freed");
        if round > 0 {
            allocs += alloc;
            frees += free;
        }
    }
    Ok([allocs, frees].map(|total| Figure::whole(Instructions::mean(total, ROUNDS * PAGES as u64))))
}
