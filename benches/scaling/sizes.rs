//! The operations of one CPU on machines with 1 GiB to 1 TiB, and the initialisation of such
//! machines.
//!
//! Callgrind counts the functions whose names begin with `counted_`. Initialisation maps zeroed
//! memory for the records, so its time includes the page faults. This runs in a process of its own.

use std::time::{Duration, Instant};

use pageblock::{AllocRequest, ContigOptions, Mobility, NoMigration, Order, Pfn, PfnRange};
use rand::SeedableRng as _;
use rand::rngs::SmallRng;
use rand::seq::SliceRandom as _;

use crate::machine::{Allocator, Machine, PAGEBLOCK};

/// An operation to be measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub(crate) enum Work {
    /// A page is allocated and freed, while 32,768 scattered pages are allocated.
    Pair,
    /// 1024 pages are allocated, then freed in random order.
    Burst,
    /// 65,536 pages are allocated, then freed in random order.
    LargeBurst,
    /// A block of 2 MiB is allocated and freed.
    Huge,
    /// A free pageblock is isolated, and the isolation undone.
    Isolate,
    /// A free range of 8 MiB in the middle of memory is allocated as a whole and freed.
    Contig,
    /// The machine is initialised.
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

/// Does the work. Returns the number of counted operations, and the time of initialisation.
pub(crate) fn run(work: Work, memory: u64) -> (usize, Duration) {
    let start = Instant::now();
    let machine = if work == Work::Init { counted_init(memory) } else { Machine::new(memory, 1) };
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
        Work::Isolate => ranges(allocator, PAGEBLOCK.pages(), 32, counted_isolate),
        Work::Contig => ranges(allocator, 4 * PAGEBLOCK.pages(), 8, counted_contig),
        Work::Init => 1,
    };
    (operations, took)
}

fn request(order: Order) -> AllocRequest {
    AllocRequest::new(order, Mobility::Movable)
}

/// Allocates 65,536 pages and frees a random half of them.
fn age(allocator: &Allocator) {
    let mut pages: Vec<_> =
        (0..65_536).filter_map(|_| allocator.alloc_pages(request(Order::ZERO)).ok()).collect();
    pages.shuffle(&mut SmallRng::seed_from_u64(1));
    for pfn in pages.drain(..32_768) {
        allocator.free_pages(pfn, Order::ZERO).expect("it is allocated");
    }
}

/// Allocates that many blocks and frees them in random order: once uncounted, then `rounds` times.
fn bursts(allocator: &Allocator, order: Order, blocks: usize, rounds: usize) -> usize {
    let mut rng = SmallRng::seed_from_u64(2);
    let mut taken: Vec<Pfn> =
        (0..blocks).filter_map(|_| allocator.alloc_pages(request(order)).ok()).collect();
    taken.shuffle(&mut rng);
    for pfn in taken.drain(..) {
        allocator.free_pages(pfn, order).expect("it is allocated");
    }
    for _ in 0..rounds {
        taken.extend((0..blocks).filter_map(|_| counted_alloc(allocator, order)));
        assert_eq!(taken.len(), blocks, "there is enough memory");
        taken.shuffle(&mut rng);
        for pfn in taken.drain(..) {
            assert!(counted_free(allocator, pfn, order), "it is allocated");
        }
    }
    blocks * rounds
}

/// Calls the function for that many adjacent ranges, the first in the middle of memory.
fn ranges(
    allocator: &Allocator,
    pages: usize,
    count: usize,
    counted: fn(&Allocator, PfnRange) -> bool,
) -> usize {
    let span = allocator.span();
    let middle = PAGEBLOCK.align_down(Pfn::new(span.start().number() + span.len() / 2));
    for n in 0..count {
        let start = Pfn::new(middle.number() + n * pages);
        assert!(counted(allocator, PfnRange::with_len(start, pages)), "the range is free");
    }
    count
}

#[inline(never)]
fn counted_alloc(allocator: &Allocator, order: Order) -> Option<Pfn> {
    allocator.alloc_pages(request(order)).ok()
}

#[inline(never)]
fn counted_free(allocator: &Allocator, pfn: Pfn, order: Order) -> bool {
    allocator.free_pages(pfn, order).is_ok()
}

#[inline(never)]
fn counted_isolate(allocator: &Allocator, range: PfnRange) -> bool {
    allocator.isolate(range).map(drop).is_ok()
}

#[inline(never)]
fn counted_contig(allocator: &Allocator, range: PfnRange) -> bool {
    allocator.alloc_contig(range, &NoMigration, ContigOptions::default()).map(drop).is_ok()
}

#[inline(never)]
fn counted_init(memory: u64) -> Machine {
    Machine::new(memory, 1)
}
