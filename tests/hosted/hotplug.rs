//! Memory hot-remove and hot-add, on every geometry: migration, notifiers, failures.

use std::cell::{Cell, RefCell};

use pageblock::{
    AllocRequest, ContigError, ContigOptions, FrameKind, FreeError, Geometry, HotplugError, HotplugNotifier,
    IsolateError, Mark, MemoryUse, MigrateError, Mobility, NoMigration, NoNotifier, NotFree, Obstacle, Order,
    Pfn, PfnRange, RangeError, Veto,
};

use crate::support::{
    Answer, Owners, cma_area, fill, normal, on_every_geometry, part, snapshot, unchanged, unit,
};

fn options() -> ContigOptions {
    ContigOptions::default()
}

/// Notes what it is told, and says no to what it is told to.
#[derive(Default)]
struct Notes {
    calls: RefCell<Vec<&'static str>>,
    against: &'static str,
}

impl Notes {
    fn note(&self, call: &'static str) -> Result<(), Veto> {
        self.calls.borrow_mut().push(call);
        if call == self.against { Err(Veto) } else { Ok(()) }
    }
}

impl HotplugNotifier for Notes {
    fn going_offline(&self, _: PfnRange) -> Result<(), Veto> {
        self.note("going offline")
    }

    fn cancel_offline(&self, _: PfnRange) {
        let _ = self.note("cancel offline");
    }

    fn offline(&self, _: PfnRange) {
        let _ = self.note("offline");
    }

    fn going_online(&self, _: PfnRange) -> Result<(), Veto> {
        self.note("going online")
    }

    fn online(&self, _: PfnRange) {
        let _ = self.note("online");
    }
}

fn offline_pages_are_not_managed_and_come_back_free<G: Geometry>() {
    let machine = normal::<G>(8).build_as::<G>();
    let pageblock = G::PAGEBLOCK_ORDER.pages();
    let all = machine.managed_count();
    unchanged(&machine, || {
        let ranges = [part::<G>(0, pageblock), part::<G>(2 * unit::<G>(), 3 * unit::<G>())];
        let offline =
            ranges.map(|range| machine.offline(range, &NoMigration, &NoNotifier, options()).unwrap().0);
        let gone = pageblock + 3 * unit::<G>();
        assert_eq!(
            (machine.managed_count(), machine.free_count(), machine.isolated_count()),
            (all - gone, all - gone, 0)
        );
        let census = machine.verify().unwrap().total();
        assert_eq!((census.offline, census.present), (gone, all));
        let pages = fill(&machine, AllocRequest::movable());
        assert!(!pages.iter().any(|pfn| ranges.iter().any(|range| range.contains(*pfn))));
        pages.into_iter().for_each(|pfn| machine.free_pages(pfn, Order::ZERO).unwrap());
        machine.drain_all();
        for offline in offline {
            machine.online(offline, &NoNotifier).unwrap();
        }
    });
}

fn an_offline_operation_says_how_often_it_tried<G: Geometry>() {
    for refusals in 0..3 {
        let machine = normal::<G>(8).build_as::<G>();
        let pfn = machine.alloc_pages(AllocRequest::movable().owner(1)).unwrap();
        let asked = Cell::new(0);
        let busy = Answer::new(|_| {
            asked.set(asked.get() + 1);
            if asked.get() > refusals { Ok(()) } else { Err(MigrateError::Busy) }
        });
        let range = G::PAGEBLOCK_ORDER.block(G::PAGEBLOCK_ORDER.align_down(pfn));
        let (_, stats) = machine.offline(range, &busy, &NoNotifier, options().attempts(3)).unwrap();
        assert_eq!((stats.attempts, stats.migrated_pages), (refusals + 1, 1));
    }
}

fn owners_move_out_before_a_range_goes_offline<G: Geometry>() {
    let machine = normal::<G>(8).build_as::<G>();
    let owners = Owners::new();
    owners.fill(&machine, 4 * unit::<G>());
    let range = part::<G>(2 * unit::<G>(), 2 * unit::<G>());
    let (offline, stats) = machine.offline(range, &owners, &NoNotifier, options()).unwrap();
    assert_eq!(offline.range(), range);
    assert_eq!(stats.migrated_pages, owners.moves().len());
    assert!(
        owners.all().len() == 4 * unit::<G>() && owners.all().iter().all(|(_, pfn, _)| !range.contains(*pfn))
    );
    machine.verify().unwrap();
}

fn marks_follow_what_is_online<G: Geometry>() {
    let machine = normal::<G>(8).tune(|tuning| tuning.min_free_pages(2 * unit::<G>())).build_as::<G>();
    // The mark is the machine's, whatever its size; pcplists shrink with the zone.
    let limits = || (machine.zoneinfo().zones[2].watermarks.get(Mark::Min), machine.zoneinfo().zones[2].high);
    let before = limits();
    let (offline, _) =
        machine.offline(part::<G>(0, 6 * unit::<G>()), &NoMigration, &NoNotifier, options()).unwrap();
    assert_eq!(limits().0, before.0);
    assert!(limits().1 < before.1, "{} pages cached at most, as before", before.1);
    machine.online(offline, &NoNotifier).unwrap();
    assert_eq!(limits(), before);
}

