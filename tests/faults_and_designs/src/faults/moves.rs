//! Patch 9 and the undo of 2018 and 2022: what is counted when a pageblock changes lists.
//!
//! | test | fault | mistake |
//! |---|---|---|
//! | `patch_9_*` | `MOVED_MEANS_FOUND` | pages that are on the new list already count as moved |
//! | `undo_of_2018_*` | `FIRST_BLOCK_ONLY` | the undo of a large block clears one pageblock |
//! | `a_skipped_line_*` | `SKIPPED_ACCOUNT` | one line of accounting is left out |

use pageblock::{AllocRequest, Faults, Order, Pfn, PfnRange, YieldPoint};

use crate::other_cpu::{
    Area, BLOCK, Drift, Isolator, OtherCpu, Static, assert_drift, free_to_buddy, leak, owned_in_blocks,
    two_cpus,
};
use crate::support::Wide;

const ORDER: Order = Order::new(4);
const PAGES: usize = 16;

fn frames(start: usize, len: usize) -> PfnRange {
    PfnRange::with_len(Pfn::new(start), len)
}

#[test]
fn patch_9_moved_means_found_subtracts_what_a_first_isolator_has_moved() {
    const MOVED: usize = 3;
    for area in [Area::Ordinary, Area::Cma] {
        let lost = -((MOVED * PAGES) as isize);
        let expected = Drift { free: lost, ..Drift::NONE }.in_area(area);
        assert_drift(Faults::MOVED_MEANS_FOUND, expected, |faults| {
            let machine = owned_in_blocks(ORDER, area);
            machine.set_faults(faults);
            for n in 0..MOVED {
                free_to_buddy(machine, Pfn::new(512 + 2 * n * PAGES), ORDER);
            }
            Isolator::new(machine).isolate(frames(512, 256));
            assert_eq!(Drift::of(machine), Drift::NONE, "the first isolation moves what it finds");
            Isolator::new(machine).isolate(frames(768, 256));
            machine
        });
    }
}

#[test]
fn patch_9_moved_means_found_adds_what_is_on_the_ordinary_list_at_the_undo() {
    // Such a page is there by another mistake only: a stale read, which makes no drift of its own.
    let machine = owned_in_blocks(ORDER, Area::Ordinary);
    let isolator = Isolator::new(machine);
    machine.set_faults(Faults::STALE_NORMAL);
    let c2 = OtherCpu::at(machine, YieldPoint::FreeHasReadState, move || isolator.isolate(BLOCK));
    machine.free_pages(BLOCK.start(), ORDER).unwrap();
    c2.had_its_turn();
    assert_eq!(Drift::of(machine), Drift { misplaced: PAGES, ..Drift::NONE });
    machine.set_faults(Faults::MOVED_MEANS_FOUND);
    isolator.undo();
    assert_eq!(Drift::of(machine), Drift { free: PAGES as isize, ..Drift::NONE });
}

/// C1 undoes the isolation of a free block of several pageblocks, and C2 splits that block.
///
/// The block is all memory. C2 comes in after the first pageblock has been cleared.
fn split_during_the_undo(faults: Faults, pageblocks: usize) -> Static<Wide> {
    let machine = leak(two_cpus(256 * pageblocks).build_as::<Wide>());
    machine.set_faults(faults);
    let isolator = Isolator::new(machine);
    isolator.isolate(frames(0, 256 * pageblocks));
    let c2 = OtherCpu::at(machine, YieldPoint::UndoBetweenBlocks, move || {
        assert_eq!(machine.alloc_pages(AllocRequest::movable().order(Order::new(8))), Ok(Pfn::new(0)));
    });
    isolator.undo();
    c2.had_its_turn();
    machine
}

#[test]
fn undo_of_2018_adds_every_pageblock_but_the_first_once_more() {
    for (pageblocks, expected) in [(1, 0), (2, 256), (4, 3 * 256)] {
        let expected = Drift { free: expected, ..Drift::NONE };
        assert_drift(Faults::FIRST_BLOCK_ONLY, expected, |faults| split_during_the_undo(faults, pageblocks));
    }
}

#[test]
fn a_skipped_line_of_accounting_undercounts_each_page() {
    const FREED: usize = 5;
    let expected = Drift { free: -(FREED as isize), ..Drift::NONE };
    assert_drift(Faults::SKIPPED_ACCOUNT, expected, |faults| {
        let machine = owned_in_blocks(Order::ZERO, Area::Ordinary);
        machine.set_faults(faults);
        for n in 0..FREED {
            free_to_buddy(machine, Pfn::new(2 * n), Order::ZERO);
        }
        machine
    });
}
