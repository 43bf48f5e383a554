//! Free page reporting: what a batch takes, what it leaves, and what happens to blocks that are
//! out.

use std::cell::{Cell, RefCell};

use pageblock::{
    AllocError, AllocRequest, CmaArea, CmaError, ContigError, ContigOptions, Depth, FreeError, Geometry,
    HandOverError, Mark, MemoryUse, NoMigration, NoNotifier, NotFree, Obstacle, Order, PageAllocator, Pfn,
    PfnRange, Platform, ReportBatch, ReportError, ReportOptions, SoftOffline, X86_64, ZoneKind,
};

use crate::support::{
    Builder, Machine, Threads, base, bitmap, cma_area, fill, frames, mebibytes, normal, on_every_geometry,
    part, unchanged, unit,
};

const HUGE: Order = Order::new(9);
const LARGEST: Order = Order::new(10);

fn take<'a, P: Platform, G: Geometry>(
    machine: &'a PageAllocator<'static, P, G>,
) -> ReportBatch<'a, 'static, P, G> {
    machine.report_free_pages(ReportOptions::default()).unwrap().unwrap()
}

fn nothing_to_report<P: Platform, G: Geometry>(machine: &PageAllocator<'static, P, G>) -> bool {
    machine.report_free_pages(ReportOptions::default()).unwrap().is_none()
}

/// Hands everything of a batch over.
fn hand_over_all<P: Platform, G: Geometry>(batch: &mut ReportBatch<'_, '_, P, G>) -> Vec<PfnRange> {
    std::iter::from_fn(|| batch.hand_over()).collect()
}

/// Reports until nothing is left, and checks the machine at each step. Returns what was reported.
fn report_all<P: Platform, G: Geometry>(machine: &PageAllocator<'static, P, G>) -> Vec<PfnRange> {
    let mut reported = Vec::new();
    while let Some(mut batch) = machine.report_free_pages(ReportOptions::default()).unwrap() {
        machine.verify().unwrap();
        let blocks = hand_over_all(&mut batch);
        let pages = pages(&blocks);
        assert_eq!((pages, machine.meminfo().reporting), (batch.pages(), batch.pages()));
        machine.verify().unwrap();
        assert_eq!(batch.acknowledged(), pages);
        machine.verify().unwrap();
        reported.extend(blocks);
    }
    assert!(machine.audit().is_exact());
    reported
}

/// A machine whose memory has all been used and freed again, so that its records exist.
fn used<G: Geometry>(builder: Builder) -> Machine<G> {
    let machine = builder.build_as::<G>();
    let request = AllocRequest::movable().order(G::MAX_ORDER).depth(Depth::Emergency);
    for pfn in fill(&machine, request) {
        machine.free_pages(pfn, G::MAX_ORDER).unwrap();
    }
    machine.drain_all();
    machine
}

fn gibibyte() -> Machine {
    used(mebibytes(1024))
}

fn pages(ranges: &[PfnRange]) -> usize {
    ranges.iter().map(|range| range.len()).sum()
}

/// [`normal`], and some memory above it that is in no block which can be reported: the zone keeps
/// that for its watermark.
fn normal_and_small<G: Geometry>(units: usize) -> Builder {
    let end = base::<G>() + units * unit::<G>();
    normal::<G>(units).add(end, end + G::PAGEBLOCK_ORDER.pages() / 2)
}

