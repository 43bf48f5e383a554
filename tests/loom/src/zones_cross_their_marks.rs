//! Two zones cross their marks at the same time: the choice of a zone for the fast path knows both.
//!
//! Each zone has one free block, which its CPU takes and frees, so that the zone is at its low mark
//! and again above it. If a choice were stored after the lock is released that the standings are
//! read with, one CPU could store a choice that does not know what the other did: `I11`.

use std::sync::Arc;

use pageblock::{AllocRequest, Geometry, Order, Pfn, ZoneKind};

use crate::model::{Locked, Machine, Model, cpu};

/// As the machine of the other models, but the lower half of 16 frames is DMA32.
enum TwoZones {}
impl Geometry for TwoZones {
    const MAX_ORDER: Order = Order::new(2);
    const PAGEBLOCK_ORDER: Order = Order::new(1);
    const DMA_END: Pfn = Pfn::new(0);
    const DMA32_END: Pfn = Pfn::new(8);
}

const PAGES: usize = 16;
/// Larger than a pageblock, so that it is not cached.
const ORDER: Order = Order::new(2);
/// The free block of each zone.
const FREE: [usize; 2] = [0, 12];

/// Takes the free block of this zone and frees it, so many times, and then takes it if `keep`.
fn cross(machine: &Machine<Locked, TwoZones>, zone: ZoneKind, times: usize, keep: bool) {
    let request = AllocRequest::movable().order(ORDER).highest_zone(zone);
    for _ in 0..times {
        let block = machine.alloc_pages(request).unwrap();
        machine.free_pages(block, ORDER).unwrap();
    }
    if keep {
        machine.alloc_pages(request).unwrap();
    }
}

fn model(keep: fn(&Arc<Machine<Locked, TwoZones>>)) -> Model<Locked, TwoZones> {
    Model { machine: || Machine::owned(PAGES, ORDER, &FREE), concurrently: keep, preemptions: Some(3) }
}

/// CPU 0 and CPU 1 cross the marks of their zones, and keep the blocks or not.
fn crossings(machine: &Arc<Machine<Locked, TwoZones>>, keep: [bool; 2]) {
    let other = {
        let machine = machine.clone();
        cpu(1, move || cross(&machine, ZoneKind::Dma32, 2, keep[0]))
    };
    cross(machine, ZoneKind::Normal, 2, keep[1]);
    other.join().unwrap();
    machine.verify().unwrap_or_else(|violation| panic!("{violation}"));
    for (block, _) in FREE.into_iter().zip(keep).filter(|(_, kept)| *kept) {
        machine.free_pages(Pfn::new(block), ORDER).unwrap();
    }
    for block in (0..PAGES).step_by(ORDER.pages()).filter(|block| !FREE.contains(block)) {
        machine.free_pages(Pfn::new(block), ORDER).unwrap();
    }
}

#[test]
fn the_choice_knows_of_both_zones() {
    model(|machine| crossings(machine, [false, false])).holds();
}

#[test]
fn the_choice_knows_that_the_highest_zone_is_low_and_the_next_is_not() {
    model(|machine| crossings(machine, [false, true])).holds();
}

#[test]
fn the_choice_knows_that_both_zones_are_low() {
    model(|machine| crossings(machine, [true, true])).holds();
}
