//! The drift of the free count under each accounting design while something is isolated.
//!
//! After the isolation no design has any.
//!
//! A unit is one aligned block of the largest order, 1024 pages: what the discussion isolates at a
//! time to bound the error. Drift is counter minus truth of the free count, by the rule that
//! isolated pages are not free.

use std::ops::RangeInclusive;
use std::sync::Mutex;

use pageblock::{
    AllocRequest, ContigOptions, Design, Faults, InUse, Migrate, MigrateError, Move, Order, Pfn, PfnRange,
    YieldPoint, ZoneCensus,
};

use crate::other_cpu::{Isolator, OtherCpu, Static, leak};
use crate::support::{Owners, fill, frames};

const UNIT: usize = 1024;
const FIRST: PfnRange = part(0, UNIT);
const SECOND: PfnRange = part(UNIT, UNIT);
const PAGE: Order = Order::ZERO;

/// So many pages from so many pages into the machine.
const fn part(from: usize, pages: usize) -> PfnRange {
    PfnRange::with_len(Pfn::new(4096 + from), pages)
}

/// Four units under this design.
fn machine(design: Design) -> Static {
    let machine = leak(frames(&[(4096, 4096 + 4 * UNIT)]).no_reserve().cpus(2).build());
    machine.set_design(design).unwrap();
    machine
}

/// Every page is owned.
fn full(design: Design) -> Static {
    let machine = machine(design);
    assert_eq!(fill(machine, AllocRequest::movable()).len(), 4 * UNIT);
    machine
}

/// Drift of the free count. The isolated count has none under any design.
#[track_caller]
fn drift(machine: Static) -> isize {
    let audit = machine.audit();
    for zone in &audit.zones {
        assert_eq!((zone.isolated.drift(), zone.cached.drift(), zone.damaged_lists), (0, 0, 0), "{audit}");
    }
    audit.free_drift()
}

/// Its owners free the pages of `range`: the largest drift on the way.
fn freed_by_owners(machine: Static, range: PfnRange) -> isize {
    let drifts = range.iter().map(|pfn| {
        machine.free_pages(pfn, PAGE).unwrap();
        drift(machine)
    });
    drifts.max().unwrap()
}

fn census(machine: Static) -> ZoneCensus {
    machine.verify().unwrap().total()
}

/// What the two designs with a remembered X show, and the two that are exact.
const fn under(design: Design, remembered: isize) -> isize {
    match design {
        Design::Default | Design::Parked => 0,
        Design::RememberedX | Design::RememberedXAndM => remembered,
    }
}

#[test]
fn remembered_x_reaches_its_bound_and_is_right_after_the_test() {
    for design in Design::ALL {
        let machine = full(design);
        let mut isolated = machine.isolate(FIRST).unwrap();
        assert_eq!(freed_by_owners(machine, FIRST), under(design, 1024), "{design}");
        drop(isolated.test().unwrap());
        assert_eq!(drift(machine), 0, "{design}: N - X is subtracted");
        drop(isolated.test().unwrap());
        assert_eq!(drift(machine), 0, "{design}: once");
        drop(isolated);
        assert_eq!((drift(machine), machine.free_count()), (0, UNIT), "{design}");
        census(machine);
    }
}

#[test]
fn two_isolators_double_the_error() {
    for design in Design::ALL {
        let machine = full(design);
        let [first, second] = [FIRST, SECOND].map(|range| machine.isolate(range).unwrap());
        freed_by_owners(machine, FIRST);
        assert_eq!(freed_by_owners(machine, SECOND), under(design, 2048), "{design}");
        drop(first);
        assert_eq!(drift(machine), under(design, 1024), "{design}");
        drop(second);
        assert_eq!((drift(machine), machine.free_count()), (0, 2 * UNIT), "{design}");
        census(machine);
    }
}

#[test]
fn an_undo_adds_x_again_whatever_was_freed_since() {
    for design in Design::ALL {
        let machine = full(design);
        freed_by_owners(machine, part(0, 300));
        machine.drain_all();
        let mut isolated = machine.isolate(FIRST).unwrap();
        assert_eq!((drift(machine), machine.free_count()), (0, 0), "{design}: X is subtracted");
        freed_by_owners(machine, part(500, 100));
        assert_eq!(drift(machine), under(design, 100), "{design}");
        assert!(isolated.test().is_err());
        drop(isolated);
        assert_eq!((drift(machine), machine.free_count()), (0, 400), "{design}");
        census(machine);
    }
}

