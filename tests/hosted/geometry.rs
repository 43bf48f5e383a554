//! Geometries at the edge of what is allowed, through all operations.
//!
//! The other hosted tests run on five geometries each; these are the ones that somebody will try
//! next.

use pageblock::{
    AllocRequest, ContigOptions, FreeKind, Geometry, NoMigration, NoNotifier, Order, Pfn, PfnRange, X86_64,
};

use crate::support::{Machine, Owners, Spanning, cma_area, fill, normal, part, snapshot, unit};

macro_rules! geometry {
    ($name:ident, largest $max:literal, pageblock $pageblock:literal) => {
        enum $name {}
        impl Geometry for $name {
            const MAX_ORDER: Order = Order::new($max);
            const PAGEBLOCK_ORDER: Order = Order::new($pageblock);
            const DMA_END: Pfn = Pfn::new(0);
            const DMA32_END: Pfn = Pfn::new(0);
        }
    };
}

// No buddies at all: every page is a block.
geometry!(Flat, largest 0, pageblock 1);
// A pageblock of two pages, which is also the largest block.
geometry!(Pair, largest 1, pageblock 1);
// The largest buddy spans all 512 pageblocks that it can.
geometry!(Widest, largest 10, pageblock 1);
// A pageblock of four largest blocks.
geometry!(Towering, largest 10, pageblock 12);

fn options() -> ContigOptions {
    ContigOptions::default()
}

/// Everything once, with all invariants checked in between and the machine as at first in the end.
fn live<G: Geometry>() {
    let machine: Machine<G> = normal::<G>(8).build_as::<G>();
    let pages = 8 * unit::<G>();
    let pageblock = G::PAGEBLOCK_ORDER.pages();
    let at_first = snapshot(&machine);

    // Every page can be had, in blocks of every order, and comes back.
    for order in (0..=G::MAX_ORDER.get()).map(Order::new) {
        let blocks = fill(&machine, AllocRequest::movable().order(order));
        assert_eq!(blocks.len() * order.pages(), pages);
        blocks.into_iter().for_each(|pfn| machine.free_pages(pfn, order).unwrap());
        machine.drain_all();
        assert_eq!(snapshot(&machine), at_first, "{order}");
    }

    // Ranges that overlap pageblocks and largest blocks in every way.
    for start in 0..2 * pageblock.min(8) {
        for len in [1, 2, pageblock - 1, pageblock, pageblock + 1, 2 * pageblock + 1] {
            let range = part::<G>(start, len);
            if !range.is_empty() {
                drop(machine.isolate(range).unwrap());
                machine.verify().unwrap();
                drop(machine.alloc_contig(range, &NoMigration, options()).unwrap());
                assert_eq!(snapshot(&machine), at_first, "{range}");
            }
        }
    }

    // Owners move out of the way.
    let owners = Owners::new();
    let owned = owners.fill(&machine, pages / 4);
    let range = part::<G>(1, pages / 2);
    let taken = machine.alloc_contig(range, &owners, options()).unwrap();
    assert!(owners.all().len() == owned && owners.all().iter().all(|(_, pfn, _)| !range.contains(*pfn)));
    machine.verify().unwrap();
    drop(taken);
    owners.free_all(&machine);
    machine.drain_all();
    assert_eq!(snapshot(&machine), at_first);

    // A pageblock goes offline and comes back.
    let block = part::<G>(pageblock, pageblock);
    let (offline, _) = machine.offline(block, &NoMigration, &NoNotifier, options()).unwrap();
    assert_eq!(machine.managed_count(), pages - pageblock);
    machine.verify().unwrap();
    machine.online(offline, &NoNotifier).unwrap();
    assert_eq!(snapshot(&machine), at_first);

    // CMA to its last page.
    let area = cma_area(&machine, part::<G>(2 * pageblock, 2 * pageblock));
    machine.verify().unwrap();
    let all = area.alloc(&machine, 2 * pageblock, Order::ZERO, &NoMigration).unwrap();
    area.free(&machine, PfnRange::with_len(all.start(), 1)).unwrap();
    machine.verify().unwrap();
    area.free(&machine, PfnRange::new(Pfn::new(all.start().number() + 1), all.end())).unwrap();
    assert_eq!(machine.free_cma_count(), 2 * pageblock);
    assert_eq!(machine.verify().unwrap().total().free, pages);
}

#[test]
fn no_buddies_at_all() {
    live::<Flat>();
}

#[test]
fn blocks_of_one_or_two_pages() {
    live::<Pair>();
}

#[test]
fn buddies_over_eight_pageblocks() {
    live::<Spanning>();
}

#[test]
fn buddies_over_512_pageblocks() {
    live::<Widest>();
}

#[test]
fn pageblocks_of_four_largest_blocks() {
    live::<Towering>();
}

#[test]
fn an_undo_in_a_buddy_over_many_pageblocks_takes_no_other_with_it() {
    // 2018: one of many pageblocks is undone, the buddy that it merges into spans more.
    let machine: Machine<Spanning> = normal::<Spanning>(2).build_as::<Spanning>();
    let before = snapshot(&machine);
    let mut held: Vec<_> = (0..8).map(|n| machine.isolate(part::<Spanning>(2 * n, 2)).unwrap()).collect();
    for left in (0..8).rev() {
        drop(held.swap_remove(left / 2));
        machine.verify().unwrap();
        assert_eq!((machine.isolated_count(), machine.free_count()), (2 * left, 32 - 2 * left));
        assert_eq!(machine.pagetypeinfo().zones[2].pageblocks(FreeKind::Isolated), left);
    }
    assert_eq!(snapshot(&machine), before);
}

/// A guard of several pageblocks is isolated in part, and its buddy is freed meanwhile.
///
/// When the isolation ends, everything must be free and merged again.
fn a_guard_outlives_an_isolation<G: Geometry>(guard_below: u8) {
    let builder = normal::<G>(2).tune(|tuning| tuning.guard_below(Order::new(guard_below)));
    let machine = builder.build_as::<G>();
    let all = machine.free_count();
    let largest = machine.buddyinfo().zones[2].all(G::MAX_ORDER);
    for n in 0..2 * unit::<G>() / G::PAGEBLOCK_ORDER.pages() {
        let pfn = machine.alloc_pages(AllocRequest::movable()).unwrap();
        machine.drain_all();
        let isolated = machine.isolate(part::<G>(n * G::PAGEBLOCK_ORDER.pages(), 1)).unwrap();
        machine.free_pages(pfn, Order::ZERO).unwrap();
        machine.drain_all();
        machine.verify().unwrap();
        drop(isolated);
        machine.verify().unwrap();
        let census = machine.verify().unwrap().total();
        assert_eq!((census.guard, census.free), (0, all), "pageblock {n}");
        assert_eq!(machine.buddyinfo().zones[2].all(G::MAX_ORDER), largest);
    }
}

#[test]
fn guards_as_large_as_a_pageblock_outlive_an_isolation() {
    for guard_below in 1..=10 {
        a_guard_outlives_an_isolation::<X86_64>(guard_below);
    }
}

#[test]
fn guards_over_several_pageblocks_outlive_an_isolation() {
    for guard_below in 1..=4 {
        a_guard_outlives_an_isolation::<Spanning>(guard_below);
    }
}
