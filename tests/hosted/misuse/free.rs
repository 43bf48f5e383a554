//! Frees that must fail.

use pageblock::{AllocRequest, ContigOptions, FrameKind, FreeError, NoMigration, Order, Pfn, PfnRange};

use super::{LIMIT, PAGE, builder, machine};
use crate::support::{Machine, Threads, Zoned, range, scope, unchanged};

/// Frees that must all fail with this error and change nothing.
#[track_caller]
fn free_fails(machine: &Machine<Zoned>, pfn: usize, order: Order, expected: FreeError) {
    let result = unchanged(machine, || machine.free_pages(Pfn::new(pfn), order));
    assert_eq!(result, Err(expected));
    assert!(machine.owner(Pfn::new(pfn), order).is_err());
}

#[test]
fn of_an_order_above_the_largest() {
    for order in [7, 10, 16, 22, 63, 64, 255].map(Order::new) {
        free_fails(&machine(), 0, order, FreeError::OrderTooLarge { order, max: LIMIT });
    }
}

#[test]
fn of_an_unaligned_head() {
    let (pfn, order) = (Pfn::new(4097), Order::new(1));
    free_fails(&machine(), 4097, order, FreeError::Unaligned { pfn, order });
}

#[test]
fn of_a_frame_outside_every_zone() {
    for pfn in [8192, 1 << 40, usize::MAX] {
        free_fails(&machine(), pfn, PAGE, FreeError::Foreign { pfn: Pfn::new(pfn) });
    }
}

#[test]
fn of_a_hole() {
    for pfn in [2048, 2099] {
        free_fails(&machine(), pfn, PAGE, FreeError::Hole { pfn: Pfn::new(pfn) });
    }
}

#[test]
fn of_a_reserved_frame() {
    let error = FreeError::NotManaged { pfn: Pfn::new(5000), kind: FrameKind::Reserved };
    free_fails(&machine(), 5000, PAGE, error);
}

#[test]
fn of_a_block_that_is_free_already() {
    for order in (0..=6).map(Order::new) {
        let machine = machine();
        let pfn = machine.alloc_pages(AllocRequest::movable().order(order)).unwrap();
        machine.free_pages(pfn, order).unwrap();
        // Cached, or merged into something larger; then in any case the latter.
        free_fails(&machine, pfn.number(), order, FreeError::DoubleFree { pfn });
        machine.drain_all();
        free_fails(&machine, pfn.number(), order, FreeError::DoubleFree { pfn });
    }
}

#[test]
fn with_another_order() {
    for given in [0, 1, 3, 6].map(Order::new) {
        let machine = machine();
        let allocated = Order::new(2);
        let request = AllocRequest::unmovable().order(allocated);
        let blocks: Vec<Pfn> = (0..16).map(|_| machine.alloc_pages(request).unwrap()).collect();
        let pfn = *blocks.iter().find(|pfn| given.is_aligned(**pfn)).unwrap();
        free_fails(&machine, pfn.number(), given, FreeError::WrongOrder { pfn, given, allocated });
    }
}

#[test]
fn of_a_frame_inside_a_block() {
    let machine = machine();
    let head = machine.alloc_pages(AllocRequest::unmovable().order(Order::new(4))).unwrap();
    for (offset, order) in [(1, 0), (15, 0), (8, 3), (2, 1)] {
        let pfn = Pfn::new(head.number() + offset);
        free_fails(&machine, pfn.number(), Order::new(order), FreeError::NotHead { pfn, head });
    }
}

#[test]
fn of_a_part_of_a_contiguous_allocation() {
    let machine = machine();
    let taken = machine.alloc_contig(range(4200, 4300), &NoMigration, ContigOptions::default()).unwrap();
    let pfn = taken.range().start();
    free_fails(&machine, pfn.number(), PAGE, FreeError::Contig { pfn });
}

#[test]
fn of_a_contiguous_range_that_is_none() {
    let machine = machine();
    let taken = machine.alloc_contig(range(4200, 4300), &NoMigration, ContigOptions::default()).unwrap();
    let fails = |wanted, expected| {
        assert_eq!(unchanged(&machine, || machine.free_contig(wanted)), Err(expected));
    };
    let free = |pfn| FreeError::NotContig { pfn: Pfn::new(pfn), kind: FrameKind::Free };
    fails(range(4199, 4300), free(4199));
    fails(range(4200, 4301), free(4300));
    fails(range(4250, 4250), FreeError::BadRange { range: range(4250, 4250) });
    fails(range(4000, 4200), FreeError::BadRange { range: range(4000, 4200) });
    fails(range(8000, 9000), FreeError::Foreign { pfn: Pfn::new(8192) });
    drop(taken);
    assert!(matches!(machine.free_contig(range(4200, 4300)), Err(FreeError::NotContig { .. })));
}

#[test]
fn of_an_allocated_block_as_a_contiguous_range() {
    let machine = machine();
    let pfn = machine.alloc_pages(AllocRequest::unmovable()).unwrap();
    let result = unchanged(&machine, || machine.free_contig(PfnRange::with_len(pfn, 1)));
    assert_eq!(result, Err(FreeError::NotContig { pfn, kind: FrameKind::Allocated }));
}

#[test]
fn of_a_block_twice_at_once() {
    // Two CPUs free one block: exactly one of them has freed it.
    let machine = builder().cpus(2).build_as::<Zoned>();
    for round in 0..300 {
        let order = Order::new([0, 0, 4][round % 3]);
        let pfn = machine.alloc_pages(AllocRequest::unmovable().order(order)).unwrap();
        let results = scope(|scope| {
            let free = |cpu| {
                let machine = &machine;
                scope.spawn(move || {
                    Threads::become_cpu(cpu);
                    machine.free_pages(pfn, order)
                })
            };
            [free(0), free(1)].map(|thread| thread.join().unwrap())
        });
        assert!(results.contains(&Ok(())), "{results:?}");
        assert!(results.contains(&Err(FreeError::DoubleFree { pfn })), "{results:?}");
    }
    machine.drain_all();
    assert_eq!(machine.verify().unwrap().total().allocated, 0);
}
