//! The walks for who wants to know what is allocated: blocks, pageblocks, owner words of ranges.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use pageblock::{
    AllocRequest, AllocatedState, ContigOptions, FreeError, Geometry, Mobility, NoMigration, Order, Pfn,
    PfnRange,
};

use crate::support::{
    self, Easygoing, Machine, SetOnDrop, Threads, Zoned, cma_area, frames, mebibytes, normal,
    on_every_geometry, orders, part, range, scope, unit,
};

/// Every allocated page, by owner word.
fn pages_by_owner<G: Geometry>(machine: &Machine<G>) -> BTreeMap<u64, Vec<usize>> {
    let mut owners: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
    for block in machine.allocated_blocks() {
        owners.entry(block.owner).or_default().extend(block.range().iter().map(Pfn::number));
    }
    owners
}

fn numbers(range: PfnRange) -> Vec<usize> {
    range.iter().map(Pfn::number).collect()
}

fn every_allocated_block_is_found_as_it_was_allocated<G: Geometry>() {
    let machine = normal::<G>(8).build_as::<G>();
    assert_eq!(machine.allocated_blocks().count(), 0, "memory that was never used");
    let mut expected = BTreeMap::new();
    for (number, order) in orders::<G>().chain(orders::<G>().rev()).enumerate() {
        let mobility = [Mobility::Unmovable, Mobility::Movable, Mobility::Reclaimable][number % 3];
        let owner = number as u64;
        let pfn = machine.alloc_pages(AllocRequest::new(order, mobility).owner(owner)).unwrap();
        expected.insert(pfn, (order, Some(mobility), owner, AllocatedState::InUse));
    }
    let found = || {
        machine
            .allocated_blocks()
            .map(|block| (block.pfn, (block.order, block.mobility, block.owner, block.state)))
            .collect::<Vec<_>>()
    };
    assert_eq!(found(), expected.clone().into_iter().collect::<Vec<_>>());
    let middle = *expected.keys().nth(expected.len() / 2).unwrap();
    let kept = expected.split_off(&middle);
    for (pfn, (order, ..)) in expected {
        machine.free_pages(pfn, order).unwrap();
    }
    assert_eq!(found(), kept.into_iter().collect::<Vec<_>>(), "freed blocks, cached or not, are not found");
}

fn the_blocks_add_up_to_the_allocated_pages<G: Geometry>() {
    let machine = normal::<G>(8).build_as::<G>();
    let _exact = machine.alloc_exact(3, AllocRequest::unmovable()).unwrap();
    let _range = machine
        .alloc_contig(part::<G>(3 * unit::<G>() + 1, unit::<G>()), &NoMigration, ContigOptions::default())
        .unwrap();
    let area = cma_area(&machine, part::<G>(6 * unit::<G>(), unit::<G>()));
    area.alloc(&machine, 2, Order::ZERO, &Easygoing).unwrap();
    let pages: usize = machine.allocated_blocks().map(|block| block.pages()).sum();
    assert_eq!(pages, 3 + unit::<G>() + 2);
    assert_eq!(pages, machine.verify().unwrap().total().allocated);
    let states = machine.census_by::<_, 4>(|block| block.state);
    assert_eq!(
        [AllocatedState::InUse, AllocatedState::Contig, AllocatedState::Cma]
            .map(|use_of| states.pages_of(use_of)),
        [3, unit::<G>(), 2]
    );
    assert_eq!((states.pages(), states.blocks()), (pages, machine.allocated_blocks().count()));
}

fn every_page_of_an_exact_range_has_the_owner_word<G: Geometry>() {
    let machine = normal::<G>(4).build_as::<G>();
    for pages in 1..=G::MAX_ORDER.pages().min(40) {
        let exact = machine.alloc_exact(pages, AllocRequest::unmovable().owner(77)).unwrap();
        assert_eq!(pages_by_owner(&machine), BTreeMap::from([(77, numbers(exact.range()))]), "{pages} pages");
    }
}