/// I10 is checked by `verify`, wherever this test looks.
fn i10_each_block_is_reported_once_and_the_counts_are_exact<G: Geometry>() {
    let machine = used::<G>(normal_and_small::<G>(4));
    if G::PAGEBLOCK_ORDER > G::MAX_ORDER {
        // All of its free blocks are parts of pageblocks.
        let (order, max) = (G::PAGEBLOCK_ORDER, G::MAX_ORDER);
        let refused = unchanged(&machine, || machine.report_free_pages(ReportOptions::default()).map(drop));
        assert_eq!(refused, Err(ReportError::OrderTooLarge { order, max }));
        return;
    }
    let (all, small) = (4 * unit::<G>(), machine.managed_count() - 4 * unit::<G>());
    let mut batch = take(&machine);
    let info = machine.meminfo();
    assert_eq!((info.free, info.reporting, info.reported, info.allocated), (small, all, 0, 0));
    let counts = (machine.free_count(), machine.allocated_count(), info.total);
    assert_eq!(counts, (small, 0, all + small));
    assert_eq!(machine.verify().unwrap().total().reporting, all);
    let mut frames: Vec<_> = hand_over_all(&mut batch).into_iter().flat_map(|range| range.iter()).collect();
    frames.sort_unstable();
    assert_eq!(frames, part::<G>(0, all).iter().collect::<Vec<_>>());
    assert_eq!(machine.meminfo(), info, "who knows of a block changes no count");
    assert_eq!(batch.acknowledged(), all);
    let info = machine.meminfo();
    assert_eq!((info.free, info.reporting, info.reported), (all + small, 0, all));
    assert_eq!(machine.vmstat().total().report_pages, all as u64);
    machine.verify().unwrap();
    assert!(nothing_to_report(&machine));
    // Any use of a page ends the mark of its block, and no more than that of a largest block.
    let held = fill(&machine, AllocRequest::movable());
    machine.verify().unwrap();
    assert_eq!(machine.meminfo().reported, 0);
    for pfn in held {
        machine.free_pages(pfn, Order::ZERO).unwrap();
    }
    machine.drain_all();
    assert_eq!(pages(&report_all(&machine)), all);
    let page = machine.alloc_pages(AllocRequest::movable().order(G::PAGEBLOCK_ORDER)).unwrap();
    machine.verify().unwrap();
    assert!(machine.meminfo().reported >= all - unit::<G>());
    machine.free_pages(page, G::PAGEBLOCK_ORDER).unwrap();
    machine.drain_all();
    let again = report_all(&machine);
    assert!(again.iter().any(|range| range.contains(page)) && pages(&again) <= unit::<G>());
    assert_eq!(machine.meminfo().reported, all);
    assert!(nothing_to_report(&machine));
}

on_every_geometry!(i10_each_block_is_reported_once_and_the_counts_are_exact);

#[test]
fn half_of_a_reported_block_stays_reported_and_two_halves_make_a_reported_block() {
    let machine = used::<X86_64>(frames(&[(0, 2048 + SMALL)]).no_reserve());
    report_all(&machine);
    let huge = machine.alloc_pages(AllocRequest::movable().order(HUGE)).unwrap();
    machine.verify().unwrap();
    assert_eq!(machine.meminfo().reported, 2048 - 512);
    machine.free_pages(huge, HUGE).unwrap();
    machine.drain_all();
    // It has merged with its buddy, which was reported.
    assert_eq!(machine.meminfo().reported, 1024);
    assert_eq!(pages(&report_all(&machine)), 1024);
    // A block that is split for an isolation, and merges again, is not reported again.
    drop(machine.isolate(PfnRange::with_len(Pfn::new(512), 1)).unwrap());
    machine.verify().unwrap();
    assert_eq!(machine.meminfo().reported, 2048);
    let isolated = machine.isolate(PfnRange::with_len(Pfn::new(512), 1)).unwrap();
    let info = machine.meminfo();
    assert_eq!((info.isolated, info.reported), (512, 2048));
    drop(isolated);
    assert_eq!(machine.buddyinfo().zones[0].all(LARGEST), 2);
}

#[test]
fn requests_take_blocks_first_that_are_not_reported() {
    let machine = used::<X86_64>(frames(&[(0, 8 * 1024 + SMALL)]).no_reserve());
    report_all(&machine);
    let request = AllocRequest::movable().order(LARGEST);
    let four: Vec<_> = (0..4).map(|_| machine.alloc_pages(request).unwrap()).collect();
    assert_eq!(machine.meminfo().reported, 4 * 1024);
    for pfn in &four {
        machine.free_pages(*pfn, LARGEST).unwrap();
    }
    for _ in 0..4 {
        let pfn = machine.alloc_pages(request).unwrap();
        assert!(four.contains(&pfn), "{pfn} was reported");
    }
    assert_eq!(machine.meminfo().reported, 4 * 1024);
    assert!(!four.contains(&machine.alloc_pages(request).unwrap()));
    machine.verify().unwrap();
}

