//! Which memory a request gets: its own type's, a claimed pageblock, a stolen block, or CMA's.

use std::collections::HashSet;

use pageblock::{AllocRequest, FreeKind, MigrateType, Mobility, Order, Pfn, PfnRange};

use crate::support::{Machine, cached, cma_area, fill, frames, mebibytes, range};

const MOBILITIES: [Mobility; 3] = [Mobility::Unmovable, Mobility::Movable, Mobility::Reclaimable];

/// The pageblocks of x86_64 that these pages are in.
fn pageblocks(pages: &[Pfn]) -> HashSet<usize> {
    pages.iter().map(|pfn| pfn.number() / 512).collect()
}

/// How many pageblocks there are of each type: unmovable, movable, reclaimable.
fn types(machine: &Machine) -> [usize; 3] {
    let zones = machine.pagetypeinfo().zones;
    MOBILITIES.map(|mobility| {
        zones.iter().map(|zone| zone.pageblocks(FreeKind::Listed(mobility.migratetype()))).sum()
    })
}

/// One pageblock of memory, in the lower half of a largest block.
fn one_pageblock() -> Machine {
    frames(&[(0, 512)]).no_reserve().build()
}

#[test]
fn mobilities_do_not_share_pageblocks_while_there_is_room() {
    let machine = mebibytes(64).no_reserve().build();
    let mut pages = [Vec::new(), Vec::new(), Vec::new()];
    for n in 0..3000 {
        pages[n % 3].push(machine.alloc_pages(AllocRequest::new(Order::ZERO, MOBILITIES[n % 3])).unwrap());
    }
    let [unmovable, movable, reclaimable] = pages.map(|pages| pageblocks(&pages));
    assert!(unmovable.is_disjoint(&movable) && movable.is_disjoint(&reclaimable));
    assert!(unmovable.is_disjoint(&reclaimable));
    assert!(unmovable.len() <= 3 && reclaimable.len() <= 3, "pages of one mobility are kept together");
}

#[test]
fn memory_starts_movable_and_is_claimed_by_whole_blocks() {
    let machine = mebibytes(16).no_reserve().build();
    assert_eq!(types(&machine), [0, 8, 0]);
    machine.alloc_pages(AllocRequest::unmovable()).unwrap();
    assert_eq!(types(&machine), [2, 6, 0], "the largest block there is: two pageblocks");
    machine.alloc_pages(AllocRequest::reclaimable()).unwrap();
    assert_eq!(types(&machine), [2, 4, 2]);
    fill(&machine, AllocRequest::movable());
    assert_eq!(machine.free_count(), 0);
}

#[test]
fn a_claim_disturbs_the_largest_free_block() {
    // Of two half-used pageblocks the one with the larger free block is claimed.
    let machine = frames(&[(0, 512), (1024, 1536)]).no_reserve().build();
    let pages = fill(&machine, AllocRequest::movable());
    let free = |keep: &dyn Fn(usize) -> bool| {
        for &pfn in pages.iter().filter(|pfn| keep(pfn.number())) {
            machine.free_pages(pfn, Order::ZERO).unwrap();
        }
    };
    free(&|n| n < 512 && n % 2 == 0);
    free(&|n| (1024..1024 + 256).contains(&n));
    machine.drain_all();
    let pfn = machine.alloc_pages(AllocRequest::unmovable()).unwrap();
    assert!((1024..1280).contains(&pfn.number()), "{pfn}");
    assert_eq!(types(&machine), [1, 1, 0]);
}

#[test]
fn a_pageblock_half_free_is_claimed_and_one_hardly_free_is_not() {
    for (freed, claimed) in [(256, true), (255, false)] {
        let machine = one_pageblock();
        let pages = fill(&machine, AllocRequest::movable());
        pages[..freed].iter().for_each(|&pfn| machine.free_pages(pfn, Order::ZERO).unwrap());
        machine.drain_all();
        machine.alloc_pages(AllocRequest::unmovable()).unwrap();
        assert_eq!(types(&machine)[0], usize::from(claimed), "{freed} pages free");
        machine.verify().unwrap();
    }
}

