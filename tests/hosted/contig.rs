//! Contiguous allocation of a given range, on every geometry: any length, at any place.
//!
//! Pages in the range are moved away. What cannot be moved is named in the error.

use std::cell::Cell;

use pageblock::{
    AllocRequest, ContigError, ContigOptions, FreeError, Geometry, IsolateError, Migrate, MigrateError,
    Mobility, Move, NoMigration, Obstacle, Order, Pfn, PfnRange,
};

use crate::support::{
    self, Answer, Machine, Owners, base, cma_area, fill, normal, on_every_geometry, orders, part, unchanged,
    unit,
};

fn options() -> ContigOptions {
    ContigOptions::default()
}

/// Lengths and offsets that are no powers of two, no whole pageblocks, and some that are.
fn odd_places<G: Geometry>() -> impl Iterator<Item = PfnRange> {
    let unit = unit::<G>();
    let lens = [1, 2, 3, unit - 1, unit, unit + 1, 2 * unit + 3];
    let offsets = [0, 1, unit / 2, unit - 1, unit, unit + 1];
    lens.into_iter().flat_map(move |len| offsets.map(|offset| part::<G>(offset, len)))
}

fn any_length_at_any_place_is_taken_exactly<G: Geometry>() {
    let machine = normal::<G>(4).build_as::<G>();
    let all = machine.free_count();
    for range in odd_places::<G>() {
        unchanged(&machine, || {
            let taken = machine.alloc_contig(range, &NoMigration, options()).unwrap();
            assert_eq!((taken.range(), taken.start_address()), (range, range.start().start_address()));
            assert_eq!((machine.free_count(), machine.isolated_count()), (all - range.len(), 0), "{range}");
            assert_eq!(machine.verify().unwrap().total().allocated, range.len());
            drop(taken);
        });
    }
}

fn the_frames_around_a_range_stay_usable<G: Geometry>() {
    let machine = normal::<G>(4).build_as::<G>();
    let range = part::<G>(unit::<G>() + 1, unit::<G>() + 1);
    let taken = machine.alloc_contig(range, &NoMigration, options()).unwrap();
    let pages = fill(&machine, AllocRequest::unmovable());
    assert_eq!(pages.len() + range.len(), 4 * unit::<G>());
    assert!(!pages.iter().any(|pfn| taken.range().contains(*pfn)));
}

fn owners_move_out_of_the_range<G: Geometry>() {
    let machine = normal::<G>(6).build_as::<G>();
    for range in odd_places::<G>() {
        let owners = Owners::new();
        let count = owners.fill(&machine, unit::<G>());
        let inside = owners.all().iter().filter(|(_, pfn, _)| range.contains(*pfn)).count();
        let taken = machine.alloc_contig(range, &owners, options()).unwrap();
        assert_eq!(owners.all().len(), count, "nobody lost a page");
        for (word, pfn, order) in owners.all() {
            assert!(!range.contains(pfn), "owner {word} is still there");
            assert_eq!(machine.owner(pfn, order), Ok(word));
        }
        assert!(owners.moves().len() >= inside);
        machine.verify().unwrap();
        drop(taken);
        owners.free_all(&machine);
        machine.drain_all();
        assert_eq!(machine.free_count(), 6 * unit::<G>());
    }
}

fn a_block_that_reaches_over_an_end_moves_whole<G: Geometry>() {
    for order in orders::<G>().filter(|order| order.get() > 0) {
        let machine = normal::<G>(4).build_as::<G>();
        let owners = Owners::new();
        let at = owners.own(&machine, 1, order).unwrap();
        let last = PfnRange::with_len(Pfn::new(at.number() + order.pages() - 1), 1);
        let taken = machine.alloc_contig(last, &owners, options()).unwrap();
        let now = owners.place(1).unwrap();
        assert!(!order.block(now).overlaps(order.block(at)), "{order} moved from {at} to {now}");
        assert_eq!(machine.free_count() + support::cached(&machine), 4 * unit::<G>() - order.pages() - 1);
        drop(taken);
        machine.verify().unwrap();
    }
}

