//! Zones and watermarks: where a request looks, what is kept back from it, and how deep it may dig.
//!
//! On a machine whose zones (DMA below frame 1024, DMA32 below 4096, Normal) can be filled page by
//! page.

use pageblock::{AllocError, AllocRequest, Depth, Mark, Mobility, Order, Pfn, ZoneFigures, ZoneKind};

use crate::support::{self, Builder, Machine, Zoned, cma_area, fill, frames, mebibytes, range};

/// 1024 frames of DMA, 3072 of DMA32, 4096 of Normal.
fn three_zones() -> Builder {
    frames(&[(0, 8192)])
}

fn figures(machine: &Machine<Zoned>, zone: ZoneKind) -> ZoneFigures {
    machine.zoneinfo().zones.into_iter().find(|figures| figures.zone == zone).unwrap()
}

fn zone_of(pfn: Pfn) -> ZoneKind {
    match pfn.number() {
        0..1024 => ZoneKind::Dma,
        1024..4096 => ZoneKind::Dma32,
        _ => ZoneKind::Normal,
    }
}

fn free(machine: &Machine<Zoned>) -> [usize; 3] {
    ZoneKind::ALL.map(|zone| figures(machine, zone).free)
}

#[test]
fn memory_is_divided_at_the_borders() {
    let machine = three_zones().build_as::<Zoned>();
    let managed = ZoneKind::ALL.map(|zone| figures(&machine, zone).managed);
    assert_eq!(managed, [1024, 3072, 4096]);
}

#[test]
fn a_request_starts_in_the_highest_zone_that_it_may_use() {
    for zone in ZoneKind::ALL {
        for order in 0..=6 {
            let machine = three_zones().build_as::<Zoned>();
            let request = AllocRequest::unmovable().order(Order::new(order)).highest_zone(zone);
            assert_eq!(zone_of(machine.alloc_pages(request).unwrap()), zone);
        }
    }
}

#[test]
fn the_highest_zone_is_used_to_its_low_mark_exactly() {
    let machine = three_zones().build_as::<Zoned>();
    while zone_of(machine.alloc_pages(AllocRequest::unmovable()).unwrap()) == ZoneKind::Normal {}
    let normal = figures(&machine, ZoneKind::Normal);
    assert_eq!(normal.free, normal.watermarks.get(Mark::Low));
}

#[test]
fn movable_requests_use_the_cma_pages_of_a_zone_before_a_lower_zone() {
    let machine = three_zones().build_as::<Zoned>();
    let area = cma_area(&machine, range(6144, 8192));
    let order = Order::new(4);
    // Until only CMA pages are above the low mark of the highest zone.
    let unmovable = || zone_of(machine.alloc_pages(AllocRequest::unmovable().order(order)).unwrap());
    while unmovable() == ZoneKind::Normal {}
    let pfn = machine.alloc_pages(AllocRequest::movable().order(order)).unwrap();
    assert!(area.range().contains(pfn), "{pfn}");
}

#[test]
fn the_highest_zone_is_never_exceeded() {
    let machine = three_zones().no_reserve().build_as::<Zoned>();
    let dma = fill(&machine, AllocRequest::movable().highest_zone(ZoneKind::Dma));
    assert_eq!(dma.len(), 1024);
    assert!(dma.iter().all(|pfn| zone_of(*pfn) == ZoneKind::Dma));
    assert_eq!(free(&machine), [0, 3072, 4096]);
    let error = machine.alloc_pages(AllocRequest::movable().highest_zone(ZoneKind::Dma)).unwrap_err();
    let (order, mobility) = (Order::ZERO, Mobility::Movable);
    assert_eq!(error, AllocError::NoMemory { order, mobility, highest_zone: ZoneKind::Dma });
}

#[test]
fn zones_are_used_from_the_highest_down() {
    let machine = three_zones().no_reserve().build_as::<Zoned>();
    let order = Order::new(4);
    let blocks = fill(&machine, AllocRequest::unmovable().order(order));
    // Each zone down to its low mark first; what is left above min comes last, again from the
    // highest down.
    let mut zones: Vec<ZoneKind> = blocks.into_iter().map(zone_of).collect();
    zones.dedup();
    let first = [ZoneKind::Normal, ZoneKind::Dma32, ZoneKind::Dma];
    assert!(zones.starts_with(&first), "{zones:?}");
    assert!(zones[3..].is_sorted_by(|a, b| a > b), "{zones:?}");
}