#[test]
fn pages_of_the_next_pageblock_do_not_count_for_a_claim() {
    // Two pageblocks that are not buddies: one of movable pages, and above it one of unmovable
    // ones.
    let machine = frames(&[(512, 1536)]).no_reserve().build();
    let mut blocks = fill(&machine, AllocRequest::movable().order(Order::new(9)));
    blocks.sort_unstable();
    let mut take = |request| {
        machine.free_pages(blocks.pop().unwrap(), Order::new(9)).unwrap();
        machine.drain_all();
        fill(&machine, request)
    };
    let (unmovable, movable) = (take(AllocRequest::unmovable()), take(AllocRequest::movable()));
    assert!(unmovable.len() == 512 && movable.len() == 512);
    movable[..255].iter().for_each(|&pfn| machine.free_pages(pfn, Order::ZERO).unwrap());
    machine.drain_all();
    machine.alloc_pages(AllocRequest::unmovable()).unwrap();
    assert_eq!(types(&machine), [1, 1, 0], "255 pages are less than half of the pageblock");
}

#[test]
fn pages_that_feel_at_home_count_for_a_claim() {
    // Half the pageblock is reclaimable pages, which are as unmovable as the new ones; a quarter is
    // free.
    let machine = one_pageblock();
    let stay = fill(&machine, AllocRequest::reclaimable());
    stay[..128].iter().for_each(|&pfn| machine.free_pages(pfn, Order::ZERO).unwrap());
    machine.drain_all();
    assert_eq!(types(&machine), [0, 0, 1]);
    machine.alloc_pages(AllocRequest::unmovable()).unwrap();
    assert_eq!(types(&machine), [1, 0, 0]);
}

#[test]
fn the_allocated_blocks_of_one_pageblock_are_examined_and_of_no_second_one() {
    let machine = frames(&[(0, 512), (1024, 1536)]).no_reserve().build();
    let take = |request| {
        let mut pages: Vec<Pfn> = (0..512).map(|_| machine.alloc_pages(request).unwrap()).collect();
        pages.sort_unstable();
        pages
    };
    let (movable, reclaimable) = (take(AllocRequest::movable()), take(AllocRequest::reclaimable()));
    // The larger block, whose pageblock is examined, is among movable pages. The other pageblock
    // could be claimed.
    for pfn in movable[200..204].iter().chain(&reclaimable[200..202]) {
        machine.free_pages(*pfn, Order::ZERO).unwrap();
    }
    machine.drain_all();
    assert_eq!(machine.alloc_pages(AllocRequest::unmovable()), Ok(reclaimable[200]));
    assert_eq!(types(&machine), [0, 1, 1]);
}

#[test]
fn a_small_block_is_stolen_and_its_pageblock_keeps_its_type() {
    let machine = one_pageblock();
    let pages = fill(&machine, AllocRequest::unmovable());
    assert_eq!(types(&machine), [1, 0, 0]);
    machine.free_pages(pages[100], Order::ZERO).unwrap();
    machine.drain_all();
    // A movable page does no lasting harm there, so that the pageblock stays what it is.
    assert_eq!(machine.alloc_pages(AllocRequest::movable()), Ok(pages[100]));
    assert_eq!(types(&machine), [1, 0, 0]);
    machine.verify().unwrap();
}

#[test]
fn the_smallest_block_is_stolen() {
    let machine = one_pageblock();
    let pages = fill(&machine, AllocRequest::movable());
    let mut sorted = pages.clone();
    sorted.sort_unstable();
    // Free: one page here, four pages there; fewer than half of the pageblock, so that nothing is
    // claimed.
    for n in [100, 200, 201, 202, 203] {
        machine.free_pages(sorted[n], Order::ZERO).unwrap();
    }
    machine.drain_all();
    assert_eq!(machine.alloc_pages(AllocRequest::unmovable()), Ok(sorted[100]));
    assert_eq!(types(&machine), [0, 1, 0]);
}

