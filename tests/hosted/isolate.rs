//! Isolation, on every geometry: what leaves the free count, what comes back, and to which type.

use pageblock::{
    AllocRequest, FreeKind, Geometry, IsolateError, MigrateType, Mobility, NotFree, Obstacle, Order, Pfn,
    PfnRange,
};

use crate::support::{
    self, Machine, cma_area, fill, normal, on_every_geometry, part, snapshot, unchanged, unit,
};

fn pageblock<G: Geometry>() -> usize {
    G::PAGEBLOCK_ORDER.pages()
}

/// Pageblocks of zone Normal whose free pages belong on this list.
fn pageblocks<G: Geometry>(machine: &Machine<G>, kind: FreeKind) -> usize {
    machine.pagetypeinfo().zones[2].pageblocks(kind)
}

fn isolated_pages_are_not_free_pages<G: Geometry>() {
    let machine = normal::<G>(4).build_as::<G>();
    let all = machine.free_count();
    let one = pageblock::<G>();
    unchanged(&machine, || {
        let isolated = machine.isolate(part::<G>(unit::<G>(), one)).unwrap();
        assert_eq!(isolated.range(), part::<G>(unit::<G>(), one));
        assert_eq!((machine.free_count(), machine.isolated_count()), (all - one, one));
        assert_eq!(machine.managed_count(), all, "they are managed all the same");
        machine.verify().unwrap();
    });
}

fn nothing_is_allocated_from_an_isolated_pageblock<G: Geometry>() {
    for mobility in [Mobility::Unmovable, Mobility::Movable, Mobility::Reclaimable] {
        let machine = normal::<G>(4).build_as::<G>();
        let isolated = machine.isolate(part::<G>(unit::<G>(), pageblock::<G>())).unwrap();
        let pages =
            fill(&machine, AllocRequest::new(Order::ZERO, mobility).depth(pageblock::Depth::Emergency));
        assert_eq!(pages.len(), 4 * unit::<G>() - pageblock::<G>());
        assert!(!pages.iter().any(|pfn| isolated.range().contains(*pfn)));
    }
}

fn a_page_freed_in_an_isolated_pageblock_is_not_a_free_page<G: Geometry>() {
    let machine = normal::<G>(2).build_as::<G>();
    let pages = fill(&machine, AllocRequest::movable());
    let isolated = machine.isolate(part::<G>(0, unit::<G>())).unwrap();
    assert_eq!((machine.free_count(), machine.isolated_count()), (0, 0));
    let (inside, _): (Vec<Pfn>, Vec<Pfn>) = pages.iter().partition(|pfn| isolated.range().contains(**pfn));
    for (freed, &pfn) in inside.iter().enumerate() {
        machine.free_pages(pfn, Order::ZERO).unwrap();
        assert_eq!((machine.free_count(), machine.isolated_count()), (0, freed + 1));
    }
    machine.verify().unwrap();
    drop(isolated);
    assert_eq!((machine.free_count(), machine.isolated_count()), (unit::<G>(), 0));
    machine.verify().unwrap();
}

fn the_test_names_the_first_frame_that_is_not_free<G: Geometry>() {
    let machine = normal::<G>(2).build_as::<G>();
    let mut pages = fill(&machine, AllocRequest::movable());
    pages.sort_unstable();
    let mut isolated = machine.isolate(part::<G>(0, unit::<G>())).unwrap();
    for &pfn in &pages[..unit::<G>()] {
        let error = isolated.test().err().unwrap();
        assert_eq!(error.pfn, pfn);
        assert!(matches!(error.reason, Obstacle::NotMigrated(_)), "{error}");
        machine.free_pages(pfn, Order::ZERO).unwrap();
    }
    assert_eq!(isolated.test().unwrap().range(), part::<G>(0, unit::<G>()));
}

fn a_proof_that_is_let_go_leaves_the_range_isolated<G: Geometry>() {
    let machine = normal::<G>(2).build_as::<G>();
    let mut isolated = machine.isolate(part::<G>(0, unit::<G>())).unwrap();
    drop(isolated.test().unwrap());
    assert_eq!(machine.isolated_count(), unit::<G>());
    assert!(isolated.test().is_ok());
}

