//! Contiguous allocation of 8 MiB: of a free range, and of a range with pages in use.
//!
//! The range is two adjacent blocks of the largest order. They are free, or split into pages that
//! are mapped and filled in an address space that is active on this CPU. The migration is the
//! kernel's own, with copies and flushes; afterwards every page is checked through its mapping.

use heapless::Vec;
use pageblock::{
    AllocRequest, ContigOptions, Geometry as _, IsolatedRange, Order, Pages, Pfn, PfnRange, X86_64,
};

use crate::memory::{Block, allocator};
use crate::scenarios::bench::blocks::NoMemory;
use crate::scenarios::bench::counter::{Instructions, count};
use crate::scenarios::bench::reference::{self as at, Workload};
use crate::scenarios::bench::report;
use crate::space::{AddressSpace, Migration, VPage};

const PAGES: usize = (8 << 20) / 4096;
/// The most blocks that are allocated in search of two adjacent ones.
const CANDIDATES: usize = 32;
/// The number of ranges of which the mean is reported.
const ROUNDS: u64 = 4;

/// Measures all workloads.
pub(super) fn measure() -> Result<(), NoMemory> {
    isolate_and_undo()?;
    let mut release = 0;
    for (workload, used) in
        [(at::CONTIG_FREE, Used::Nothing), (at::CONTIG_HALF, Used::Half), (at::CONTIG_FULL, Used::All)]
    {
        report::progress("contiguous allocations");
        release = contiguous(workload, used)?;
    }
    report::whole(at::CONTIG_RELEASE, Instructions::mean(release, ROUNDS));
    Ok(())
}

fn isolate_and_undo() -> Result<(), NoMemory> {
    const TIMES: u64 = 100;
    let order = X86_64::PAGEBLOCK_ORDER;
    let block = allocator().alloc(AllocRequest::movable().order(order)).map_err(|_| NoMemory)?;
    let range = block.range();
    drop(block);
    allocator().drain_all();
    let mut total = 0;
    for _ in 0..TIMES {
        total += count(|| match allocator().isolate(range) {
            Ok(isolated) => drop::<IsolatedRange<'_, '_, _, _>>(isolated),
            Err(error) => panic!("isolating {range}: {error}"),
        });
    }
    report::whole(at::ISOLATE_AND_UNDO, Instructions::mean(total, TIMES));
    Ok(())
}

/// Which pages of the range are in use.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Used {
    Nothing,
    Half,
    All,
}

impl Used {
    fn is_mapped(self, number: usize) -> bool {
        match self {
            Self::Nothing => false,
            Self::Half => number.is_multiple_of(2),
            Self::All => true,
        }
    }
}

/// Allocates a range, checks the pages that were migrated, and frees the range. Reports the
/// instructions of the allocations and returns those of the frees.
fn contiguous(workload: Workload, used: Used) -> Result<u64, NoMemory> {
    let (mut allocating, mut freeing) = (0, 0);
    for _ in 0..ROUNDS {
        let space = AddressSpace::new().map_err(|_| NoMemory)?;
        let active = space.activate();
        let range = map_range(&space, used)?;
        let mapped =
            || (0..PAGES).filter(|&number| used.is_mapped(number)).map(|number| VPage::new(number as u32));
        for page in mapped() {
            active.write(page).unwrap_or_else(|error| panic!("writing: {error}"));
        }
        allocator().drain_all();

        let mut taken = None;
        allocating += count(|| {
            let migration = Migration::new();
            taken = Some(allocator().alloc_contig(range, &migration, ContigOptions::default()));
        });
        match taken {
            Some(Ok(taken)) => drop::<PfnRange>(taken.into_raw()),
            Some(Err(error)) => panic!("allocating {range}: {error}"),
            None => unreachable!("the closure has set it"),
        }
        for page in mapped() {
            // The check counts a mismatch itself.
            let _ = active.check(page).unwrap_or_else(|error| panic!("checking: {error}"));
        }
        freeing += count(|| {
            if let Err(error) = allocator().free_contig(range) {
                panic!("freeing {range}: {error}");
            }
        });
        drop(active);
    }
    report::whole(workload, Instructions::mean(allocating, ROUNDS));
    Ok(freeing)
}

/// Finds a range, maps the pages of it that are to be in use, and frees the others.
fn map_range(space: &AddressSpace, used: Used) -> Result<PfnRange, NoMemory> {
    let [low, high] = adjacent_blocks()?;
    let range = PfnRange::new(low.range().start(), high.range().end());
    let mut map_or_free = |page: Block<'static>| {
        let number = page.pfn().number() - range.start().number();
        if used.is_mapped(number) {
            space.adopt(VPage::new(number as u32), page).map_err(|_| NoMemory)?;
        }
        Ok(())
    };
    each_page(low, &mut map_or_free)?;
    each_page(high, &mut map_or_free)?;
    Ok(range)
}

/// Allocates two adjacent blocks, in ascending order.
fn adjacent_blocks() -> Result<[Block<'static>; 2], NoMemory> {
    let order = X86_64::MAX_ORDER;
    let mut blocks: Vec<Block<'static>, CANDIDATES> = Vec::new();
    while let Ok(block) = allocator().alloc(AllocRequest::movable().order(order)) {
        let is_adjacent = |other: &Block<'static>, start: Pfn| {
            other.range().end() == start || other.range().start() == order.block(start).end()
        };
        if let Some(index) = blocks.iter().position(|other| is_adjacent(other, block.pfn())) {
            let mut pair = [blocks.swap_remove(index), block];
            pair.sort_unstable_by_key(Pages::pfn);
            return Ok(pair);
        }
        blocks.push(block).map_err(|_| NoMemory)?;
    }
    Err(NoMemory)
}

/// Splits a block into pages and calls `f` with each.
fn each_page(
    block: Block<'static>,
    f: &mut impl FnMut(Block<'static>) -> Result<(), NoMemory>,
) -> Result<(), NoMemory> {
    if block.order() == Order::ZERO {
        return f(block);
    }
    let (low, high) = block.split().map_err(|_| NoMemory)?;
    each_page(low, f)?;
    each_page(high, f)
}