fn a_pinned_page_is_named_with_the_reason_and_the_attempts<G: Geometry>() {
    for attempts in [1, 2, 7] {
        let machine = normal::<G>(4).build_as::<G>();
        let pfn = machine.alloc_pages(AllocRequest::movable().owner(1)).unwrap();
        let asked = Cell::new(0);
        let pinned = Answer::new(|page: Move| {
            assert_eq!((page.from, page.order, page.owner), (pfn, Order::ZERO, 1));
            asked.set(asked.get() + 1);
            Err(MigrateError::Pinned)
        });
        let range = PfnRange::with_len(Order::new(2).align_down(pfn), 4);
        machine.drain_all();
        let error = machine.alloc_contig(range, &pinned, options().attempts(attempts)).unwrap_err();
        let reason = Obstacle::NotMigrated(MigrateError::Pinned);
        assert_eq!(error, ContigError::Busy { pfn, reason, attempts });
        assert_eq!(asked.get(), attempts, "tries are bounded");
    }
}

fn no_attempts_means_one<G: Geometry>() {
    let machine = normal::<G>(2).build_as::<G>();
    let taken = machine.alloc_contig(part::<G>(0, 3), &NoMigration, options().attempts(0));
    assert_eq!(taken.unwrap().range(), part::<G>(0, 3));
}

fn a_failure_leaves_everything_as_it_was<G: Geometry>() {
    let machine = normal::<G>(4).build_as::<G>();
    cma_area(&machine, part::<G>(0, unit::<G>()));
    let mut pages = fill(&machine, AllocRequest::movable());
    pages.sort_unstable();
    // Room to move to exists, but the page in the middle of the range stays.
    for &pfn in pages.iter().step_by(2) {
        machine.free_pages(pfn, Order::ZERO).unwrap();
    }
    machine.drain_all();
    let range = part::<G>(unit::<G>() / 2, 2 * unit::<G>());
    let first = pages.iter().skip(1).step_by(2).find(|pfn| range.contains(**pfn)).copied().unwrap();
    let error = unchanged(&machine, || {
        let error = machine.alloc_contig(range, &NoMigration, options()).unwrap_err();
        // The target of the refused move may be on a pcplist now.
        machine.drain_all();
        error
    });
    assert!(matches!(error, ContigError::Busy { pfn, .. } if pfn == first), "{error}");
}

fn an_unmovable_page_is_refused_at_once<G: Geometry>() {
    let machine = normal::<G>(4).build_as::<G>();
    let pfn = machine.alloc_pages(AllocRequest::unmovable()).unwrap();
    machine.drain_all();
    let never = Answer::new(|_| panic!("nobody is asked to move"));
    let error = unchanged(&machine, || {
        machine.alloc_contig(part::<G>(0, 4 * unit::<G>()), &never, options()).unwrap_err()
    });
    let reason = Obstacle::Allocated(Mobility::Unmovable);
    assert_eq!(error, ContigError::Isolate(IsolateError::Unmovable { pfn, reason }));
}

fn without_room_to_move_to_the_error_says_so<G: Geometry>() {
    let machine = normal::<G>(2).build_as::<G>();
    let owners = Owners::new();
    assert_eq!(owners.fill(&machine, usize::MAX), 2 * unit::<G>());
    let range = part::<G>(1, 1);
    let error = unchanged(&machine, || machine.alloc_contig(range, &owners, options()).unwrap_err());
    assert!(matches!(error, ContigError::NoMemory { pfn, .. } if pfn == range.start()), "{error}");
    // Not in the pageblock of the range: what is free there is isolated with it.
    let pageblock = G::PAGEBLOCK_ORDER.align_down(range.start());
    let elsewhere = |pfn: Pfn| G::PAGEBLOCK_ORDER.align_down(pfn) != pageblock;
    let spare = owners.all().iter().find(|owned| elsewhere(owned.1)).unwrap().0;
    owners.free(&machine, spare);
    assert!(machine.alloc_contig(range, &owners, options()).is_ok(), "one free page is enough");
}