#[test]
fn larger_blocks_are_reported_first_and_the_order_and_the_number_can_be_chosen() {
    let machine = used::<X86_64>(frames(&[(4096, 4096 + 8 * 1024 + SMALL)]).no_reserve());
    let huge = machine.alloc_pages(AllocRequest::movable().order(HUGE)).unwrap();
    let options = ReportOptions::default().order(LARGEST);
    let mut batch = machine.report_free_pages(options.blocks(3)).unwrap().unwrap();
    assert_eq!((batch.pages(), batch.zone()), (3 * 1024, ZoneKind::Dma32));
    assert!(hand_over_all(&mut batch).iter().all(|range| range.len() == 1024));
    batch.acknowledged();
    let mut batch = machine.report_free_pages(options).unwrap().unwrap();
    assert_eq!(pages(&hand_over_all(&mut batch)), 4 * 1024);
    batch.acknowledged();
    assert!(machine.report_free_pages(options).unwrap().is_none());
    // The half that is left of the eighth.
    assert_eq!(report_all(&machine), [PfnRange::with_len(Pfn::new(huge.number() ^ 512), 512)]);
}

#[test]
fn memory_that_was_never_used_is_not_reported() {
    let machine = mebibytes(1024).build();
    let reported = pages(&report_all(&machine));
    assert!(reported < 16 * 1024, "{reported} pages");
    assert_eq!(machine.free_count(), machine.managed_count());
    // The rest of a largest block that was initialised for one page.
    let page = machine.alloc_pages(AllocRequest::movable()).unwrap();
    machine.free_pages(page, Order::ZERO).unwrap();
    machine.drain_all();
    assert_eq!(pages(&report_all(&machine)), 1024);
}

#[test]
fn a_zone_keeps_its_high_watermark() {
    let machine = gibibyte();
    let info = machine.zoneinfo();
    let high = |zone: ZoneKind| info.zones[zone as usize].watermarks.get(Mark::High);
    let batches: Vec<_> = std::iter::from_fn(|| {
        let options = ReportOptions::default().blocks(usize::MAX);
        machine.report_free_pages(options).ok().flatten()
    })
    .collect();
    assert_eq!(batches.len(), 2, "zones DMA32 and DMA");
    for zone in machine.zoneinfo().zones.into_iter().filter(|zone| zone.present > 0) {
        let left = high(zone.zone)..high(zone.zone) + 1024;
        assert!(left.contains(&zone.free), "{}: {} of {left:?}", zone.zone, zone.free);
    }
    machine.alloc_pages(AllocRequest::unmovable()).unwrap();
    machine.verify().unwrap();
    drop(batches);
    machine.verify().unwrap();
    // Below the high watermark nothing is taken.
    let order = AllocRequest::unmovable().order(HUGE);
    let held = fill(&machine, order);
    machine.free_pages(held[0], HUGE).unwrap();
    machine.drain_all();
    assert!(nothing_to_report(&machine));
}

#[test]
fn movable_only_memory_and_cma_areas_are_reported_and_the_atomic_reserve_is_not() {
    let machine = used::<X86_64>(frames(&[(0, 512 * 512)]));
    let area = cma_area(&machine, PfnRange::with_len(Pfn::new(512 * 16), 512 * 16));
    let replugged = PfnRange::with_len(Pfn::new(512 * 64), 512 * 64);
    let (offline, _) =
        machine.offline(replugged, &NoMigration, &NoNotifier, ContigOptions::default()).unwrap();
    machine.remove_memory(offline.range()).unwrap();
    machine.add_memory(replugged, MemoryUse::MovableOnly).unwrap();
    let atomic = AllocRequest::unmovable().order(Order::new(3)).depth(Depth::Atomic);
    let reserved = machine.alloc_pages(atomic).unwrap();
    machine.free_pages(reserved, Order::new(3)).unwrap();
    machine.drain_all();
    assert!(machine.zoneinfo().zones[1].free_atomic > 0);
    let reported = report_all(&machine);
    for range in [area.range(), replugged] {
        let inside = reported.iter().map(|block| block.intersection(range).len()).sum::<usize>();
        assert_eq!(inside, range.len());
    }
    assert!(!reported.iter().any(|block| block.contains(reserved)));
    // Requests still find them.
    assert!(!fill(&machine, AllocRequest::movable().order(LARGEST)).is_empty());
    machine.verify().unwrap();
}