fn every_page_of_a_contiguous_range_has_the_owner_word<G: Geometry>() {
    let machine = normal::<G>(4).build_as::<G>();
    let wanted = part::<G>(1, 2 * unit::<G>());
    let contig = machine.alloc_contig(wanted, &NoMigration, ContigOptions::default().owner(9)).unwrap();
    assert_eq!(pages_by_owner(&machine), BTreeMap::from([(9, numbers(wanted))]));
    machine.set_range_owner(wanted, 10).unwrap();
    assert_eq!(pages_by_owner(&machine), BTreeMap::from([(10, numbers(wanted))]));
    // A part is freed; the rest keeps the word, also the rest of a block that was split.
    let freed = PfnRange::with_len(wanted.start().checked_add(unit::<G>() / 2).unwrap(), 3);
    let left = contig.into_raw();
    machine.free_contig(freed).unwrap();
    let rest: Vec<_> = left.iter().filter(|pfn| !freed.contains(*pfn)).map(Pfn::number).collect();
    assert_eq!(pages_by_owner(&machine), BTreeMap::from([(10, rest)]));
    machine.verify().unwrap();
    let place = pageblock::ContigPlace::default();
    let options = ContigOptions::default().owner(11);
    let anywhere = machine.alloc_contig_pages(3, place, &NoMigration, options).unwrap();
    assert_eq!(pages_by_owner(&machine)[&11], numbers(anywhere.range()));
}

fn the_owner_word_of_a_range_is_set_for_whole_blocks_only<G: Geometry>() {
    let machine = normal::<G>(4).build_as::<G>();
    let block = machine.alloc(AllocRequest::unmovable().order(Order::new(1)).owner(3)).unwrap();
    let half = PfnRange::with_len(block.pfn(), 1);
    assert_eq!(machine.set_range_owner(half, 4), Err(FreeError::BadRange { range: half }));
    let longer = PfnRange::with_len(block.pfn(), 3);
    assert!(matches!(machine.set_range_owner(longer, 4), Err(FreeError::NotContig { .. })));
    let foreign = PfnRange::with_len(Pfn::new(usize::MAX - 4), 3);
    assert!(matches!(machine.set_range_owner(foreign, 4), Err(FreeError::Foreign { .. })));
    assert_eq!(machine.owner(block.pfn(), block.order()), Ok(3), "nothing has changed");
    machine.set_range_owner(block.range(), 4).unwrap();
    assert_eq!(machine.owner(block.pfn(), block.order()), Ok(4));
    machine.set_range_owner(PfnRange::with_len(block.pfn(), 0), 5).unwrap();
    let (low, high) = block.split().unwrap();
    for half in [low, high] {
        assert_eq!(machine.owner(half.pfn(), half.order()), Ok(4), "both halves of a split have it");
    }
}

fn the_pageblocks_add_up_to_the_machine<G: Geometry>() {
    let machine = normal::<G>(8).build_as::<G>();
    let one = G::PAGEBLOCK_ORDER.pages();
    let area = part::<G>(6 * unit::<G>(), one);
    cma_area(&machine, area);
    let kept = support::fill(&machine, AllocRequest::unmovable());
    for pfn in kept.iter().skip(unit::<G>() / 2) {
        machine.free_pages(*pfn, Order::ZERO).unwrap();
    }
    let isolated = machine.isolate(part::<G>(5 * unit::<G>(), 1)).unwrap();
    let census = machine.verify().unwrap().total();
    let all: Vec<_> = machine.pageblocks().collect();
    assert_eq!(all.len() * one, 8 * unit::<G>());
    assert!(all.windows(2).all(|pair| pair[0].range.end() == pair[1].range.start()));
    assert_eq!(all.iter().map(|one| one.present).sum::<usize>(), census.present);
    assert_eq!(all.iter().map(|one| one.allocated).sum::<usize>(), census.allocated);
    assert_eq!(all.iter().map(|one| one.cached).sum::<usize>(), census.cached);
    let free =
        |isolated| all.iter().filter(|one| one.isolated == isolated).map(|one| one.free).sum::<usize>();
    assert_eq!((free(false), free(true)), (census.free, census.isolated));
    let info = machine.pagetypeinfo();
    for one in &all {
        assert_eq!(one.isolated, one.range.contains(isolated.range().start()));
        assert_eq!(one.migratetype == pageblock::MigrateType::Cma, area.covers(one.range));
        let listed = pageblock::FreeKind::Listed(one.migratetype);
        assert!(one.isolated || info.zones[2].pageblocks(listed) > 0);
    }
}

#[test]
fn pageblocks_without_memory_are_left_out() {
    let machine = frames(&[(0, 512), (1024, 1100), (1 << 20, (1 << 20) + 512)]).reserve(40, 50).build();
    let found: Vec<_> = machine.pageblocks().map(|one| (one.range.start().number(), one.present)).collect();
    assert_eq!(found, [(0, 502), (1024, 76), (1 << 20, 512)]);
    assert_eq!(machine.allocated_blocks().count(), 0);
}

