//! A CMA area is made of free memory while other CPUs allocate, free, isolate and make areas there.
//!
//! | model | the step that it needs |
//! |---|---|
//! | unmovable pages | one lock hold sees that a block is free and changes its type |
//! | movable pages | the pages of a block are counted on its new list in that hold |
//! | areas | that hold also sees that the type is movable, and not CMA |
//! | areas and a cached page | who isolates looks at the type after that; others leave it alone |
//! | isolation | a pageblock that is isolated by then stays so when its type is given back |
//! | given up | pageblocks that have got the type lose it if a later one is in use |
//!
//! One lock hold changes up to four blocks; the machines with an area of five take two.

use std::sync::Arc;

use loom::thread::JoinHandle;
use pageblock::{AllocRequest, CmaArea, CmaError, MigrateType, Order, Pfn, PfnRange};

use crate::model::{Machine, Model, cpu, frames};

/// The largest block, of two pageblocks.
const FOUR: Order = Order::new(2);

fn make_area(machine: &Machine, range: PfnRange) -> Result<CmaArea<'static>, CmaError> {
    let bitmap = vec![0; CmaArea::bitmap_words(range.len())].leak();
    CmaArea::new(machine, range, bitmap)
}

/// Makes an area, and leaves its pageblocks as they are then.
fn area_maker(machine: &Arc<Machine>, number: usize, range: PfnRange) -> JoinHandle<bool> {
    let machine = machine.clone();
    cpu(number, move || make_area(&machine, range).is_ok())
}

/// The pageblocks of `range` are CMA if there is an area, and otherwise none of them is.
#[track_caller]
fn assert_types(machine: &Machine, range: PfnRange, is_area: bool) {
    machine.drain_all();
    for pageblock in machine.pageblocks().filter(|pageblock| range.covers(pageblock.range)) {
        assert_eq!(pageblock.migratetype == MigrateType::Cma, is_area, "{}", pageblock.range);
    }
    assert_eq!(machine.free_cma_count(), if is_area { range.len() } else { 0 });
}

/// Another CPU allocates a page of this mobility, frees it and allocates one again.
fn user(machine: &Arc<Machine>, number: usize, request: AllocRequest) -> JoinHandle<Option<Pfn>> {
    let machine = machine.clone();
    cpu(number, move || {
        if let Ok(pfn) = machine.alloc_pages(request) {
            machine.free_pages(pfn, Order::ZERO).unwrap();
        }
        machine.alloc_pages(request).ok()
    })
}

/// Two CPUs allocate pages of the block that is to be the area, one of them unmovable ones.
const UNMOVABLE: Model = Model {
    machine: || Machine::owned(8, FOUR, &[0]),
    concurrently: |machine| {
        let unmovable = user(machine, 1, AllocRequest::unmovable());
        let movable = user(machine, 0, AllocRequest::movable());
        let area = make_area(machine, frames(0, 4));
        let [unmovable, movable] = [unmovable, movable].map(|user| user.join().unwrap());
        assert!(area.is_err() || unmovable.is_none(), "an unmovable page is in a CMA area");
        for pfn in unmovable.into_iter().chain(movable) {
            machine.free_pages(pfn, Order::ZERO).unwrap();
        }
        assert_types(machine, frames(0, 4), area.is_ok());
        machine.free_pages(Pfn::new(4), FOUR).unwrap();
    },
    preemptions: Some(2),
};

/// CPU 1 allocates a movable page and frees it, which may be on its pcplist or part of the block.
const MOVABLE: Model = Model {
    machine: || Machine::owned(8, FOUR, &[0]),
    concurrently: |machine| {
        let user = user(machine, 1, AllocRequest::movable());
        let area = make_area(machine, frames(0, 4));
        assert!(!matches!(area, Err(CmaError::Taken { .. } | CmaError::MovableOnly { .. })));
        // There may be none: all memory is isolated if a page of it is on a pcplist.
        let page = user.join().unwrap();
        page.into_iter().for_each(|pfn| machine.free_pages(pfn, Order::ZERO).unwrap());
        assert_types(machine, frames(0, 4), area.is_ok());
        machine.free_pages(Pfn::new(4), FOUR).unwrap();
    },
    preemptions: Some(4),
};

