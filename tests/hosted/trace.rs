//! The trace: each event of a slow path, as it happens, and none of the fast path.

use std::sync::Mutex;

use pageblock::{
    AllocRequest, ContigOptions, MigrateError, MigrateType, Mobility, Order, PfnRange, Trace, TraceEvent,
    ZoneKind,
};

use crate::support::{Answer, Machine, cached, mebibytes};

#[derive(Default)]
struct Recorder(Mutex<Vec<TraceEvent>>);

impl Trace for Recorder {
    fn event(&self, event: TraceEvent) {
        self.0.lock().unwrap().push(event);
    }
}

impl Recorder {
    /// A recorder that the machine reports to.
    fn of(machine: &Machine) -> &'static Self {
        let recorder: &'static Self = Box::leak(Box::default());
        machine.set_trace(Some(recorder));
        recorder
    }

    /// The events since the last call.
    fn take(&self) -> Vec<TraceEvent> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

#[test]
fn refills_and_drains_are_events_and_the_fast_path_is_none() {
    let machine = mebibytes(64).no_reserve().build();
    let trace = Recorder::of(&machine);
    let pfn = machine.alloc_pages(AllocRequest::unmovable()).unwrap();
    let (order, mobility) = (Order::ZERO, Mobility::Unmovable);
    let blocks = cached(&machine);
    let events = trace.take();
    assert!(events.contains(&TraceEvent::ZoneAlloc { pfn, order, mobility }), "{events:?}");
    assert!(events.contains(&TraceEvent::Fallback { pfn, order, mobility, claimed: true }), "{events:?}");
    assert!(
        events.contains(&TraceEvent::Refill { zone: ZoneKind::Dma32, order, mobility, blocks }),
        "{events:?}"
    );
    machine.free_pages(pfn, order).unwrap();
    for _ in 0..10 {
        machine.free_pages(machine.alloc_pages(AllocRequest::unmovable()).unwrap(), order).unwrap();
    }
    assert_eq!(trace.take(), []);
    machine.drain_all();
    let returned = |event: TraceEvent| match event {
        TraceEvent::PcpReturn { blocks, .. } => blocks,
        _ => panic!("{event:?}"),
    };
    assert_eq!(trace.take().into_iter().map(returned).sum::<usize>(), blocks + 1);
    machine.set_trace(None);
    machine.alloc_pages(AllocRequest::unmovable()).unwrap();
    assert_eq!(trace.take(), [], "nobody listens");
}

#[test]
fn a_contiguous_allocation_is_told_step_by_step() {
    let machine = mebibytes(64).no_reserve().build();
    let order = Order::new(2);
    let from = machine.alloc_pages(AllocRequest::movable().order(order)).unwrap();
    machine.drain_all();
    let trace = Recorder::of(&machine);
    let range = PfnRange::with_len(from, 4);
    let refuse = Answer::new(|_| Err(MigrateError::Pinned));
    machine.alloc_contig(range, &refuse, ContigOptions::default().attempts(1)).unwrap_err();
    let events = trace.take();
    let error = MigrateError::Pinned;
    assert!(events.contains(&TraceEvent::NotMigrated { pfn: from, order, error }), "{events:?}");
    drop(machine.alloc_contig(range, &Answer::new(|_| Ok(())), ContigOptions::default()).unwrap());
    let events = trace.take();
    let order_of = |wanted: fn(&TraceEvent) -> bool| events.iter().position(wanted).unwrap();
    let isolated = order_of(|event| matches!(event, TraceEvent::Pageblock { isolated: true, .. }));
    let migrated = order_of(|event| matches!(event, TraceEvent::Migrated { .. }));
    let taken = order_of(|event| matches!(event, TraceEvent::ContigAlloc { .. }));
    let undone = order_of(|event| {
        matches!(event, TraceEvent::Pageblock { isolated: false, migratetype: MigrateType::Movable, .. })
    });
    let freed = order_of(|event| matches!(event, TraceEvent::ContigFree { .. }));
    assert!(isolated < migrated && migrated < taken && taken < undone && undone < freed, "{events:?}");
    assert_eq!(events[taken], TraceEvent::ContigAlloc { range });
    assert_eq!(events[freed].name(), "mm_contig_free");
}

#[test]
fn the_trace_and_the_counts_agree() {
    let machine = mebibytes(64).no_reserve().build();
    let trace = Recorder::of(&machine);
    let before = machine.vmstat().total();
    for order in (0..=10).map(Order::new) {
        for mobility in [Mobility::Unmovable, Mobility::Reclaimable, Mobility::Movable] {
            let request = AllocRequest::new(order, mobility);
            let blocks: Vec<_> = (0..5).filter_map(|_| machine.alloc_pages(request).ok()).collect();
            blocks.into_iter().for_each(|pfn| machine.free_pages(pfn, order).unwrap());
        }
    }
    let _all = crate::support::fill(&machine, AllocRequest::unmovable());
    let (after, events) = (machine.vmstat().total(), trace.take());
    let count = |name: &str| events.iter().filter(|event| event.name() == name).count() as u64;
    assert_eq!(count("mm_page_alloc_zone_locked"), after.allocs - before.allocs);
    assert_eq!(count("mm_page_free"), after.frees - before.frees);
    assert_eq!(count("mm_page_pcpu_refill"), after.refills - before.refills);
    assert_eq!(count("mm_page_alloc_extfrag"), after.claims + after.steals - before.claims - before.steals);
    assert_eq!(count("mm_page_alloc_fail"), 1);
}
