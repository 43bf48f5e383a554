//! What an operation costs on machines from a gibibyte to a tebibyte, and what it costs to make them.
//!
//! The same calls on each machine; what callgrind counts are the functions whose names begin with `seen_`.
//! Making a machine maps zeroed memory for its records, whose pages are there when first touched, and so counts the time of that
//! too. Runs in a process of its own. Neighbours: [`machine`](crate::machine), [`valgrind`](crate::valgrind), which starts it.

use std::time::{Duration, Instant};

use pageblock::{AllocRequest, ContigOptions, Mobility, NoMigration, Order, Pfn, PfnRange};
use rand::SeedableRng as _;
use rand::rngs::SmallRng;
use rand::seq::SliceRandom as _;

use crate::machine::{Allocator, Machine, PAGEBLOCK};

/// What is done.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub(crate) enum Work {
    /// A page is allocated and freed, while 32,768 others are in use here and there.
    Pair,
    /// 1024 pages are allocated and freed, shuffled.
    Burst,
    /// 65,536 the same.
    LargeBurst,
    /// A block of 2 MiB is allocated and freed.
    Huge,
    /// A free pageblock is isolated and let go.
    Isolate,
    /// 8 MiB in the middle of memory are allocated as a contiguous range and freed. They are free.
    Contig,
    /// The machine is made.
    Init,
}

impl Work {
    pub(crate) const ALL: [Self; 7] =
        [Self::Pair, Self::Burst, Self::LargeBurst, Self::Huge, Self::Isolate, Self::Contig, Self::Init];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Pair => "order-0 pair",
            Self::Burst => "burst of 1024, a pair",
            Self::LargeBurst => "burst of 65,536, a pair",
            Self::Huge => "order-9 pair",
            Self::Isolate => "isolate a pageblock, undo",
            Self::Contig => "contiguous 8 MiB, release",
            Self::Init => "initialisation",
        }
    }
}

/// Does the work. Says how many operations callgrind sees, and how long it took to make the machine.
pub(crate) fn run(work: Work, memory: u64) -> (usize, Duration) {
    let start = Instant::now();
    let machine = if work == Work::Init { seen_init(memory) } else { Machine::new(memory, 1) };
    let took = start.elapsed();
    let allocator = machine.allocator;
    let operations = match work {
        Work::Pair => {
            age(allocator);
            bursts(allocator, Order::ZERO, 1, 1024)
        }
        Work::Burst => bursts(allocator, Order::ZERO, 1024, 4),
        Work::LargeBurst => bursts(allocator, Order::ZERO, 65_536, 1),
        Work::Huge => bursts(allocator, PAGEBLOCK, 1, 256),
        Work::Isolate => ranges(allocator, PAGEBLOCK.pages(), 32, seen_isolate),
        Work::Contig => ranges(allocator, 4 * PAGEBLOCK.pages(), 8, seen_contig),
        Work::Init => 1,
    };
    (operations, took)
}

fn request(order: Order) -> AllocRequest {
    AllocRequest::new(order, Mobility::Movable)
}

/// 65,536 pages are allocated, a random half of them is freed.
fn age(allocator: &Allocator) {
    let mut pages: Vec<_> =
        (0..65_536).filter_map(|_| allocator.alloc_pages(request(Order::ZERO)).ok()).collect();
    pages.shuffle(&mut SmallRng::seed_from_u64(1));
    for pfn in pages.drain(..32_768) {
        allocator.free_pages(pfn, Order::ZERO).expect("it is ours");
    }
}

/// Allocates so many blocks and frees them, shuffled: once unseen, then `rounds` times.
fn bursts(allocator: &Allocator, order: Order, blocks: usize, rounds: usize) -> usize {
    let mut rng = SmallRng::seed_from_u64(2);
    let mut taken: Vec<Pfn> =
        (0..blocks).filter_map(|_| allocator.alloc_pages(request(order)).ok()).collect();
    taken.shuffle(&mut rng);
    for pfn in taken.drain(..) {
        allocator.free_pages(pfn, order).expect("it is ours");
    }
    for _ in 0..rounds {
        taken.extend((0..blocks).filter_map(|_| seen_alloc(allocator, order)));
        assert_eq!(taken.len(), blocks, "there is memory enough");
        taken.shuffle(&mut rng);
        for pfn in taken.drain(..) {
            assert!(seen_free(allocator, pfn, order), "it is ours");
        }
    }
    blocks * rounds
}

/// Does something to so many ranges of memory, one after the other, from the middle on.
fn ranges(
    allocator: &Allocator,
    pages: usize,
    count: usize,
    seen: fn(&Allocator, PfnRange) -> bool,
) -> usize {
    let span = allocator.span();
    let middle = PAGEBLOCK.align_down(Pfn::new(span.start().number() + span.len() / 2));
    for n in 0..count {
        let start = Pfn::new(middle.number() + n * pages);
        assert!(seen(allocator, PfnRange::with_len(start, pages)), "all of it is free");
    }
    count
}

#[inline(never)]
fn seen_alloc(allocator: &Allocator, order: Order) -> Option<Pfn> {
    allocator.alloc_pages(request(order)).ok()
}

#[inline(never)]
fn seen_free(allocator: &Allocator, pfn: Pfn, order: Order) -> bool {
    allocator.free_pages(pfn, order).is_ok()
}

#[inline(never)]
fn seen_isolate(allocator: &Allocator, range: PfnRange) -> bool {
    allocator.isolate(range).map(drop).is_ok()
}

#[inline(never)]
fn seen_contig(allocator: &Allocator, range: PfnRange) -> bool {
    allocator.alloc_contig(range, &NoMigration, ContigOptions::default()).map(drop).is_ok()
}

#[inline(never)]
fn seen_init(memory: u64) -> Machine {
    Machine::new(memory, 1)
}