#[test]
fn what_is_taken_is_not_subtracted_twice() {
    for design in Design::ALL {
        let machine = machine(design);
        let range = machine.alloc_contig(FIRST, &pageblock::NoMigration, ContigOptions::default()).unwrap();
        assert_eq!((drift(machine), machine.free_count()), (0, 3 * UNIT), "{design}");
        drop(range);
        assert_eq!((drift(machine), machine.free_count()), (0, 4 * UNIT), "{design}");
        let nobody = pageblock::NoNotifier;
        let (offline, _) =
            machine.offline(SECOND, &pageblock::NoMigration, &nobody, ContigOptions::default()).unwrap();
        assert_eq!((drift(machine), machine.free_count()), (0, 3 * UNIT), "{design}");
        machine.online(offline, &nobody).unwrap();
        assert_eq!((drift(machine), machine.free_count()), (0, 4 * UNIT), "{design}");
        census(machine);
    }
}

/// Moves pages, and audits between all steps.
///
/// When the first page is to be moved, some owners of other pages free theirs.
struct Watched {
    owners: Owners,
    machine: Static,
    freed: RangeInclusive<u64>,
    worst: Mutex<isize>,
}

impl Watched {
    fn look(&self) {
        let mut worst = self.worst.lock().unwrap();
        *worst = drift(self.machine).max(*worst);
    }
}

impl Migrate for Watched {
    fn migrate(&self, page: Move) -> Result<(), MigrateError> {
        self.look();
        if self.owners.moves().is_empty() {
            self.freed.clone().for_each(|word| self.owners.free(self.machine, word));
        }
        self.owners.migrate(page)
    }

    fn yield_now(&self) {
        self.look();
    }
}

/// The worst drift while a unit is taken, of which so many pages are freed meanwhile.
///
/// All pages of the unit have owners at first.
fn worst_while_migrating(design: Design, freed: usize) -> isize {
    let machine = machine(design);
    let owners = Owners::new();
    assert_eq!(owners.fill(machine, UNIT), UNIT);
    let unit = Order::new(10);
    let range = unit.block(unit.align_down(owners.place(1).unwrap()));
    let words = (UNIT - freed) as u64 + 1..=UNIT as u64;
    assert!(words.clone().all(|word| range.contains(owners.place(word).unwrap())));
    let watched = Watched { owners, machine, freed: words, worst: Mutex::new(0) };
    let taken = machine.alloc_contig(range, &watched, ContigOptions::default()).unwrap();
    drop(taken);
    watched.owners.free_all(machine);
    machine.drain_all();
    assert_eq!((drift(machine), machine.free_count()), (0, 4 * UNIT), "{design}");
    census(machine);
    watched.worst.into_inner().unwrap()
}

#[test]
fn x_and_m_is_off_only_by_what_owners_free_themselves() {
    assert_eq!(worst_while_migrating(Design::RememberedX, 0), 1024);
    assert_eq!(worst_while_migrating(Design::RememberedXAndM, 0), 0);
    assert_eq!(worst_while_migrating(Design::RememberedXAndM, 64), 64);
    for design in [Design::Default, Design::Parked] {
        assert_eq!(worst_while_migrating(design, 0), 0, "{design}");
        assert_eq!(worst_while_migrating(design, 64), 0, "{design}");
    }
}

#[test]
fn one_misplaced_last_page_misplaces_the_whole_unit() {
    // C1 frees the last page of a unit that is being isolated: reads "isolated" for it. C2 undoes
    // the isolation. C1 goes on: the page joins the isolated list, and takes along all the pages
    // that were just given back.
    let machine = full(Design::RememberedX);
    machine.set_faults(Faults::STALE_ISOLATED | Faults::MERGE_ACROSS);
    let isolator = Isolator::new(machine);
    isolator.isolate(FIRST);
    freed_by_owners(machine, part(1, UNIT - 1));
    let c2 = OtherCpu::at(machine, YieldPoint::FreeHasReadState, move || {
        isolator.undo();
        assert_eq!(drift(machine), 0);
    });
    machine.free_pages(FIRST.start(), PAGE).unwrap();
    c2.had_its_turn();
    let audit = machine.audit();
    assert_eq!(audit.free_drift(), 1024, "one page, {audit}");
    assert_eq!(audit.zones.iter().map(|zone| zone.misplaced).sum::<usize>(), 1024);
    assert_eq!(machine.free_count(), 1024, "and nobody can have any of it:");
    assert!(machine.alloc_pages(AllocRequest::movable()).is_err());
}