/// Pages above the largest blocks of a machine that are in no block which can be reported. The zone
/// keeps them for its watermark.
const SMALL: usize = 256;

/// A batch of two largest blocks.
fn all_out(machine: &Machine) -> ReportBatch<'_, 'static, Threads> {
    let batch = take(machine);
    assert_eq!((batch.pages(), machine.free_count()), (2048, SMALL));
    batch
}

fn two_largest() -> Machine {
    used(frames(&[(0, 2048 + SMALL)]).no_reserve())
}

#[test]
fn a_request_that_would_fail_takes_back_what_the_host_has_not_been_told_of() {
    for depth in [Depth::Normal, Depth::Atomic, Depth::Emergency] {
        let machine = two_largest();
        let mut batch = all_out(&machine);
        let told = batch.hand_over().unwrap();
        let pfn = machine.alloc_pages(AllocRequest::unmovable().order(HUGE).depth(depth)).unwrap();
        assert!(!told.contains(pfn));
        machine.verify().unwrap();
        assert_eq!(machine.meminfo().reporting, 1024);
        assert_eq!(machine.vmstat().total().report_recall_pages, 1024);
        assert_eq!(batch.hand_over(), None, "it has been taken back");
        assert_eq!(batch.acknowledged(), 1024);
        machine.verify().unwrap();
        let info = machine.meminfo();
        assert_eq!((info.reporting, info.reported), (0, 1024));
    }
}

#[test]
fn a_block_that_the_host_has_been_told_of_is_not_allocated_before_it_has_acknowledged() {
    let machine = two_largest();
    let mut batch = all_out(&machine);
    hand_over_all(&mut batch);
    for depth in [Depth::Normal, Depth::Atomic, Depth::Emergency] {
        for order in [HUGE, LARGEST] {
            let request = AllocRequest::movable().order(order).depth(depth);
            let refused = unchanged(&machine, || machine.alloc_pages(request));
            assert!(matches!(refused, Err(AllocError::NoMemory { .. })));
        }
    }
    batch.acknowledged();
    assert_eq!(fill(&machine, AllocRequest::movable().order(LARGEST)).len(), 2);
    machine.verify().unwrap();
}

#[test]
fn a_refused_batch_is_put_back_without_the_mark() {
    let machine = two_largest();
    let mut batch = all_out(&machine);
    batch.hand_over().unwrap();
    assert_eq!(batch.refused(), 1024);
    let (info, events) = (machine.meminfo(), machine.vmstat().total());
    assert_eq!((info.free, info.reporting, info.reported), (2048 + SMALL, 0, 0));
    assert_eq!((events.report_pages, events.report_fail_pages), (0, 1024));
    machine.verify().unwrap();
    assert_eq!(pages(&report_all(&machine)), 2048);
}

#[test]
fn dropping_a_batch_puts_back_what_was_not_handed_over_and_leaves_out_what_was() {
    let machine = two_largest();
    unchanged(&machine, || drop(take(&machine)));
    let mut batch = take(&machine);
    let told = batch.hand_over().unwrap();
    drop(batch);
    machine.verify().unwrap();
    let info = machine.meminfo();
    assert_eq!((info.free, info.reporting, info.allocated), (1024 + SMALL, 1024, 0));
    assert!(!fill(&machine, AllocRequest::movable()).iter().any(|pfn| told.contains(*pfn)));
    // The host may still use the block, so that the zone has a batch out, for good.
    let refused = machine.report_free_pages(ReportOptions::default()).map(drop);
    assert_eq!(refused, Err(ReportError::BatchOut { zone: ZoneKind::Dma }));
}