fn a_range_may_be_freed_in_any_pieces<G: Geometry>() {
    let machine = normal::<G>(4).build_as::<G>();
    let all = machine.free_count();
    let len = 2 * unit::<G>() + 3;
    unchanged(&machine, || {
        let range = machine.alloc_contig(part::<G>(1, len), &NoMigration, options()).unwrap().into_raw();
        let mut left = len;
        // From the middle outward, in pieces of 1, 2, 3, ... frames.
        let (mut low, mut high) = (len / 2, len / 2);
        for n in 1.. {
            let (from, to) = (low.saturating_sub(n), (high + n).min(len));
            for piece in [part::<G>(1 + from, low - from), part::<G>(1 + high, to - high)] {
                if !piece.is_empty() {
                    machine.free_contig(piece).unwrap();
                    left -= piece.len();
                    assert_eq!(machine.free_count(), all - left);
                    machine.verify().unwrap();
                }
            }
            (low, high) = (from, to);
            if left == 0 {
                break;
            }
        }
        let error = machine.free_contig(range).unwrap_err();
        assert!(matches!(error, FreeError::NotContig { pfn, .. } if pfn == range.start()), "{error}");
    });
}

fn two_ranges_share_a_pageblock<G: Geometry>() {
    let machine = normal::<G>(2).build_as::<G>();
    let middle = part::<G>(unit::<G>() / 2, 1);
    let first = machine.alloc_contig(part::<G>(0, unit::<G>() / 2), &NoMigration, options()).unwrap();
    let second = machine.alloc_contig(middle, &NoMigration, options()).unwrap();
    let error = machine.alloc_contig(part::<G>(0, unit::<G>()), &NoMigration, options()).unwrap_err();
    let taken = IsolateError::Unmovable { pfn: Pfn::new(base::<G>()), reason: Obstacle::Contig };
    assert_eq!(error, ContigError::Isolate(taken));
    drop(first);
    machine.verify().unwrap();
    assert_eq!(machine.free_count(), 2 * unit::<G>() - 1);
    drop(second);
    assert_eq!(machine.free_count(), 2 * unit::<G>());
}

fn a_range_in_a_cma_area_comes_back_to_it<G: Geometry>() {
    let machine = normal::<G>(4).build_as::<G>();
    cma_area(&machine, part::<G>(unit::<G>(), unit::<G>()));
    for range in odd_places::<G>() {
        let inside = range.intersection(part::<G>(unit::<G>(), unit::<G>())).len();
        unchanged(&machine, || {
            let taken = machine.alloc_contig(range, &NoMigration, options()).unwrap();
            assert_eq!(machine.free_cma_count(), unit::<G>() - inside);
            drop(taken);
        });
    }
}

/// Counts how often it could yield_now, and that no lock is held then.
struct Breathing<'a, G: Geometry> {
    machine: &'a Machine<G>,
    breaths: Cell<usize>,
}

impl<G: Geometry> Migrate for Breathing<'_, G> {
    fn migrate(&self, _: Move) -> Result<(), MigrateError> {
        Err(MigrateError::Busy)
    }

    fn yield_now(&self) {
        self.breaths.set(self.breaths.get() + 1);
        assert!(self.machine.audit().is_exact());
        self.machine.verify().unwrap();
    }
}

fn the_caller_may_look_between_attempts<G: Geometry>() {
    let machine = normal::<G>(2).build_as::<G>();
    let pfn = machine.alloc_pages(AllocRequest::movable().owner(1)).unwrap();
    let patient = Breathing { machine: &machine, breaths: Cell::new(0) };
    let range = PfnRange::with_len(pfn, 1);
    assert!(machine.alloc_contig(range, &patient, options().attempts(3)).is_err());
    assert!(patient.breaths.get() >= 3, "{} breaths", patient.breaths.get());
}

on_every_geometry!(
    any_length_at_any_place_is_taken_exactly,
    the_frames_around_a_range_stay_usable,
    owners_move_out_of_the_range,
    a_block_that_reaches_over_an_end_moves_whole,
    a_pinned_page_is_named_with_the_reason_and_the_attempts,
    no_attempts_means_one,
    a_failure_leaves_everything_as_it_was,
    an_unmovable_page_is_refused_at_once,
    without_room_to_move_to_the_error_says_so,
    a_range_may_be_freed_in_any_pieces,
    two_ranges_share_a_pageblock,
    a_range_in_a_cma_area_comes_back_to_it,
    the_caller_may_look_between_attempts,
);
