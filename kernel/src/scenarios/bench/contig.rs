//! What it takes to get 8 MiB in one piece: with nobody there, and with mapped pages that have to move.
//!
//! The range is two neighbouring blocks of the largest order that are free, or were just taken apart into pages, filled,
//! and mapped in an address space that this CPU runs in. The migration is the kernel's own, copying and flushing
//! included; afterwards every page is looked at through its mapping. Neighbours: `space`, whose pages are moved.

use heapless::Vec;
use pageblock::{
    AllocRequest, ContigOptions, Geometry as _, IsolatedRange, Order, Pages, Pfn, PfnRange, X86_64,
};

use super::counter::{Instructions, count};
use super::reference::{self as at, Workload};
use super::{NoMemory, report, say_progress};
use crate::memory::{Block, allocator};
use crate::space::{AddressSpace, Migration, VPage};

const PAGES: usize = (8 << 20) / 4096;
/// Blocks to look for neighbours among.
const CANDIDATES: usize = 32;
/// Ranges that a mean is of.
const ROUNDS: u64 = 4;

/// Runs all of them.
pub(super) fn measure() -> Result<(), NoMemory> {
    isolate_and_undo()?;
    let mut release = 0;
    for (workload, used) in
        [(at::CONTIG_FREE, Used::Nothing), (at::CONTIG_HALF, Used::Half), (at::CONTIG_FULL, Used::All)]
    {
        say_progress("contiguous allocations");
        release = contiguous(workload, used)?;
    }
    report::whole(at::CONTIG_RELEASE, Instructions::mean(release, ROUNDS));
    Ok(())
}

fn isolate_and_undo() -> Result<(), NoMemory> {
    const TIMES: u64 = 100;
    let order = X86_64::PAGEBLOCK_ORDER;
    let block = allocator().alloc(AllocRequest::movable().order(order)).map_err(|_| NoMemory)?;
    let range = block.frames();
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

/// Who is in the range.
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

/// Takes a range, checks who had to move, and gives it back. Returns what that last part took.
fn contiguous(workload: Workload, used: Used) -> Result<u64, NoMemory> {
    let (mut taking, mut releasing) = (0, 0);
    for _ in 0..ROUNDS {
        let space = AddressSpace::new().map_err(|_| NoMemory)?;
        let active = space.activate();
        let range = settle(&space, used)?;
        let mapped =
            || (0..PAGES).filter(|&number| used.is_mapped(number)).map(|number| VPage::new(number as u32));
        for page in mapped() {
            active.write(page).unwrap_or_else(|error| panic!("writing: {error}"));
        }
        allocator().drain_all();

        let mut taken = None;
        taking += count(|| {
            let migration = Migration::new();
            taken = Some(allocator().alloc_contig(range, &migration, ContigOptions::default()));
        });
        match taken {
            Some(Ok(taken)) => drop::<PfnRange>(taken.into_raw()),
            Some(Err(error)) => panic!("taking {range}: {error}"),
            None => unreachable!("it was tried"),
        }
        for page in mapped() {
            // Counted by the check itself.
            let _ = active.check(page).unwrap_or_else(|error| panic!("checking: {error}"));
        }
        releasing += count(|| {
            if let Err(error) = allocator().free_contig(range) {
                panic!("releasing {range}: {error}");
            }
        });
        drop(active);
    }
    report::whole(workload, Instructions::mean(taking, ROUNDS));
    Ok(releasing)
}

/// Finds a range, and maps as many pages of it as are to be in use.
fn settle(space: &AddressSpace, used: Used) -> Result<PfnRange, NoMemory> {
    let [low, high] = neighbours()?;
    let range = PfnRange::new(low.frames().start(), high.frames().end());
    let mut settle = |page: Block<'static>| {
        let number = page.pfn().number() - range.start().number();
        if used.is_mapped(number) {
            space.adopt(VPage::new(number as u32), page).map_err(|_| NoMemory)?;
        }
        Ok(())
    };
    each_page(low, &mut settle)?;
    each_page(high, &mut settle)?;
    Ok(range)
}

/// Two free blocks next to each other.
fn neighbours() -> Result<[Block<'static>; 2], NoMemory> {
    let order = X86_64::MAX_ORDER;
    let mut blocks: Vec<Block<'static>, CANDIDATES> = Vec::new();
    while let Ok(block) = allocator().alloc(AllocRequest::movable().order(order)) {
        let next_to = |other: &Block<'static>, start: Pfn| {
            other.frames().end() == start || other.frames().start() == order.block(start).end()
        };
        if let Some(index) = blocks.iter().position(|other| next_to(other, block.pfn())) {
            let mut pair = [blocks.swap_remove(index), block];
            pair.sort_unstable_by_key(Pages::pfn);
            return Ok(pair);
        }
        blocks.push(block).map_err(|_| NoMemory)?;
    }
    Err(NoMemory)
}

/// Takes a block apart.
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