#[test]
fn one_misplaced_last_page_takes_the_unit_out_of_isolation() {
    // The other way round: C1 reads "movable" for the last page, C2 isolates the other 1023, C1
    // takes all of them along. What X and M promised to be negligible is the whole unit, until the
    // undo.
    for design in [Design::RememberedX, Design::RememberedXAndM] {
        let machine = full(design);
        machine.set_faults(Faults::STALE_NORMAL | Faults::MERGE_ACROSS);
        freed_by_owners(machine, part(1, UNIT - 1));
        let isolator = Isolator::new(machine);
        let c2 = OtherCpu::at(machine, YieldPoint::FreeHasReadState, move || isolator.isolate(FIRST));
        machine.free_pages(FIRST.start(), PAGE).unwrap();
        c2.had_its_turn();
        assert_eq!(machine.audit().free_drift(), -1023, "{design}");
        assert_eq!(isolator.blocked().unwrap().pfn, FIRST.start(), "{design}");
        isolator.undo();
        assert_eq!(machine.audit().free_drift(), 0, "{design}");
    }
}

#[test]
fn pages_freed_in_a_block_that_is_being_isolated_are_parked() {
    let machine = full(Design::Parked);
    // One of them is on a pcplist when the isolation begins, 200 are freed while it is on its way,
    // 300 are free.
    freed_by_owners(machine, part(0, 300));
    machine.drain_all();
    machine.free_pages(part(UNIT - 1, 1).start(), PAGE).unwrap();
    let c2 = OtherCpu::at(machine, YieldPoint::IsolatedNotDrained, move || {
        assert_eq!(freed_by_owners(machine, part(300, 200)), 0);
        let census = census(machine);
        assert_eq!((census.free, census.parked, census.cached, census.isolated), (300, 200, 1, 0));
        let again = machine.free_pages(part(300, 1).start(), PAGE);
        assert_eq!(again, Err(pageblock::FreeError::DoubleFree { pfn: part(300, 1).start() }));
    });
    let isolated = machine.isolate(FIRST).unwrap();
    c2.had_its_turn();
    let during = census(machine);
    assert_eq!((during.free, during.parked, during.cached, during.isolated), (0, 0, 0, 501));
    drop(isolated);
    let after = census(machine);
    assert_eq!((after.free, after.parked, after.isolated), (501, 0, 0));
}

#[test]
fn an_isolation_that_fails_leaves_nothing_parked() {
    let machine = full(Design::Parked);
    machine.free_pages(SECOND.start(), PAGE).unwrap();
    let pinned = machine.alloc_pages(AllocRequest::unmovable()).unwrap();
    assert_eq!(pinned, SECOND.start());
    let both = PfnRange::new(FIRST.start(), SECOND.end());
    assert!(machine.isolate(both).is_err());
    freed_by_owners(machine, FIRST);
    machine.drain_all();
    assert_eq!((census(machine).free, census(machine).parked), (UNIT, 0));
}

#[test]
fn isolators_that_share_a_pageblock_end_without_drift() {
    let [left, right] = [part(0, 100), part(100, 200)];
    for design in Design::ALL {
        let machine = full(design);
        freed_by_owners(machine, left);
        machine.drain_all();
        let mut first = machine.isolate(left).unwrap();
        let second = machine.isolate(right).unwrap();
        freed_by_owners(machine, right);
        drop(first.test().unwrap());
        drop(first);
        drop(second);
        assert_eq!((drift(machine), machine.free_count()), (0, 300), "{design}");
        census(machine);
    }
}

#[test]
fn the_design_stays_while_something_is_isolated() {
    let machine = machine(Design::Default);
    let isolated = machine.isolate(FIRST).unwrap();
    assert_eq!(machine.set_design(Design::Parked), Err(InUse));
    drop(isolated);
    machine.set_design(Design::Parked).unwrap();
}
