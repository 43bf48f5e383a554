//! Owned handles and the raw interface beside them: drop frees, and nothing is freed twice.

use pageblock::{AllocRequest, FreeError, Geometry, Order, Pages, Pfn};

use crate::support::{cached, normal, on_every_geometry, orders, scope, unchanged, unit};

fn dropping_a_handle_frees_its_block<G: Geometry>() {
    let machine = normal::<G>(4).build_as::<G>();
    for order in orders::<G>() {
        unchanged(&machine, || {
            let pages = machine.alloc(AllocRequest::movable().order(order)).unwrap();
            assert_eq!((pages.order(), pages.range()), (order, order.block(pages.pfn())));
            assert_eq!(machine.verify().unwrap().total().allocated, order.pages());
            drop(pages);
            machine.drain_all();
        });
    }
}

fn a_handle_given_up_leaves_the_block_allocated<G: Geometry>() {
    let machine = normal::<G>(4).build_as::<G>();
    let (pfn, order) =
        machine.alloc(AllocRequest::unmovable().order(Order::new(1)).owner(3)).unwrap().into_raw();
    assert_eq!(machine.owner(pfn, order), Ok(3));
    let again = Pages::from_raw(&machine, pfn, order).unwrap();
    assert_eq!((again.pfn(), again.order()), (pfn, order));
    drop(again);
    assert_eq!(machine.owner(pfn, order), Err(FreeError::DoubleFree { pfn }));
}

fn only_an_allocated_block_gets_a_handle<G: Geometry>() {
    let machine = normal::<G>(4).build_as::<G>();
    let (pfn, order) = machine.alloc(AllocRequest::unmovable().order(Order::new(1))).unwrap().into_raw();
    unchanged(&machine, || {
        let error = Pages::from_raw(&machine, pfn, Order::ZERO).unwrap_err();
        assert_eq!(error, FreeError::WrongOrder { pfn, given: Order::ZERO, allocated: order });
    });
    machine.free_pages(pfn, order).unwrap();
    assert_eq!(Pages::from_raw(&machine, pfn, order).unwrap_err(), FreeError::DoubleFree { pfn });
}

fn a_handle_splits_into_halves_that_are_freed_apart<G: Geometry>() {
    let machine = normal::<G>(4).build_as::<G>();
    let all = machine.free_count();
    for order in orders::<G>().skip(1) {
        let whole = machine.alloc(AllocRequest::unmovable().order(order)).unwrap();
        let frames = whole.range();
        let (low, high) = whole.split().unwrap();
        assert_eq!((low.range().start(), high.range().end()), (frames.start(), frames.end()));
        assert_eq!(low.range().end(), high.range().start());
        machine.verify().unwrap();
        drop(low);
        machine.verify().unwrap();
        assert_eq!(machine.verify().unwrap().total().allocated, order.pages() / 2);
        drop(high);
        machine.drain_all();
        assert_eq!(machine.free_count(), all);
        machine.verify().unwrap();
    }
}

fn a_split_leaves_the_owner_word_with_the_lower_half<G: Geometry>() {
    let machine = normal::<G>(4).build_as::<G>();
    for word in [0, 7, u64::MAX] {
        let whole = machine.alloc(AllocRequest::unmovable().order(Order::new(1)).owner(word)).unwrap();
        let (low, high) = whole.split().unwrap();
        assert_eq!(machine.owner(low.pfn(), Order::ZERO), Ok(word));
        assert_eq!(machine.owner(high.pfn(), Order::ZERO), Ok(0));
    }
}

fn a_block_splits_down_to_single_pages<G: Geometry>() {
    let machine = normal::<G>(4).build_as::<G>();
    let whole = machine.alloc(AllocRequest::unmovable().order(G::MAX_ORDER)).unwrap();
    let mut parts = vec![whole];
    for _ in 0..G::MAX_ORDER.get() {
        parts = parts.into_iter().flat_map(|part| <[_; 2]>::from(part.split().unwrap())).collect();
    }
    assert_eq!(parts.len(), G::MAX_ORDER.pages());
    let page = parts.pop().unwrap();
    let pfn = page.pfn();
    assert_eq!(page.split().unwrap_err().pfn(), pfn, "a page has no halves");
    drop(parts);
    machine.drain_all();
    assert_eq!(machine.free_count(), 4 * unit::<G>());
    machine.verify().unwrap();
}

fn a_block_freed_behind_its_handle_is_not_freed_twice<G: Geometry>() {
    let machine = normal::<G>(4).build_as::<G>();
    let pages = machine.alloc(AllocRequest::unmovable()).unwrap();
    machine.free_pages(pages.pfn(), Order::ZERO).unwrap();
    unchanged(&machine, || drop(pages));
}

fn a_handle_may_be_dropped_on_another_thread<G: Geometry>() {
    let machine = normal::<G>(4).cpus(2).build_as::<G>();
    let pages = machine.alloc(AllocRequest::unmovable()).unwrap();
    scope(|scope| {
        scope.spawn(move || drop(pages));
    });
    machine.drain_all();
    assert_eq!(machine.free_count(), 4 * unit::<G>());
}

fn a_bulk_allocation_fills_what_it_can<G: Geometry>() {
    let machine = normal::<G>(2).build_as::<G>();
    let mut blocks = vec![Pfn::new(0); unit::<G>() + 1];
    assert_eq!(machine.alloc_bulk(AllocRequest::movable(), &mut []), 0);
    assert_eq!(machine.alloc_bulk(AllocRequest::movable().order(Order::new(1)), &mut blocks), unit::<G>());
    assert_eq!(machine.free_count(), 0);
    for &pfn in &blocks[..unit::<G>()] {
        machine.free_pages(pfn, Order::new(1)).unwrap();
    }
    assert_eq!(blocks[unit::<G>()], Pfn::new(0), "places that were not filled are as they were");
    machine.drain_all();
    assert_eq!(machine.free_count(), 2 * unit::<G>());
}

fn a_bulk_free_stops_at_the_block_that_it_refuses<G: Geometry>() {
    let machine = normal::<G>(8).build_as::<G>();
    let mut blocks = vec![Pfn::new(0); 3 * unit::<G>()];
    assert_eq!(machine.alloc_bulk(AllocRequest::movable(), &mut blocks), blocks.len());
    assert_eq!(machine.free_bulk(&[], Order::ZERO), Ok(()));
    let wrong = blocks.len() / 2;
    machine.free_pages(blocks[wrong], Order::ZERO).unwrap();
    let before = machine.free_count() + cached(&machine);
    let refused = machine.free_bulk(&blocks, Order::ZERO).unwrap_err();
    assert_eq!((refused.freed, refused.error), (wrong, FreeError::DoubleFree { pfn: blocks[wrong] }));
    assert_eq!(machine.free_count() + cached(&machine), before + wrong, "only those before it");
    machine.free_bulk(&blocks[wrong + 1..], Order::ZERO).unwrap();
    machine.drain_all();
    assert_eq!(machine.free_count(), 8 * unit::<G>());
    machine.verify().unwrap();
}

on_every_geometry!(
    dropping_a_handle_frees_its_block,
    a_handle_given_up_leaves_the_block_allocated,
    only_an_allocated_block_gets_a_handle,
    a_handle_splits_into_halves_that_are_freed_apart,
    a_split_leaves_the_owner_word_with_the_lower_half,
    a_block_splits_down_to_single_pages,
    a_block_freed_behind_its_handle_is_not_freed_twice,
    a_handle_may_be_dropped_on_another_thread,
    a_bulk_allocation_fills_what_it_can,
    a_bulk_free_stops_at_the_block_that_it_refuses,
);