#[test]
fn other_zones_are_tried_before_one_goes_below_its_low_mark() {
    let machine = three_zones().min_free(800).build_as::<Zoned>();
    let request = AllocRequest::unmovable().order(Order::new(4));
    let low = ZoneKind::ALL.map(|zone| figures(&machine, zone).watermarks.get(Mark::Low));
    assert!(low.iter().all(|low| *low > 16));
    loop {
        let before = free(&machine);
        let zone = zone_of(machine.alloc_pages(request).unwrap());
        let reserve = figures(&machine, zone).lowmem_reserve[2];
        if before[zone as usize] < low[zone as usize] + reserve + 16 {
            // This one goes below low: no zone could have served it and stayed above.
            for other in ZoneKind::ALL {
                let reserve = figures(&machine, other).lowmem_reserve[2];
                assert!(
                    before[other as usize] < low[other as usize] + reserve + 16,
                    "{other} had {before:?}"
                );
            }
            break;
        }
    }
}

#[test]
fn lower_zones_keep_pages_back_from_requests_that_could_go_higher() {
    let machine = three_zones().no_reserve().build_as::<Zoned>();
    // A 256th of the memory above each zone.
    assert_eq!(figures(&machine, ZoneKind::Dma).lowmem_reserve, [0, 3072 / 256, 7168 / 256]);
    assert_eq!(figures(&machine, ZoneKind::Dma32).lowmem_reserve, [0, 0, 4096 / 256]);
    fill(&machine, AllocRequest::movable());
    assert_eq!(free(&machine), [28, 16, 0]);
    fill(&machine, AllocRequest::movable().highest_zone(ZoneKind::Dma32));
    assert_eq!(free(&machine), [12, 0, 0]);
    fill(&machine, AllocRequest::movable().highest_zone(ZoneKind::Dma));
    assert_eq!(free(&machine), [0, 0, 0]);
}

#[test]
fn atomic_requests_respect_the_lowmem_reserve_and_emergencies_do_not() {
    let machine = three_zones().no_reserve().build_as::<Zoned>();
    fill(&machine, AllocRequest::movable());
    fill(&machine, AllocRequest::movable().depth(Depth::Atomic));
    assert_eq!(free(&machine), [28, 16, 0]);
    assert_eq!(fill(&machine, AllocRequest::movable().depth(Depth::Emergency)).len(), 44);
    assert_eq!(free(&machine), [0, 0, 0]);
}

#[test]
fn each_depth_stops_at_its_floor() {
    for mobility in [Mobility::Unmovable, Mobility::Movable, Mobility::Reclaimable] {
        let machine = frames(&[(4096, 8192)]).min_free(800).build_as::<Zoned>();
        let request = AllocRequest::new(Order::ZERO, mobility);
        fill(&machine, request);
        assert_eq!(machine.free_count(), 800, "ordinary requests stop at min");
        fill(&machine, request.depth(Depth::Atomic));
        assert_eq!(machine.free_count(), 300, "atomic ones at three eighths of it");
        fill(&machine, request.depth(Depth::Emergency));
        assert_eq!(machine.free_count(), 0, "emergencies nowhere");
        machine.verify().unwrap();
    }
}

#[test]
fn a_large_block_must_fit_above_the_floor() {
    for order in 0..=6 {
        let machine = frames(&[(4096, 8192)]).min_free(333).build_as::<Zoned>();
        let order = Order::new(order);
        fill(&machine, AllocRequest::unmovable().order(order));
        let left = machine.free_count();
        assert!((333..333 + order.pages()).contains(&left), "{left} pages left after blocks of {order}");
    }
}

#[test]
fn a_request_from_below_the_floor_takes_its_one_page_only() {
    // The rest of a batch would lie on the pcplist for ordinary requests to find.
    let machine = mebibytes(64).min_free(500).build();
    fill(&machine, AllocRequest::unmovable());
    let left = machine.free_count();
    for n in 1..=10 {
        machine.alloc_pages(AllocRequest::unmovable().depth(Depth::Atomic)).unwrap();
        assert_eq!((machine.free_count(), support::cached(&machine)), (left - n, 0));
    }
    assert!(machine.alloc_pages(AllocRequest::unmovable()).is_err());
}