#[test]
fn there_is_one_batch_of_a_zone_at_a_time() {
    let machine = gibibyte();
    let options = ReportOptions::default().blocks(2);
    let batch = machine.report_free_pages(options).unwrap().unwrap();
    assert_eq!(batch.zone(), ZoneKind::Dma32);
    let lower = machine.report_free_pages(options).unwrap().unwrap();
    assert_eq!(lower.zone(), ZoneKind::Dma);
    let refused = machine.report_free_pages(options).map(drop);
    assert_eq!(refused, Err(ReportError::BatchOut { zone: ZoneKind::Dma32 }));
    batch.acknowledged();
    assert_eq!(machine.report_free_pages(options).unwrap().unwrap().zone(), ZoneKind::Dma32);
    lower.acknowledged();
    machine.verify().unwrap();
}

#[test]
fn impossible_batches_are_refused_and_the_value_is_named() {
    let machine = gibibyte();
    let refused = |options| unchanged(&machine, || machine.report_free_pages(options).map(drop));
    let order = Order::new(8);
    let options = ReportOptions::default();
    assert_eq!(refused(options.order(order)), Err(ReportError::OrderTooSmall { order, min: HUGE }));
    let order = Order::new(11);
    assert_eq!(refused(options.order(order)), Err(ReportError::OrderTooLarge { order, max: LARGEST }));
    assert_eq!(refused(options.blocks(0)), Err(ReportError::NoBlocks));
    let said = ReportError::OrderTooSmall { order: Order::new(8), min: HUGE }.to_string();
    assert_eq!(said, "order 8 is below the smallest that is reported, order 9");
}

#[test]
fn an_isolation_takes_back_what_the_host_has_not_been_told_of() {
    let machine = two_largest();
    let batch = all_out(&machine);
    let range = PfnRange::with_len(Pfn::new(512), 512);
    let mut isolated = machine.isolate(range).unwrap();
    machine.verify().unwrap();
    let info = machine.meminfo();
    assert_eq!((info.free, info.isolated, info.reporting), (512 + SMALL, 512, 1024));
    assert!(isolated.test().is_ok());
    drop(isolated);
    drop(batch);
    machine.verify().unwrap();
    assert_eq!(machine.free_count(), 2048 + SMALL);
}

#[test]
fn a_block_that_comes_back_goes_where_its_pageblocks_say_now() {
    let machine = two_largest();
    let mut batch = all_out(&machine);
    hand_over_all(&mut batch);
    let range = PfnRange::with_len(Pfn::new(512), 100);
    let mut isolated = machine.isolate(range).unwrap();
    let not_free = NotFree { pfn: range.start(), reason: Obstacle::Reporting };
    assert_eq!(isolated.test().map(drop), Err(not_free));
    assert_eq!(not_free.to_string(), "pfn 0x200 is not free: being reported to the host");
    batch.acknowledged();
    machine.verify().unwrap();
    let info = machine.meminfo();
    assert_eq!((info.free, info.isolated, info.reported), (1536 + SMALL, 512, 2048));
    assert!(isolated.test().is_ok());
    drop(isolated);
    machine.verify().unwrap();
    assert_eq!(machine.buddyinfo().zones[0].all(LARGEST), 2);
}