fn an_undo_keeps_the_type<G: Geometry>() {
    let machine = normal::<G>(4).build_as::<G>();
    let area = cma_area(&machine, part::<G>(unit::<G>(), unit::<G>()));
    let unmovable = machine.alloc_pages(AllocRequest::unmovable()).unwrap();
    machine.free_pages(unmovable, Order::ZERO).unwrap();
    machine.drain_all();
    let (cma, kinds) = (machine.free_cma_count(), snapshot(&machine));
    assert_eq!(cma, unit::<G>());
    for (offset, len) in
        [(unit::<G>(), unit::<G>()), (unit::<G>() + 1, 1), (unit::<G>() - 1, 2), (0, 4 * unit::<G>())]
    {
        let isolated = machine.isolate(part::<G>(offset, len)).unwrap();
        assert!(machine.free_cma_count() < cma, "{} of {}", isolated.range(), area.range());
        machine.verify().unwrap();
        drop(isolated);
        assert_eq!(machine.free_cma_count(), cma);
    }
    assert_eq!(snapshot(&machine), kinds);
}

fn a_part_of_a_pageblock_is_given_back_with_the_rest_of_it<G: Geometry>() {
    let machine = normal::<G>(4).build_as::<G>();
    unchanged(&machine, || {
        // The last frame of one pageblock and the first of the next: both are isolated, in whole.
        let isolated = machine.isolate(part::<G>(pageblock::<G>() - 1, 2)).unwrap();
        assert_eq!(machine.isolated_count(), 2 * pageblock::<G>());
        assert_eq!(pageblocks(&machine, FreeKind::Isolated), 2);
        machine.verify().unwrap();
        drop(isolated);
    });
}

fn only_the_range_must_be_free_for_the_test<G: Geometry>() {
    let machine = normal::<G>(2).build_as::<G>();
    let mut pages = fill(&machine, AllocRequest::movable());
    pages.sort_unstable();
    let mut isolated = machine.isolate(PfnRange::with_len(pages[1], 1)).unwrap();
    let in_use = isolated.test().err().unwrap();
    assert_eq!(in_use.pfn, pages[1]);
    machine.free_pages(pages[1], Order::ZERO).unwrap();
    assert!(isolated.test().is_ok(), "its neighbours do not matter");
}

fn disjoint_ranges_in_one_pageblock_do_not_disturb_each_other<G: Geometry>() {
    let machine = normal::<G>(2).build_as::<G>();
    let one = pageblock::<G>();
    unchanged(&machine, || {
        let mut first = machine.isolate(part::<G>(0, one / 2)).unwrap();
        let mut second = machine.isolate(part::<G>(one / 2, one / 2)).unwrap();
        assert_eq!(machine.isolated_count(), one);
        assert!(first.test().is_ok() && second.test().is_ok());
        drop(first);
        assert_eq!(machine.isolated_count(), one, "the other one still needs the pageblock");
        assert!(second.test().is_ok());
        let again = machine.isolate(part::<G>(0, one / 2)).unwrap();
        drop(second);
        assert_eq!(machine.isolated_count(), one);
        drop(again);
        assert_eq!(machine.isolated_count(), 0);
    });
}

fn an_overlap_is_refused_and_disturbs_nobody<G: Geometry>() {
    let machine = normal::<G>(4).build_as::<G>();
    let held = part::<G>(1, unit::<G>());
    let mut isolated = machine.isolate(held).unwrap();
    for (offset, len) in [(1, unit::<G>()), (0, 2), (unit::<G>(), 2), (2, 1), (0, 4 * unit::<G>())] {
        let wanted = part::<G>(offset, len);
        let error = unchanged(&machine, || machine.isolate(wanted).unwrap_err());
        assert_eq!(error, IsolateError::Overlap { range: wanted, with: held });
    }
    assert!(isolated.test().is_ok());
}

fn an_unmovable_page_refuses_and_everything_is_undone<G: Geometry>() {
    for mobility in [Mobility::Unmovable, Mobility::Reclaimable] {
        let machine = normal::<G>(4).build_as::<G>();
        let mut pages = fill(&machine, AllocRequest::new(Order::ZERO, mobility));
        pages.sort_unstable();
        let stays = pages[3 * unit::<G>() - 1];
        for pfn in pages.into_iter().filter(|pfn| *pfn != stays) {
            machine.free_pages(pfn, Order::ZERO).unwrap();
        }
        machine.drain_all();
        // It is in the last of three units: those before it have been isolated when it is found.
        let error = unchanged(&machine, || machine.isolate(part::<G>(0, 3 * unit::<G>())).unwrap_err());
        assert_eq!(error, IsolateError::Unmovable { pfn: stays, reason: Obstacle::Allocated(mobility) });
        assert!(machine.isolate(part::<G>(0, 3 * unit::<G>() - 1)).is_ok(), "up to it all is well");
    }
}