fn the_kernel_is_told_in_order<G: Geometry>() {
    let machine = normal::<G>(4).build_as::<G>();
    let notes = Notes::default();
    let (offline, _) = machine.offline(part::<G>(0, unit::<G>()), &NoMigration, &notes, options()).unwrap();
    machine.online(offline, &notes).unwrap();
    assert_eq!(notes.calls.take(), ["going offline", "offline", "going online", "online"]);
}

fn a_veto_leaves_everything_as_it_was<G: Geometry>() {
    let machine = normal::<G>(4).build_as::<G>();
    let range = part::<G>(unit::<G>(), unit::<G>());
    let against = |against| Notes { against, ..Notes::default() };
    let notes = against("going offline");
    let error = unchanged(&machine, || machine.offline(range, &NoMigration, &notes, options()).unwrap_err());
    assert_eq!(error, HotplugError::Vetoed { range });
    assert_eq!(notes.calls.take(), ["going offline"]);
    let (offline, _) = machine.offline(range, &NoMigration, &NoNotifier, options()).unwrap();
    let notes = against("going online");
    let (offline, error) = unchanged(&machine, || machine.online(offline, &notes).unwrap_err());
    assert_eq!(error, HotplugError::Vetoed { range });
    assert_eq!(notes.calls.take(), ["going online"]);
    machine.online(offline, &NoNotifier).unwrap();
}

fn a_pinned_page_cancels<G: Geometry>() {
    let machine = normal::<G>(4).build_as::<G>();
    let pfn = machine.alloc_pages(AllocRequest::movable().owner(1)).unwrap();
    machine.drain_all();
    let range = G::PAGEBLOCK_ORDER.block(G::PAGEBLOCK_ORDER.align_down(pfn));
    let notes = Notes::default();
    let error = unchanged(&machine, || {
        let error = machine.offline(range, &NoMigration, &notes, options().attempts(3)).unwrap_err();
        machine.drain_all();
        error
    });
    let reason = Obstacle::NotMigrated(MigrateError::Pinned);
    assert_eq!(error, HotplugError::Contig(ContigError::Busy { pfn, reason, attempts: 3 }));
    assert_eq!(notes.calls.take(), ["going offline", "cancel offline"]);
}

fn a_dry_run_names_what_is_in_the_way<G: Geometry>() {
    let machine = normal::<G>(8).build_as::<G>();
    let all = part::<G>(0, 8 * unit::<G>());
    let owners = Owners::new();
    owners.fill(&machine, 5);
    let fixed = [AllocRequest::unmovable(), AllocRequest::reclaimable()]
        .map(|request| machine.alloc_pages(request).unwrap());
    let contig = machine.alloc_contig(part::<G>(7 * unit::<G>(), 1), &owners, options()).unwrap();
    machine.drain_all();
    let mut found = Vec::new();
    let to_move =
        unchanged(&machine, || machine.offline_dry_run(all, |not_free| found.push(not_free)).unwrap());
    assert_eq!(to_move, 5);
    let expected = [
        NotFree { pfn: fixed[0], reason: Obstacle::Allocated(Mobility::Unmovable) },
        NotFree { pfn: fixed[1], reason: Obstacle::Allocated(Mobility::Reclaimable) },
        NotFree { pfn: contig.range().start(), reason: Obstacle::Contig },
    ];
    assert!(found.len() == 3 && expected.iter().all(|expected| found.contains(expected)), "{found:?}");
}

fn a_type_survives_being_offline<G: Geometry>() {
    let machine = normal::<G>(4).build_as::<G>();
    cma_area(&machine, part::<G>(unit::<G>(), unit::<G>()));
    let before = snapshot(&machine);
    let (offline, _) =
        machine.offline(part::<G>(unit::<G>(), unit::<G>()), &NoMigration, &NoNotifier, options()).unwrap();
    assert_eq!(machine.free_cma_count(), 0);
    machine.online(offline, &NoNotifier).unwrap();
    assert_eq!(snapshot(&machine), before);
}