#[test]
fn a_range_that_is_being_reported_is_refused_and_names_the_frame() {
    let machine = two_largest();
    let mut batch = all_out(&machine);
    hand_over_all(&mut batch);
    let range = PfnRange::with_len(Pfn::new(1024), 512);
    let options = ContigOptions::default();
    unchanged(&machine, || {
        match machine.alloc_contig(range, &NoMigration, options).map(drop) {
            Err(ContigError::Busy { pfn, reason: Obstacle::Reporting, .. }) => assert_eq!(pfn, range.start()),
            other => panic!("{other:?}"),
        }
        assert!(machine.offline(range, &NoMigration, &NoNotifier, options).is_err());
        let not_free = NotFree { pfn: range.start(), reason: Obstacle::Reporting };
        assert_eq!(machine.reserve(range), Err(HandOverError::NotFree(not_free)));
        assert_eq!(
            machine.free_pages(range.start(), LARGEST),
            Err(FreeError::DoubleFree { pfn: range.start() })
        );
        assert_eq!(
            machine.free_pages(range.start(), Order::ZERO),
            Err(FreeError::DoubleFree { pfn: range.start() })
        );
        let area = CmaArea::new(&machine, range, bitmap(512));
        assert_eq!(area.map(drop), Err(CmaError::NotFree(not_free)));
        assert_eq!(machine.offline_dry_run(range, |not_free| panic!("{not_free}")), Ok(0));
    });
    batch.acknowledged();
    let taken = machine.alloc_contig(range, &NoMigration, options).unwrap();
    machine.verify().unwrap();
    assert_eq!(machine.meminfo().reported, 1536);
    drop(taken);
    machine.verify().unwrap();
}

#[test]
fn a_contiguous_range_is_taken_from_a_batch_that_the_host_does_not_know_of() {
    let machine = two_largest();
    let batch = all_out(&machine);
    let range = PfnRange::with_len(Pfn::new(300), 1400);
    let taken = machine.alloc_contig(range, &NoMigration, ContigOptions::default()).unwrap();
    machine.verify().unwrap();
    assert_eq!(machine.meminfo().reporting, 0);
    drop(batch);
    drop(taken);
    assert_eq!(machine.free_count(), 2048 + SMALL);
    let (offline, _) = machine
        .offline(PfnRange::with_len(Pfn::new(0), 1024), &NoMigration, &NoNotifier, ContigOptions::default())
        .unwrap();
    assert_eq!(pages(&report_all(&machine)), 1024);
    machine.online(offline, &NoNotifier).unwrap();
    assert_eq!(pages(&report_all(&machine)), 1024);
}

#[test]
fn a_bad_frame_is_retired_when_its_block_comes_back() {
    let machine = two_largest();
    let mut batch = all_out(&machine);
    hand_over_all(&mut batch);
    for (number, head) in [(0, 0), (1500, 1024)] {
        let (pfn, expected) =
            (Pfn::new(number), NotFree { pfn: Pfn::new(head), reason: Obstacle::Reporting });
        let found = machine.soft_offline_page(pfn, &NoMigration, ContigOptions::default());
        assert_eq!(found, Ok(SoftOffline::WhenFreed(expected)));
        machine.verify().unwrap();
    }
    assert_eq!(batch.acknowledged(), 2048);
    machine.verify().unwrap();
    let info = machine.meminfo();
    assert_eq!((info.hwpoisoned, info.free, info.reporting), (2, 2046 + SMALL, 0));
    // In a block that is not handed over it is retired at once.
    let mut batch = take(&machine);
    let found = machine.soft_offline_page(Pfn::new(600), &NoMigration, ContigOptions::default());
    assert_eq!(found, Ok(SoftOffline::Retired));
    machine.verify().unwrap();
    assert!(hand_over_all(&mut batch).iter().all(|range| !range.contains(Pfn::new(600))));
    batch.acknowledged();
    machine.verify().unwrap();
}

#[test]
fn guards_end_while_a_batch_is_out() {
    let builder = frames(&[(0, 4096 + SMALL)]).no_reserve().tune(|tuning| tuning.guard_below(LARGEST));
    let machine = used::<X86_64>(builder);
    let held = machine.alloc_pages(AllocRequest::movable().order(HUGE)).unwrap();
    assert_eq!(machine.meminfo().guard, 512);
    let mut batch = take(&machine);
    hand_over_all(&mut batch);
    machine.verify().unwrap();
    machine.free_pages(held, HUGE).unwrap();
    machine.drain_all();
    machine.verify().unwrap();
    batch.acknowledged();
    machine.verify().unwrap();
    assert_eq!((machine.meminfo().guard, machine.free_count()), (0, 4096 + SMALL));
}