#[test]
fn every_zone_is_walked() {
    let machine = frames(&[(0, 8192)]).no_reserve().build_as::<Zoned>();
    let blocks = support::fill(&machine, AllocRequest::unmovable().order(Order::new(3)));
    // All but the lowmem reserves of the two lower zones.
    assert!(blocks.iter().any(|pfn| pfn.number() < 1024), "a block of each zone");
    let found: Vec<_> = machine.allocated_blocks().map(|block| block.pfn).collect();
    let mut expected = blocks;
    expected.sort_unstable();
    assert_eq!(found, expected);
}

#[test]
fn the_loop_may_free_what_it_finds() {
    let machine = mebibytes(32).no_reserve().build();
    let blocks = support::fill(&machine, AllocRequest::movable().order(Order::new(1)));
    let mut freed = 0;
    for block in machine.allocated_blocks() {
        machine.free_pages(block.pfn, block.order).unwrap();
        machine.drain_all();
        freed += 1;
    }
    assert_eq!((freed, machine.free_count()), (blocks.len(), machine.managed_count()));
}

#[test]
fn a_census_has_the_largest_first_and_all_others_in_one_sum() {
    let machine = mebibytes(32).no_reserve().build();
    for (owner, pages) in [(1, 3), (2, 100), (3, 20), (4, 7), (5, 1)] {
        let _leaked = machine.alloc_exact(pages, AllocRequest::unmovable().owner(owner)).unwrap().into_raw();
    }
    let census = machine.census_by_owner::<8>();
    let rows: Vec<_> = census.rows().map(|row| (row.key, row.pages)).collect();
    assert_eq!(rows, [(2, 100), (3, 20), (4, 7), (1, 3), (5, 1)]);
    assert_eq!((census.pages(), census.others().pages, census.pages_of(6)), (131, 0, 0));
    let short = machine.census_by_owner::<2>();
    assert_eq!(short.rows().count(), 2);
    assert_eq!((short.pages(), short.blocks()), (131, census.blocks()), "the sum is still everything");
    let text = short.to_string();
    assert!(text.contains("others") && text.lines().last().unwrap().contains("131"), "{text}");
    assert!(machine.census_by_owner::<0>().rows().next().is_none());
    let block = machine.allocated_blocks().next().unwrap().to_string();
    assert!(
        block.contains("order 1") && block.contains("unmovable") && block.contains("owner 0x"),
        "{block}"
    );
}

/// What stays allocated is found once in each walk, and no frame twice, whatever else happens.
#[test]
fn a_walk_beside_others_finds_what_stays() {
    let machine = mebibytes(16).cpus(3).no_reserve().build();
    let kept: Vec<_> = (0..200)
        .map(|number| {
            let request =
                AllocRequest::unmovable().order(Order::new(number % 4)).owner(1 + u64::from(number));
            (machine.alloc_pages(request).unwrap(), Order::new(number % 4))
        })
        .collect();
    let done = AtomicBool::new(false);
    scope(|scope| {
        for cpu in 1..3 {
            let (machine, done) = (&machine, &done);
            scope.spawn(move || {
                Threads::become_cpu(cpu);
                while !done.load(Ordering::Relaxed) {
                    for order in [0, 9, 3, 10, 1] {
                        let request = AllocRequest::movable().order(Order::new(order));
                        let blocks: Vec<_> =
                            (0..4).filter_map(|_| machine.alloc_pages(request).ok()).collect();
                        for pfn in blocks {
                            machine.free_pages(pfn, Order::new(order)).unwrap();
                        }
                    }
                    drop(machine.alloc_exact(5, AllocRequest::unmovable()));
                    machine.drain_all();
                }
            });
        }
        let _stop = SetOnDrop(&done);
        for _ in 0..50 {
            let (mut end, mut found) = (Pfn::new(0), 0);
            for block in machine.allocated_blocks() {
                assert!(block.pfn >= end, "{} was returned before", block.pfn);
                end = block.range().end();
                if let Some(owner) = block.owner.checked_sub(1) {
                    assert_eq!((block.pfn, block.order), kept[owner as usize]);
                    found += 1;
                }
            }
            assert_eq!(found, kept.len());
        }
    });
    assert_eq!(range(0, 4096).len(), machine.pageblocks().map(|one| one.present).sum::<usize>());
}

on_every_geometry!(
    every_allocated_block_is_found_as_it_was_allocated,
    the_blocks_add_up_to_the_allocated_pages,
    every_page_of_an_exact_range_has_the_owner_word,
    every_page_of_a_contiguous_range_has_the_owner_word,
    the_owner_word_of_a_range_is_set_for_whole_blocks_only,
    the_pageblocks_add_up_to_the_machine,
);
