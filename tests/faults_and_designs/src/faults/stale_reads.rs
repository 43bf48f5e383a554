//! Patches 4 and 5, and W2: a free uses a pageblock's state that it has read before the lock.
//!
//! | test | fault | what the other CPU does in between |
//! |---|---|---|
//! | `patch_4_*` | `STALE_ISOLATED` | undoes the isolation |
//! | `patch_5_*` | `STALE_NORMAL` | isolates the pageblock |
//! | `w2_*` | `STATE_READ_BEFORE_PCP_LOCK` | isolates the pageblock and drains |
//!
//! Blocks have order 4 (16 pages), which no pcplist caches, but for W2, which is about pcplists.

use pageblock::{Faults, Obstacle, Order, Pfn, YieldPoint};

use crate::other_cpu::{
    Area, BLOCK, Drift, Isolator, OtherCpu, Static, assert_drift, free_to_buddy, owned_in_blocks,
};

const ORDER: Order = Order::new(4);
const PAGES: usize = 16;
const BUDDY: Pfn = Pfn::new(512 + PAGES);

/// What becomes of the freed block's buddy before.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Buddy {
    Owned,
    Free,
}

fn machine(faults: Faults, buddy: Buddy, area: Area) -> Static {
    let machine = owned_in_blocks(ORDER, area);
    machine.set_faults(faults);
    if buddy == Buddy::Free {
        free_to_buddy(machine, BUDDY, ORDER);
    }
    machine
}

/// C1 reads "isolated"; C2 undoes the isolation; C1 locks and frees.
fn undone_before_the_lock(faults: Faults, buddy: Buddy, area: Area) -> Static {
    let machine = machine(faults, buddy, area);
    let isolator = Isolator::new(machine);
    isolator.isolate(BLOCK);
    let c2 = OtherCpu::at(machine, YieldPoint::FreeHasReadState, move || isolator.undo());
    machine.free_pages(BLOCK.start(), ORDER).unwrap();
    c2.had_its_turn();
    machine
}

/// C1 reads "movable"; C2 isolates the pageblock; C1 locks and frees.
fn isolated_before_the_lock(faults: Faults, buddy: Buddy, area: Area) -> (Static, Isolator) {
    let machine = machine(faults, buddy, area);
    let isolator = Isolator::new(machine);
    let c2 = OtherCpu::at(machine, YieldPoint::FreeHasReadState, move || isolator.isolate(BLOCK));
    machine.free_pages(BLOCK.start(), ORDER).unwrap();
    c2.had_its_turn();
    (machine, isolator)
}

#[test]
fn patch_4_stale_isolated_read_overcounts_the_buddies_it_takes_along() {
    let pages = PAGES as isize;
    for area in [Area::Ordinary, Area::Cma] {
        let expected = Drift::from_free_to_isolated(-pages, 2 * PAGES).in_area(area);
        assert_drift(Faults::STALE_ISOLATED, expected, |faults| {
            undone_before_the_lock(faults, Buddy::Free, area)
        });
    }
}

#[test]
fn patch_4_stale_isolated_read_strands_a_block_that_nobody_can_allocate() {
    let stranded = Drift { misplaced: PAGES, ..Drift::NONE };
    assert_drift(Faults::STALE_ISOLATED, stranded, |faults| {
        let machine = undone_before_the_lock(faults, Buddy::Owned, Area::Ordinary);
        let lost = faults.contains(Faults::STALE_ISOLATED);
        assert_eq!(machine.free_count(), if lost { 0 } else { PAGES });
        machine
    });
}

#[test]
fn patch_5_stale_normal_read_undercounts_the_buddies_it_takes_along() {
    let pages = PAGES as isize;
    for area in [Area::Ordinary, Area::Cma] {
        let expected = Drift::from_free_to_isolated(pages, 2 * PAGES).in_area(area);
        assert_drift(Faults::STALE_NORMAL, expected, |faults| {
            isolated_before_the_lock(faults, Buddy::Free, area).0
        });
    }
}

#[test]
fn patch_5_stale_normal_read_leaves_its_drift_behind_after_the_undo() {
    let expected = Drift::from_free_to_isolated(PAGES as isize, 0);
    assert_drift(Faults::STALE_NORMAL, expected, |faults| {
        let (machine, isolator) = isolated_before_the_lock(faults, Buddy::Free, Area::Ordinary);
        isolator.undo();
        machine
    });
}

#[test]
fn patch_5_stale_normal_read_breaks_the_isolation_without_any_drift_of_its_own() {
    let broken = Drift { misplaced: PAGES, ..Drift::NONE };
    assert_drift(Faults::STALE_NORMAL, broken, |faults| {
        let (machine, isolator) = isolated_before_the_lock(faults, Buddy::Owned, Area::Ordinary);
        let blocked = isolator.blocked().unwrap();
        if faults.contains(Faults::STALE_NORMAL) {
            assert_eq!((blocked.pfn, blocked.reason), (BLOCK.start(), Obstacle::NotIsolated));
        } else {
            assert_eq!(blocked.pfn, BUDDY, "the freed block is not in the way");
        }
        machine
    });
}

#[test]
fn w2_a_state_read_before_the_pcplist_lock_hides_a_page_from_the_isolator() {
    let interleaving = |faults| {
        let machine = owned_in_blocks(Order::ZERO, Area::Ordinary);
        machine.set_faults(faults);
        let isolator = Isolator::new(machine);
        let c2 = OtherCpu::at(machine, YieldPoint::FreeBeforePcpLock, move || {
            isolator.isolate(Order::ZERO.block(BLOCK.start()));
        });
        machine.free_pages(BLOCK.start(), Order::ZERO).unwrap();
        c2.had_its_turn();
        machine.verify().unwrap();
        isolator.blocked()
    };
    let hidden = interleaving(Faults::STATE_READ_BEFORE_PCP_LOCK).unwrap();
    assert_eq!((hidden.pfn, hidden.reason), (BLOCK.start(), Obstacle::Cached));
    assert!(interleaving(Faults::empty()).is_none(), "the page is free and isolated");
}
