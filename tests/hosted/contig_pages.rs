//! Contiguous allocation wherever there is room, on every geometry.
//!
//! Alignment and limit are kept, obstacles are avoided, and a search without a result is an error.

use pageblock::{
    AllocRequest, ContigError, ContigOptions, ContigPlace, Geometry, NoMigration, Order, Pfn, PfnRange,
};

use crate::support::{
    self, Owners, Zoned, base, cma_area, frames, normal, on_every_geometry, part, unchanged, unit,
};

fn options() -> ContigOptions {
    ContigOptions::default()
}

fn anywhere() -> ContigPlace {
    ContigPlace::default()
}

fn alignment_and_length_are_as_asked_for<G: Geometry>() {
    let machine = normal::<G>(6).build_as::<G>();
    // An obstacle in the very first frame.
    let first = machine.alloc_contig(part::<G>(0, 1), &NoMigration, options()).unwrap();
    for pages in [1, 3, unit::<G>() - 1, unit::<G>() + 1, 2 * unit::<G>() + 3] {
        for align in [0, 1, 2, G::MAX_ORDER.get(), G::MAX_ORDER.get() + 1].map(Order::new) {
            unchanged(&machine, || {
                let place = anywhere().aligned(align);
                let range = machine.alloc_contig_pages(pages, place, &NoMigration, options()).unwrap();
                assert_eq!(range.range().len(), pages);
                assert!(align.is_aligned(range.range().start()), "{align}: {}", range.range());
                assert!(!range.range().overlaps(first.range()));
            });
        }
    }
}

fn nothing_lies_above_the_limit<G: Geometry>() {
    let machine = normal::<G>(4).build_as::<G>();
    for limit in [unit::<G>(), unit::<G>() + 1, 2 * unit::<G>()] {
        let below = Pfn::new(base::<G>() + limit);
        let place = anywhere().below(below);
        unchanged(&machine, || {
            let range = machine.alloc_contig_pages(limit, place, &NoMigration, options()).unwrap();
            assert_eq!(range.range(), part::<G>(0, limit), "exactly what is below the limit");
            let error = machine.alloc_contig_pages(1, place, &NoMigration, options()).unwrap_err();
            assert!(matches!(error, ContigError::NoPlace { pages: 1 } | ContigError::Isolate(_)), "{error}");
            drop(range);
            let error = machine.alloc_contig_pages(limit + 1, place, &NoMigration, options()).unwrap_err();
            assert_eq!(error, ContigError::NoPlace { pages: limit + 1 });
        });
    }
}

fn movable_pages_move_and_unmovable_ones_are_gone_around<G: Geometry>() {
    let machine = normal::<G>(6).build_as::<G>();
    let owners = Owners::new();
    owners.fill(&machine, 2 * unit::<G>());
    let stones: Vec<_> = (0..3)
        .map(|stone| {
            let at = part::<G>(stone * unit::<G>() + 1, 1);
            machine.alloc_contig(at, &owners, options()).unwrap()
        })
        .collect();
    let pages = unit::<G>() + 1;
    let range = machine.alloc_contig_pages(pages, anywhere(), &owners, options()).unwrap();
    assert!(stones.iter().all(|stone| !range.range().overlaps(stone.range())));
    assert!(owners.all().iter().all(|(_, pfn, _)| !range.range().contains(*pfn)));
    machine.verify().unwrap();
}

fn a_range_that_somebody_has_isolated_is_gone_around<G: Geometry>() {
    let machine = normal::<G>(3).build_as::<G>();
    let held = machine.isolate(part::<G>(0, unit::<G>())).unwrap();
    let range = machine.alloc_contig_pages(unit::<G>(), anywhere(), &NoMigration, options()).unwrap();
    assert!(!range.range().overlaps(held.range()), "{}", range.range());
}

fn areas_are_left_to_their_users<G: Geometry>() {
    let machine = normal::<G>(4).build_as::<G>();
    let area = part::<G>(unit::<G>(), 2 * unit::<G>());
    let _area = cma_area(&machine, area);
    let range = machine.alloc_contig_pages(unit::<G>(), anywhere(), &NoMigration, options()).unwrap();
    assert_eq!(range.range(), part::<G>(0, unit::<G>()));
    let other = machine.alloc_contig_pages(unit::<G>(), anywhere(), &NoMigration, options()).unwrap();
    assert_eq!(other.range(), part::<G>(3 * unit::<G>(), unit::<G>()));
    let error = machine.alloc_contig_pages(1, anywhere(), &NoMigration, options()).unwrap_err();
    assert_eq!(error, ContigError::NoPlace { pages: 1 });
}

fn a_machine_full_of_pages_that_stay_has_no_place<G: Geometry>() {
    let machine = normal::<G>(4).build_as::<G>();
    support::fill(&machine, AllocRequest::unmovable());
    for pages in [1, 3, unit::<G>()] {
        let error = machine.alloc_contig_pages(pages, anywhere(), &NoMigration, options()).unwrap_err();
        assert_eq!(error, ContigError::NoPlace { pages });
    }
}

fn absurd_requests_are_errors<G: Geometry>() {
    let machine = normal::<G>(4).build_as::<G>();
    unchanged(&machine, || {
        for (pages, place) in [
            (0, anywhere()),
            (usize::MAX, anywhere()),
            (1, anywhere().below(Pfn::new(0))),
            (1, anywhere().aligned(Order::new(40))),
        ] {
            let result = machine.alloc_contig_pages(pages, place, &NoMigration, options());
            assert!(result.is_err(), "{pages} pages, {place:?}");
        }
        for align in [41, 52, 63, 64, 65, 200, 255].map(Order::new) {
            let place = anywhere().aligned(align);
            let error = machine.alloc_contig_pages(1, place, &NoMigration, options()).unwrap_err();
            assert_eq!(error, ContigError::AlignTooLarge { align, max: Order::new(40) });
        }
    });
}

on_every_geometry!(
    alignment_and_length_are_as_asked_for,
    nothing_lies_above_the_limit,
    movable_pages_move_and_unmovable_ones_are_gone_around,
    areas_are_left_to_their_users,
    a_range_that_somebody_has_isolated_is_gone_around,
    a_machine_full_of_pages_that_stay_has_no_place,
    absurd_requests_are_errors,
);

#[test]
fn the_highest_zone_below_the_limit_is_taken() {
    let machine = frames(&[(0, 6000)]).no_reserve().build_as::<Zoned>();
    for (limit, zone) in
        [(6000, 4096..6000), (4096, 1024..4096), (1500, 1024..1500), (1024, 0..1024), (9, 0..9)]
    {
        let place = anywhere().below(Pfn::new(limit));
        let range = machine.alloc_contig_pages(7, place, &NoMigration, options()).unwrap();
        assert_eq!(range.range(), PfnRange::with_len(Pfn::new(zone.start), 7));
    }
}