#[test]
fn freed_pages_lift_a_zone_above_its_floor_again() {
    let machine = mebibytes(16).min_free(100).build();
    let pages = fill(&machine, AllocRequest::movable());
    for &pfn in pages.iter().take(50) {
        machine.free_pages(pfn, Order::ZERO).unwrap();
        machine.drain_all();
        assert_eq!(machine.free_count(), 101);
        let got = machine.alloc_pages(AllocRequest::movable()).unwrap();
        assert_eq!(got, pfn);
        assert!(machine.alloc_pages(AllocRequest::movable()).is_err());
    }
}

#[test]
fn free_cma_pages_do_not_count_for_requests_that_cannot_use_them() {
    let machine = frames(&[(4096, 8192)]).min_free(256).build_as::<Zoned>();
    cma_area(&machine, range(4096, 6144));
    fill(&machine, AllocRequest::unmovable());
    // 2048 free CMA pages do not help: the floor holds for the pages that such requests can have.
    assert_eq!((machine.free_count(), machine.free_cma_count()), (2048 + 256, 2048));
    fill(&machine, AllocRequest::movable());
    assert_eq!(machine.free_count(), 256, "movable requests have them all down to min");
}

#[test]
fn the_machine_keeps_as_much_back_as_linux_does() {
    // sqrt(16 kB per kB) kB: 1024 pages for a gibibyte, and never more than an eighth of a small
    // machine.
    let machine = mebibytes(1024).build();
    let min: usize = machine.zoneinfo().zones.iter().map(|zone| zone.watermarks.get(Mark::Min)).sum();
    assert!((1023..=1024).contains(&min), "{min}");
    let tiny = frames(&[(4096, 4096 + 64)]).build_as::<Zoned>();
    assert_eq!(figures(&tiny, ZoneKind::Normal).watermarks.get(Mark::Min), 8);
}

#[test]
fn zones_without_memory_are_passed_over() {
    let machine = frames(&[(0, 512), (8192, 8704)]).no_reserve().build_as::<Zoned>();
    assert_eq!(figures(&machine, ZoneKind::Dma32).managed, 0);
    let dma32 = AllocRequest::movable().highest_zone(ZoneKind::Dma32);
    assert_eq!(zone_of(machine.alloc_pages(dma32).unwrap()), ZoneKind::Dma);
}

#[test]
fn a_request_takes_no_zone_lock_while_the_highest_zone_is_at_its_mark() {
    let machine = frames(&[(1 << 18, 5 << 16), (1 << 20, 17 << 16)]).build();
    let holds = || machine.zoneinfo().zones.map(|zone| zone.lock_holds);
    let dma32_end = Pfn::containing(4 << 30);
    while machine.alloc_pages(AllocRequest::movable()).unwrap() >= dma32_end {}
    let before = holds();
    for _ in 0..1000 {
        let pfn = machine.alloc_pages(AllocRequest::movable()).unwrap();
        assert!(pfn < dma32_end);
        machine.free_pages(pfn, Order::ZERO).unwrap();
    }
    let taken: u64 = holds().iter().zip(before).map(|(after, before)| after - before).sum();
    // Those that the two readings take.
    assert!(taken <= 3, "{taken}");
    machine.verify().unwrap();
}

#[test]
fn the_highest_zone_is_used_again_once_it_is_above_its_mark() {
    let machine = three_zones().min_free(800).build_as::<Zoned>();
    let request = AllocRequest::unmovable();
    let mut held: Vec<_> = Vec::new();
    while held.last().is_none_or(|pfn| zone_of(*pfn) == ZoneKind::Normal) {
        held.push(machine.alloc_pages(request).unwrap());
    }
    machine.verify().unwrap();
    for pfn in held.drain(..600) {
        assert_eq!(zone_of(pfn), ZoneKind::Normal);
        machine.free_pages(pfn, Order::ZERO).unwrap();
    }
    machine.verify().unwrap();
    assert_eq!(zone_of(machine.alloc_pages(request).unwrap()), ZoneKind::Normal);
}

#[test]
fn a_request_leaves_the_reserve_of_a_lower_zone_although_pages_of_it_are_cached() {
    let machine = three_zones().no_reserve().build_as::<Zoned>();
    // Down to the low mark of Normal, and of DMA32 with its reserve.
    fill(&machine, AllocRequest::movable());
    let dma32 = AllocRequest::movable().highest_zone(ZoneKind::Dma32);
    let held = machine.alloc_pages(dma32).unwrap();
    assert_eq!(zone_of(held), ZoneKind::Dma32);
    machine.free_pages(held, Order::ZERO).unwrap();
    assert!(machine.alloc_pages(AllocRequest::movable()).is_err());
    machine.verify().unwrap();
}
