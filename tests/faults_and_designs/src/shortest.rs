//! The shortest way to each fault that needs no race, found by a search of all states.
//!
//! The search is that of `tests/closure`, with a fault switched on. It makes the calls one after
//! the other, so that a fault which needs two CPUs at once is not found by it.

use std::io::Write;

use pageblock::{Depth, Faults, Geometry, Mobility, Order, Pfn};

use crate::search::call::{Owners, Request, Run};
use crate::search::machine::{Locked, Setup};
use crate::search::world::{Alphabet, World};
use crate::search::{Found, Search};

/// Pageblocks of two frames, four of which are the largest block.
enum Two {}
impl Geometry for Two {
    const MAX_ORDER: Order = Order::new(3);
    const PAGEBLOCK_ORDER: Order = Order::new(1);
    const DMA_END: Pfn = Pfn::new(0);
    const DMA32_END: Pfn = Pfn::new(0);
}

const fn run(start: u8, len: u8) -> Run {
    Run { start, len }
}

const SETUP: Setup = Setup { frames: 4, cpus: 1, min_free: 0, guard_below: 0, cma: None };

const CALLS: Alphabet = Alphabet {
    requests: &[Request(Mobility::Movable, Depth::Normal)],
    orders: &[0, 1],
    isolate: &[run(0, 1), run(1, 1), run(2, 2), run(0, 4)],
    most_isolated: 2,
    contig: &[run(0, 1), run(2, 2)],
    owners: &Owners::ALL,
    offline: &[run(0, 2)],
    ..Alphabet::NONE
};

/// The first wrong state, and the calls that lead to it. Splits leave guards below this order.
fn search(faults: Faults, guard_below: u8) -> Found {
    let world = World::<Two, Locked>::new(Setup { guard_below, ..SETUP }, CALLS);
    world.machine.allocator().set_faults(faults);
    Search::new(world).run(200_000)
}

/// The fault is refuted with these calls, which are the fewest.
#[track_caller]
fn refuted(faults: Faults, guard_below: u8, expected: &str) {
    assert_eq!(search(Faults::empty(), guard_below).counterexample.map(|found| found.to_string()), None);
    let counterexample = search(faults, guard_below).counterexample.unwrap().to_string();
    let name = Faults::NAMES.iter().find(|(_, known)| *known == faults).map_or("", |(name, _)| name);
    let _written = writeln!(std::io::stderr(), "{name}:\n{counterexample}");
    let lines = |text: &str| text.lines().map(|line| line.trim().to_owned()).collect::<Vec<_>>();
    assert_eq!(lines(&counterexample), lines(expected.trim()));
}

#[test]
fn a_skipped_line_of_accounting() {
    refuted(
        Faults::SKIPPED_ACCOUNT,
        0,
        "1. CPU 0 allocates 1 movable frame -> frame 0
         I2, I3, I4, I10: zone Normal drifts by 1 pages, 0 misplaced, 0 damaged lists",
    );
}

#[test]
fn patch_2_a_guard_that_merges_into_an_isolated_block_is_counted() {
    refuted(
        Faults::GUARD_COUNTED,
        1,
        "1. CPU 0 allocates 1 movable frame -> frame 0
         2. take frame 0 as a contiguous range, whose owners migrate -> frame 0
         I2, I3, I4, I10: zone Normal drifts by 1 pages, 0 misplaced, 0 damaged lists",
    );
}

#[test]
fn patch_3_a_cached_page_goes_to_the_list_of_the_type_that_it_was_cached_for() {
    refuted(
        Faults::CACHED_TYPE_AT_SPILL,
        0,
        "1. CPU 0 allocates 1 movable frame -> frame 0
         2. CPU 0 frees frame 0
         3. isolate frame 0
         I2, I3, I4, I10: zone Normal drifts by 2 pages, 4 misplaced, 0 damaged lists",
    );
}

#[test]
fn patch_9_pages_that_are_isolated_already_are_counted_as_moved() {
    refuted(
        Faults::MOVED_MEANS_FOUND,
        0,
        "1. isolate frame 0
         2. isolate frame 1
         I2, I3, I4, I10: zone Normal drifts by 2 pages, 0 misplaced, 0 damaged lists",
    );
}

#[test]
fn patch_10_blocks_merge_across_isolation() {
    refuted(
        Faults::MERGE_ACROSS,
        0,
        "1. isolate frame 0
         I2, I3, I4, I10: zone Normal drifts by 2 pages, 4 misplaced, 0 damaged lists",
    );
}

#[test]
fn v3_18_whether_buddies_merge_depends_on_one_of_them() {
    refuted(
        Faults::FREED_BLOCK_ONLY,
        0,
        "1. isolate frames 0 to 3
         2. undo the isolation of frames 0 to 3
         I2, I3, I4, I10: zone Normal drifts by 2 pages, 0 misplaced, 0 damaged lists",
    );
}

#[test]
fn the_undo_of_2018_clears_the_first_pageblock_only() {
    refuted(
        Faults::FIRST_BLOCK_ONLY,
        0,
        "1. isolate frame 0
         2. isolate frames 2 to 3
         3. undo the isolation of frame 0
         I2, I3, I4, I10: zone Normal drifts by 0 pages, 4 misplaced, 0 damaged lists",
    );
}

#[test]
fn v6_10_a_guard_that_merges_is_not_counted() {
    refuted(
        Faults::GUARD_NOT_COUNTED,
        2,
        "1. CPU 0 allocates 2 movable frames -> frame 0
         2. CPU 0 frees frames 0 to 1
         I2, I3, I4, I10: zone Normal drifts by 2 pages, 0 misplaced, 0 damaged lists",
    );
}

#[test]
fn a_block_that_is_freed_while_it_migrates_is_lost() {
    refuted(
        Faults::FREED_WHILE_MOVED_LOST,
        0,
        "1. CPU 0 allocates 1 movable frame -> frame 0
         2. take frame 0 as a contiguous range, whose owners free what they are to migrate
         frame 0 is Head(0) and must be Pool",
    );
}

#[test]
fn the_kernel_before_the_ten_patches() {
    refuted(
        Faults::UNPATCHED,
        0,
        "1. isolate frame 0
         I2, I3, I4, I10: zone Normal drifts by 2 pages, 4 misplaced, 0 damaged lists",
    );
}

#[test]
fn no_order_of_whole_calls_shows_a_fault_that_needs_a_race() {
    for faults in [Faults::STALE_ISOLATED, Faults::STALE_NORMAL, Faults::STATE_READ_BEFORE_PCP_LOCK] {
        let found = search(faults, 0);
        assert!(found.counterexample.is_none() && found.left == 0, "{faults:?}: {found}");
    }
}

#[test]
fn every_fault_is_here() {
    let race = Faults::STALE_ISOLATED | Faults::STALE_NORMAL | Faults::STATE_READ_BEFORE_PCP_LOCK;
    // Nothing is reported to a host here: `faults::reports` has that one.
    let elsewhere = race | Faults::REPORTED_BEFORE_ACKNOWLEDGED;
    for (name, faults) in Faults::NAMES.iter().filter(|(_, faults)| !elsewhere.contains(*faults)) {
        let refuted = (0..3).any(|guard_below| search(*faults, guard_below).counterexample.is_some());
        assert!(refuted, "{name} is refuted with some guards");
    }
}