fn a_block_across_the_border_is_split_and_merged_again<G: Geometry>() {
    let machine = normal::<G>(2).build_as::<G>();
    let largest = |machine: &Machine<G>| machine.buddyinfo().zones[2].all(G::MAX_ORDER);
    let before = largest(&machine);
    let all = machine.free_count();
    for n in 0..2 * unit::<G>() / pageblock::<G>() {
        let isolated = machine.isolate(part::<G>(n * pageblock::<G>(), pageblock::<G>())).unwrap();
        assert_eq!(machine.free_count(), all - pageblock::<G>(), "its neighbours are free pages as before");
        machine.verify().unwrap();
        drop(isolated);
        assert_eq!(largest(&machine), before);
        machine.verify().unwrap();
    }
}

fn isolations_end_in_any_order<G: Geometry>() {
    let machine = normal::<G>(4).build_as::<G>();
    let one = pageblock::<G>();
    for order in [[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2], [2, 0, 3, 1]] {
        unchanged(&machine, || {
            let mut held: Vec<_> =
                (0..4).map(|n| Some(machine.isolate(part::<G>(n * one / 2, one / 2)).unwrap())).collect();
            for n in order {
                held[n] = None;
                machine.verify().unwrap();
            }
        });
    }
}

fn cached_pages_of_the_range_are_drained<G: Geometry>() {
    let machine = normal::<G>(4).build_as::<G>();
    let pages = fill(&machine, AllocRequest::movable());
    for &pfn in &pages[..pages.len() - 3] {
        machine.free_pages(pfn, Order::ZERO).unwrap();
    }
    let cached = support::cached(&machine);
    assert!(cached > 0);
    let kept = &pages[pages.len() - 3..];
    for n in 0..4 {
        let range = part::<G>(n * unit::<G>(), unit::<G>());
        let mut isolated = machine.isolate(range).unwrap();
        match isolated.test() {
            Ok(_) => assert!(!kept.iter().any(|pfn| range.contains(*pfn))),
            Err(NotFree { pfn, .. }) => assert!(kept.contains(&pfn), "{pfn} was cached, not in use"),
        }
    }
}

fn types_under_isolation_come_back_pageblock_by_pageblock<G: Geometry>() {
    // Neighbours of different types, isolated in one go.
    let machine = normal::<G>(4).build_as::<G>();
    cma_area(&machine, part::<G>(0, pageblock::<G>()));
    let unmovable = fill(&machine, AllocRequest::unmovable().order(Order::new(1)));
    for pfn in unmovable {
        machine.free_pages(pfn, Order::new(1)).unwrap();
    }
    machine.drain_all();
    assert_eq!(pageblocks(&machine, FreeKind::Listed(MigrateType::Cma)), 1);
    assert!(pageblocks(&machine, FreeKind::Listed(MigrateType::Unmovable)) > 0);
    unchanged(&machine, || {
        let isolated = machine.isolate(part::<G>(0, 4 * unit::<G>())).unwrap();
        assert_eq!((machine.free_count(), machine.free_cma_count()), (0, 0));
        drop(isolated);
    });
}

on_every_geometry!(
    isolated_pages_are_not_free_pages,
    nothing_is_allocated_from_an_isolated_pageblock,
    a_page_freed_in_an_isolated_pageblock_is_not_a_free_page,
    the_test_names_the_first_frame_that_is_not_free,
    a_proof_that_is_let_go_leaves_the_range_isolated,
    an_undo_keeps_the_type,
    a_part_of_a_pageblock_is_given_back_with_the_rest_of_it,
    only_the_range_must_be_free_for_the_test,
    disjoint_ranges_in_one_pageblock_do_not_disturb_each_other,
    an_overlap_is_refused_and_disturbs_nobody,
    an_unmovable_page_refuses_and_everything_is_undone,
    a_block_across_the_border_is_split_and_merged_again,
    isolations_end_in_any_order,
    cached_pages_of_the_range_are_drained,
    types_under_isolation_come_back_pageblock_by_pageblock,
);