#[test]
fn pageblocks_say_what_is_being_reported() {
    let machine = two_largest();
    let batch = all_out(&machine);
    let found: Vec<_> = machine.pageblocks().map(|info| (info.free, info.reporting)).collect();
    assert_eq!(found, [(0, 512), (0, 512), (0, 512), (0, 512), (SMALL, 0)]);
    drop(batch);
    let text = machine.meminfo().to_string();
    assert!(text.contains("Reporting:") && text.contains("Reported:"), "{text}");
}

thread_local! {
    /// How often a request has waited on this thread.
    static WAITS: Cell<usize> = const { Cell::new(0) };
    /// What happens when it does: whether that was of use.
    static ON_WAIT: RefCell<Option<Box<dyn FnMut() -> bool>>> = const { RefCell::new(None) };
}

/// A kernel whose requests may wait for the host.
#[derive(Debug)]
struct Waiting;

impl Platform for Waiting {
    fn wait_for_report(&self) -> bool {
        WAITS.set(WAITS.get() + 1);
        ON_WAIT.with_borrow_mut(|wait| wait.as_mut().is_some_and(|wait| wait()))
    }
}

fn waiting_machine() -> &'static PageAllocator<'static, Waiting> {
    let machine: PageAllocator<'static, Waiting> =
        frames(&[(0, 2048 + SMALL)]).no_reserve().build_on::<_, X86_64>(Waiting);
    for pfn in fill(&machine, AllocRequest::movable().order(LARGEST)) {
        machine.free_pages(pfn, LARGEST).unwrap();
    }
    WAITS.set(0);
    Box::leak(Box::new(machine))
}

#[test]
fn a_request_that_may_wait_gets_the_block_when_the_host_has_acknowledged() {
    for waits in 1..=3 {
        let machine = waiting_machine();
        let mut batch = take(machine);
        hand_over_all(&mut batch);
        let mut batch = Some(batch);
        // The host answers after some time.
        ON_WAIT.set(Some(Box::new(move || {
            if WAITS.get() == waits {
                batch.take().unwrap().acknowledged();
            }
            true
        })));
        machine.alloc_pages(AllocRequest::movable().order(LARGEST)).unwrap();
        assert_eq!(WAITS.get(), waits);
        machine.verify().unwrap();
    }
}

#[test]
fn a_request_waits_a_bounded_number_of_times_and_an_atomic_one_never() {
    let machine = waiting_machine();
    ON_WAIT.set(Some(Box::new(|| true)));
    let mut batch = take(machine);
    hand_over_all(&mut batch);
    let request = AllocRequest::movable().order(HUGE);
    assert!(machine.alloc_pages(request.depth(Depth::Atomic)).is_err());
    assert_eq!(WAITS.get(), 0);
    assert!(machine.alloc_pages(request).is_err());
    assert_eq!(WAITS.get(), 4);
    let range = PfnRange::with_len(Pfn::new(3), 9);
    let refused = machine.alloc_contig(range, &NoMigration, ContigOptions::default()).map(drop);
    assert!(matches!(refused, Err(ContigError::Busy { reason: Obstacle::Reporting, .. })));
    assert_eq!(WAITS.get(), 4 + 16);
    // A platform that cannot wait just now is asked once.
    ON_WAIT.set(Some(Box::new(|| false)));
    assert!(machine.alloc_pages(request).is_err());
    assert_eq!(WAITS.get(), 4 + 16 + 1);
    batch.acknowledged();
    machine.alloc_pages(request).unwrap();
    assert_eq!(WAITS.get(), 4 + 16 + 1, "nothing is waited for without a batch");
}

#[test]
fn a_contiguous_range_waits_for_the_host() {
    let machine = waiting_machine();
    let mut batch = take(machine);
    hand_over_all(&mut batch);
    let mut batch = Some(batch);
    ON_WAIT.set(Some(Box::new(move || {
        batch.take().unwrap().acknowledged();
        true
    })));
    let range = PfnRange::with_len(Pfn::new(3), 1900);
    let options = ContigOptions::default().attempts(1);
    drop(machine.alloc_contig(range, &NoMigration, options).unwrap());
    assert_eq!(WAITS.get(), 1);
    machine.verify().unwrap();
}