#[test]
fn the_type_with_the_smallest_block_is_stolen_from() {
    for smaller_is_unmovable in [true, false] {
        // Two pageblocks that are not buddies, one of them full of each type.
        let machine = frames(&[(0, 512), (1024, 1536)]).no_reserve().build();
        let take = |request| {
            let mut pages: Vec<Pfn> = (0..512).map(|_| machine.alloc_pages(request).unwrap()).collect();
            pages.sort_unstable();
            pages
        };
        let (unmovable, reclaimable) = (take(AllocRequest::unmovable()), take(AllocRequest::reclaimable()));
        assert_eq!(types(&machine), [1, 0, 1]);
        let (two, four) =
            if smaller_is_unmovable { (&unmovable, &reclaimable) } else { (&reclaimable, &unmovable) };
        for pfn in two[200..202].iter().chain(&four[200..204]) {
            machine.free_pages(*pfn, Order::ZERO).unwrap();
        }
        machine.drain_all();
        assert_eq!(machine.alloc_pages(AllocRequest::movable()), Ok(two[200]));
        assert_eq!(types(&machine), [1, 0, 1]);
    }
}

#[test]
fn a_movable_request_claims_for_a_block_of_half_the_pageblock_order_and_not_for_less() {
    for (order, claimed) in [(4, true), (3, false)] {
        let machine = one_pageblock();
        let order = Order::new(order);
        let blocks = fill(&machine, AllocRequest::unmovable().order(order));
        assert_eq!(types(&machine), [1, 0, 0]);
        // Every other block, which is half of the pageblock and cannot merge.
        for pfn in blocks.iter().filter(|pfn| pfn.number() & order.pages() == 0) {
            machine.free_pages(*pfn, order).unwrap();
        }
        machine.drain_all();
        assert_eq!(machine.free_count(), 256);
        machine.alloc_pages(AllocRequest::movable()).unwrap();
        assert_eq!(types(&machine)[1], usize::from(claimed), "{order}");
    }
}

#[test]
fn cached_pages_count_for_a_claim() {
    for (freed, claimed) in [(256, true), (255, false)] {
        let machine = one_pageblock();
        let pages = fill(&machine, AllocRequest::movable());
        pages[..freed].iter().for_each(|&pfn| machine.free_pages(pfn, Order::ZERO).unwrap());
        assert!(machine.free_count() < 256, "some of them are cached");
        machine.alloc_pages(AllocRequest::unmovable()).unwrap();
        assert_eq!(types(&machine)[0], usize::from(claimed), "{freed} pages free or cached");
    }
}

#[test]
fn reclaimable_is_preferred_over_movable_for_unmovable_requests() {
    let machine = frames(&[(0, 512), (1024, 1536)]).no_reserve().build();
    let reclaimable = fill(&machine, AllocRequest::reclaimable().order(Order::new(9)));
    machine.free_pages(reclaimable[0], Order::new(9)).unwrap();
    machine.free_pages(reclaimable[1], Order::new(9)).unwrap();
    machine.drain_all();
    let movable = machine.alloc_pages(AllocRequest::movable().order(Order::new(8))).unwrap();
    machine.free_pages(movable, Order::new(8)).unwrap();
    assert_eq!(types(&machine), [0, 1, 1]);
    machine.alloc_pages(AllocRequest::unmovable()).unwrap();
    assert_eq!(types(&machine), [1, 1, 0]);
}

/// 256 MiB in one zone, of which 64 MiB are a CMA area.
fn with_cma(cma_first_above: u8) -> (Machine, PfnRange) {
    let memory = frames(&[(16 << 8, 272 << 8)]);
    let machine = memory.tune(|tuning| tuning.cma_first_above(cma_first_above)).build();
    let area = cma_area(&machine, range(32 << 8, 96 << 8));
    (machine, area.range())
}

