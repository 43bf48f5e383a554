//! Blocks of any number of frames, on every geometry: exactly these are taken, and all come back.

use pageblock::{AllocError, AllocRequest, FreeError, Geometry, Order, Pfn, PfnRange};

use crate::support::{self, normal, on_every_geometry, unchanged, unit};

fn every_length_takes_exactly_its_pages<G: Geometry>() {
    let machine = normal::<G>(4).build_as::<G>();
    for pages in 0..=G::MAX_ORDER.pages() {
        let exact = machine.alloc_exact(pages, AllocRequest::unmovable()).unwrap();
        assert_eq!(exact.range().len(), pages);
        assert!(Order::covering(pages).is_aligned(exact.range().start()));
        assert_eq!(machine.verify().unwrap().total().allocated, pages);
        drop(exact);
        machine.drain_all();
        assert_eq!(machine.free_count(), machine.managed_count());
    }
}

fn what_is_left_of_the_block_can_be_allocated<G: Geometry>() {
    let machine = normal::<G>(1).build_as::<G>();
    let pages = G::MAX_ORDER.pages() - 1;
    let exact = machine.alloc_exact(pages, AllocRequest::unmovable()).unwrap();
    let rest = support::fill(&machine, AllocRequest::unmovable());
    assert_eq!(rest.len(), unit::<G>() - pages);
    assert!(rest.iter().all(|pfn| !exact.range().contains(*pfn)));
}

fn a_range_given_up_is_freed_as_one<G: Geometry>() {
    let machine = normal::<G>(4).build_as::<G>();
    let frames = machine.alloc_exact(3, AllocRequest::reclaimable()).unwrap().into_raw();
    let longer = PfnRange::with_len(frames.start(), 4);
    unchanged(&machine, || assert!(machine.free_exact(longer).is_err(), "a page too many"));
    machine.free_exact(frames).unwrap();
    unchanged(&machine, || assert!(machine.free_exact(frames).is_err(), "freed twice"));
    machine.drain_all();
    assert_eq!(machine.free_count(), machine.managed_count());
}

fn a_range_of_which_a_part_is_free_already_is_not_freed<G: Geometry>() {
    let machine = normal::<G>(4).build_as::<G>();
    let frames = machine.alloc_exact(3, AllocRequest::unmovable()).unwrap().into_raw();
    let last = Pfn::new(frames.start().number() + 2);
    machine.free_pages(last, Order::ZERO).unwrap();
    unchanged(&machine, || assert_eq!(machine.free_exact(frames), Err(FreeError::DoubleFree { pfn: last })));
    assert_eq!(machine.owner(frames.start(), Order::new(1)), Ok(0), "the block before it is still owned");
}

fn a_movable_request_stays_in_a_row<G: Geometry>() {
    let machine = normal::<G>(4).build_as::<G>();
    let exact = machine.alloc_exact(3, AllocRequest::movable()).unwrap();
    assert!(machine.isolate(exact.range()).is_err(), "nobody can be asked to move it");
}

fn more_than_a_block_has_is_refused<G: Geometry>() {
    let machine = normal::<G>(4).build_as::<G>();
    unchanged(&machine, || {
        let error = machine.alloc_exact(G::MAX_ORDER.pages() + 1, AllocRequest::unmovable()).unwrap_err();
        assert!(matches!(error, AllocError::OrderTooLarge { .. }));
        let foreign = PfnRange::with_len(Pfn::new(usize::MAX - 4), 3);
        assert!(matches!(machine.free_exact(foreign), Err(FreeError::Foreign { .. })));
    });
}

on_every_geometry!(
    every_length_takes_exactly_its_pages,
    what_is_left_of_the_block_can_be_allocated,
    a_range_given_up_is_freed_as_one,
    a_range_of_which_a_part_is_free_already_is_not_freed,
    a_movable_request_stays_in_a_row,
    more_than_a_block_has_is_refused,
);