fn what_cannot_go_offline_or_online_says_why<G: Geometry>() {
    let machine = normal::<G>(4).build_as::<G>();
    let (start, pageblock) = (part::<G>(0, 1).start(), G::PAGEBLOCK_ORDER);
    let refused = |range| {
        unchanged(&machine, || machine.offline(range, &NoMigration, &NoNotifier, options()).unwrap_err())
    };
    for range in [part::<G>(1, pageblock.pages()), part::<G>(0, pageblock.pages() + 1)] {
        assert_eq!(refused(range), HotplugError::Unaligned { range, pageblock });
        assert_eq!(machine.online_raw(range), Err(HotplugError::Unaligned { range, pageblock }));
        assert_eq!(machine.offline_dry_run(range, |_| ()), Err(HotplugError::Unaligned { range, pageblock }));
    }
    let online = PfnRange::with_len(start, pageblock.pages());
    let result = unchanged(&machine, || machine.online_raw(online));
    assert!(matches!(result, Err(HotplugError::NotOffline { pfn, .. }) if pfn == start), "{result:?}");
    let beyond = PfnRange::with_len(machine.span().end(), pageblock.pages());
    let foreign = RangeError::Foreign { pfn: beyond.start() };
    assert_eq!(refused(beyond), HotplugError::Contig(ContigError::Isolate(IsolateError::Range(foreign))));
    assert_eq!(machine.online_raw(beyond), Err(HotplugError::Range(foreign)));
}

fn every_block_of_a_range_must_be_offline_to_come_online<G: Geometry>() {
    let machine = normal::<G>(4).build_as::<G>();
    let pageblock = G::PAGEBLOCK_ORDER.pages();
    let first = part::<G>(0, pageblock);
    let (offline, _) = machine.offline(first, &NoMigration, &NoNotifier, options()).unwrap();
    let both = part::<G>(0, 2 * pageblock);
    let result = unchanged(&machine, || machine.online_raw(both));
    assert!(matches!(result, Err(HotplugError::NotOffline { pfn, .. }) if pfn == first.end()), "{result:?}");
    machine.online_raw(offline.range()).unwrap();
    assert_eq!(machine.free_count(), machine.managed_count());
}

fn offline_pages_cannot_be_freed_isolated_or_reserved<G: Geometry>() {
    let machine = normal::<G>(4).build_as::<G>();
    let range = part::<G>(unit::<G>(), unit::<G>());
    let (offline, _) = machine.offline(range, &NoMigration, &NoNotifier, options()).unwrap();
    let pfn = range.start();
    unchanged(&machine, || {
        let error = FreeError::NotManaged { pfn, kind: FrameKind::Offline };
        assert_eq!(machine.free_pages(pfn, Order::ZERO), Err(error));
        assert!(machine.isolate(PfnRange::with_len(pfn, 1)).is_err());
        assert!(machine.reserve(PfnRange::with_len(pfn, 1)).is_err());
        assert!(machine.add_memory(PfnRange::with_len(pfn, 1), MemoryUse::Ordinary).is_err());
        assert!(machine.offline(range, &NoMigration, &NoNotifier, options()).is_err());
    });
    // A part of it comes online by number, the rest with it or not.
    let first = PfnRange::with_len(pfn, G::PAGEBLOCK_ORDER.pages());
    machine.online_raw(first).unwrap();
    assert_eq!(machine.verify().unwrap().total().offline, range.len() - first.len());
    let rest = PfnRange::new(first.end(), range.end());
    if rest.is_empty() {
        assert!(machine.online(offline, &NoNotifier).is_err());
    } else {
        let (_, error) = machine.online(offline, &NoNotifier).unwrap_err();
        assert!(matches!(error, HotplugError::NotOffline { pfn: at, .. } if at == pfn), "{error}");
        machine.online_raw(rest).unwrap();
    }
    assert_eq!(machine.free_count(), 4 * unit::<G>());
    machine.verify().unwrap();
}

fn a_range_can_go_offline_again_and_again_under_its_owners<G: Geometry>() {
    let machine = normal::<G>(8).build_as::<G>();
    let owners = Owners::new();
    owners.fill(&machine, 3 * unit::<G>());
    let places: Vec<Option<Pfn>> = (1..=3).map(|word| owners.place(word)).collect();
    for round in 0..20 {
        let range = part::<G>(round % 2 * 4 * unit::<G>(), 4 * unit::<G>());
        let (offline, _) = machine.offline(range, &owners, &NoNotifier, options()).unwrap();
        assert!(machine.audit().is_exact());
        machine.online(offline, &NoNotifier).unwrap();
        machine.verify().unwrap();
    }
    assert!(places.iter().all(Option::is_some) && owners.all().len() == 3 * unit::<G>());
}

on_every_geometry!(
    offline_pages_are_not_managed_and_come_back_free,
    an_offline_operation_says_how_often_it_tried,
    owners_move_out_before_a_range_goes_offline,
    marks_follow_what_is_online,
    the_kernel_is_told_in_order,
    a_veto_leaves_everything_as_it_was,
    a_pinned_page_cancels,
    a_dry_run_names_what_is_in_the_way,
    a_type_survives_being_offline,
    what_cannot_go_offline_or_online_says_why,
    every_block_of_a_range_must_be_offline_to_come_online,
    offline_pages_cannot_be_freed_isolated_or_reserved,
    a_range_can_go_offline_again_and_again_under_its_owners,
);