#[test]
fn movable_requests_balance_cma_and_other_memory() {
    let (machine, area) = with_cma(50);
    let mut seen_cma = false;
    // Of an order whose blocks leave the zone one at a time.
    let order = Order::new(9);
    let pages = order.pages();
    while let Ok(pfn) = machine.alloc_pages(AllocRequest::movable().order(order)) {
        let (free, cma) = (machine.free_count(), machine.free_cma_count());
        assert_eq!(cached(&machine), 0);
        if area.contains(pfn) {
            seen_cma = true;
            assert!(
                2 * (cma + pages) > free + pages,
                "CMA was taken although it was less than half: {cma} of {free}"
            );
        } else {
            assert!(
                2 * cma <= free + pages,
                "CMA was spared although it was more than half: {cma} of {free}"
            );
        }
    }
    assert!(seen_cma);
}

#[test]
fn refills_of_pcplists_keep_the_same_balance() {
    for order in [0, 4].map(Order::new) {
        let (machine, _) = with_cma(50);
        while machine.free_count() > 16_384 {
            machine.alloc_pages(AllocRequest::movable().order(order)).unwrap();
        }
        // Of 65536 pages 16384 were CMA: both kinds have been in use since they were equally many.
        // The choice is made for a batch.
        let (free, cma) = (machine.free_count(), machine.free_cma_count());
        let batch = machine.zoneinfo().zones.iter().map(|zone| zone.batch).max().unwrap();
        let batch = batch.max(2 * order.pages());
        assert!(cma.abs_diff(free / 2) <= batch, "{cma} CMA pages of {free}, batches of {batch}");
    }
}

#[test]
fn the_balance_is_tunable() {
    let first_movable = |percent| {
        let (machine, area) = with_cma(percent);
        let pfn = machine.alloc_pages(AllocRequest::movable().order(Order::new(4))).unwrap();
        area.contains(pfn)
    };
    assert!(first_movable(0), "0 uses CMA whenever there is some");
    assert!(first_movable(24), "a quarter of memory is CMA: that is more than 24 %");
    assert!(!first_movable(26));
    assert!(!first_movable(100));
    // 100: only when nothing else is left.
    let (machine, area) = with_cma(100);
    let mut in_cma = fill(&machine, AllocRequest::movable().order(Order::new(4)))
        .into_iter()
        .map(|pfn| area.contains(pfn));
    assert!(in_cma.by_ref().skip_while(|inside| !inside).all(|inside| inside), "first all others, then CMA");
}

#[test]
fn free_cma_is_used_to_within_five_percent_before_movable_requests_fail() {
    for percent in [0, 50, 100] {
        let (machine, area) = with_cma(percent);
        fill(&machine, AllocRequest::movable());
        let left = machine.free_cma_count();
        assert!(left * 20 <= area.len(), "{left} of {} CMA pages left with {percent} %", area.len());
    }
}

#[test]
fn other_requests_never_claim_or_steal_cma() {
    for mobility in [Mobility::Unmovable, Mobility::Reclaimable] {
        for order in [0, 3, 9, 10] {
            let (machine, area) = with_cma(50);
            let blocks = fill(&machine, AllocRequest::new(Order::new(order), mobility));
            assert!(!blocks.iter().any(|pfn| area.contains(*pfn)));
            assert_eq!(machine.free_cma_count(), area.len());
        }
    }
    let (machine, area) = with_cma(0);
    fill(&machine, AllocRequest::unmovable());
    let cma = FreeKind::Listed(MigrateType::Cma);
    let pageblocks: usize = machine.pagetypeinfo().zones.iter().map(|zone| zone.pageblocks(cma)).sum();
    assert_eq!(pageblocks * 512, area.len());
}