/// Several CPUs make areas, some of which have pageblocks in common.
fn areas(machine: &Arc<Machine>, ours: PfnRange, others: &[PfnRange]) {
    let makers: Vec<_> = others.iter().map(|range| area_maker(machine, 1, *range)).collect();
    let mut all = vec![(ours, make_area(machine, ours).is_ok())];
    all.extend(others.iter().zip(makers).map(|(range, maker)| (*range, maker.join().unwrap())));
    let made: Vec<PfnRange> = all.iter().filter(|(_, made)| *made).map(|(range, _)| *range).collect();
    for (number, area) in made.iter().enumerate() {
        let overlaps = made[..number].iter().any(|other| other.overlaps(*area));
        assert!(!overlaps, "a pageblock is in two areas");
    }
    assert!(!made.is_empty(), "nobody has got an area");
    machine.drain_all();
    for pageblock in machine.pageblocks() {
        let in_area = made.iter().any(|area| area.covers(pageblock.range));
        assert_eq!(pageblock.migratetype == MigrateType::Cma, in_area, "{}", pageblock.range);
    }
    assert_eq!(machine.free_cma_count(), made.iter().map(|area| area.len()).sum::<usize>());
}

/// The first area takes two lock holds, and blocks of it may be in other areas then.
const AREAS: Model = Model {
    machine: || Machine::free(20),
    concurrently: |machine| areas(machine, frames(0, 20), &[frames(16, 20), frames(12, 16)]),
    preemptions: Some(3),
};

/// A page is on the pcplist of this CPU, so that whoever comes first isolates the block.
const CACHED: Model = Model {
    machine: || {
        let machine = Machine::owned(8, FOUR, &[0]);
        let pfn = machine.alloc_pages(AllocRequest::movable()).unwrap();
        machine.free_pages(pfn, Order::ZERO).unwrap();
        machine
    },
    concurrently: |machine| {
        areas(machine, frames(0, 4), &[frames(0, 4)]);
        machine.free_pages(Pfn::new(4), FOUR).unwrap();
    },
    preemptions: Some(2),
};

/// CPU 1 isolates one of the pageblocks, ends that, and isolates the other.
const ISOLATION: Model = Model {
    machine: || Machine::free(4),
    concurrently: |machine| {
        let isolator = {
            let machine = machine.clone();
            cpu(1, move || {
                for range in [frames(2, 4), frames(0, 2)] {
                    let Ok(mut isolated) = machine.isolate(range) else {
                        return false;
                    };
                    assert!(isolated.test().is_ok(), "an isolated pageblock is not isolated any more");
                }
                true
            })
        };
        let area = make_area(machine, frames(0, 4));
        assert!(area.is_ok() || matches!(area, Err(CmaError::Isolate(_))), "{area:?}");
        let isolated = isolator.join().unwrap();
        assert!(area.is_ok() || isolated, "each was in the way of the other");
        assert_types(machine, frames(0, 4), area.is_ok());
    },
    preemptions: None,
};

/// CPU 1 has a page of the last block when the other blocks have the type already, or later.
const GIVEN_UP: Model = Model {
    machine: || Machine::free(20),
    concurrently: |machine| {
        let user = user(machine, 1, AllocRequest::unmovable());
        let area = make_area(machine, frames(0, 20));
        let page = user.join().unwrap();
        assert!(area.is_err() || page.is_none(), "an unmovable page is in a CMA area");
        assert!(!matches!(area, Err(CmaError::Taken { .. })), "nobody else has taken it");
        page.into_iter().for_each(|pfn| machine.free_pages(pfn, Order::ZERO).unwrap());
        assert_types(machine, frames(0, 20), area.is_ok());
    },
    preemptions: Some(2),
};

#[test]
fn an_area_has_no_unmovable_page() {
    UNMOVABLE.holds();
}

#[test]
fn an_area_is_made_beside_movable_pages() {
    MOVABLE.holds();
}

#[test]
fn a_pageblock_gets_into_one_area() {
    AREAS.holds();
    CACHED.holds();
}

#[test]
fn an_isolated_pageblock_stays_isolated_when_it_gets_into_an_area() {
    ISOLATION.holds();
}

#[test]
fn an_area_that_is_given_up_leaves_no_pageblock_with_its_type() {
    GIVEN_UP.holds();
}
