//! Real threads on one allocator: everything at once, then an exact audit.
//!
//! Each thread is a CPU. They allocate and free (each other's blocks too), isolate, allocate contiguous ranges and
//! audit while the others go on. Nothing may be handed out twice, nothing may be lost, no audit may drift.

mod support;

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::thread;

use pageblock::{AllocRequest, ContigOptions, Migrate, MigrateError, Mobility, Move, Order, Pfn, PfnRange};
use support::{Machine, Threads, mebibytes};

const CPUS: usize = 4;
const STEPS: usize = 60_000;

/// Who owns which frame, to catch a frame that is handed out twice; and the movable blocks' page table.
struct World {
    owned: Vec<AtomicBool>,
    /// Slot of a movable block -> its frame + 1, 0 if free: the "page table" that migration updates.
    slots: Vec<Mutex<Option<(Pfn, Order)>>>,
    migrated: AtomicUsize,
    audits: AtomicU32,
}

impl World {
    fn new(frames: usize, slots: usize) -> Self {
        Self {
            owned: (0..frames).map(|_| AtomicBool::new(false)).collect(),
            slots: (0..slots).map(|_| Mutex::new(None)).collect(),
            migrated: AtomicUsize::new(0),
            audits: AtomicU32::new(0),
        }
    }

    fn take(&self, range: PfnRange) {
        for pfn in range.iter() {
            assert!(!self.owned[pfn.number()].swap(true, Ordering::SeqCst), "{pfn} was handed out twice");
        }
    }

    fn give(&self, range: PfnRange) {
        for pfn in range.iter() {
            assert!(self.owned[pfn.number()].swap(false, Ordering::SeqCst), "{pfn} was not owned");
        }
    }
}

impl Migrate for World {
    fn migrate(&self, page: Move) -> Result<(), MigrateError> {
        let Some(slot) = (page.owner as usize).checked_sub(1) else {
            return Err(MigrateError::Busy);
        };
        let mut slot = self.slots[slot].lock().unwrap();
        match *slot {
            Some((pfn, order)) if pfn == page.from && order == page.order => {
                self.take(page.order.block(page.to));
                self.give(page.order.block(page.from));
                *slot = Some((page.to, order));
                self.migrated.fetch_add(page.order.pages(), Ordering::Relaxed);
                Ok(())
            }
            _ => Err(MigrateError::Gone),
        }
    }
}

/// A small generator: what matters is that threads differ and runs repeat.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % n
    }
}

fn work(machine: &Machine, world: &World, cpu: usize) {
    Threads::become_cpu(cpu);
    let mut random = Random(cpu as u64 + 1);
    let mut own: Vec<(Pfn, Order)> = Vec::new();
    for step in 0..STEPS {
        match random.below(100) {
            0..30 => {
                let order = Order::new([0, 0, 0, 1, 2, 3, 5, 9][random.below(8)]);
                let mobility = if random.below(2) == 0 { Mobility::Unmovable } else { Mobility::Reclaimable };
                if let Ok(pfn) = machine.alloc_pages(AllocRequest::new(order, mobility)) {
                    world.take(order.block(pfn));
                    own.push((pfn, order));
                }
            }
            30..60 if !own.is_empty() => {
                let (pfn, order) = own.swap_remove(random.below(own.len()));
                world.give(order.block(pfn));
                machine.free_pages(pfn, order).unwrap();
            }
            60..95 => {
                let index = random.below(world.slots.len());
                let mut slot = world.slots[index].lock().unwrap();
                if let Some((pfn, order)) = slot.take() {
                    world.give(order.block(pfn));
                    drop(slot);
                    machine.free_pages(pfn, order).unwrap();
                } else {
                    let order = Order::new([0, 0, 0, 0, 1, 3, 9][random.below(7)]);
                    let request = AllocRequest::new(order, Mobility::Movable).owner(index as u64 + 1);
                    if let Ok(pfn) = machine.alloc_pages(request) {
                        world.take(order.block(pfn));
                        *slot = Some((pfn, order));
                    }
                }
            }
            95..97 => {
                let len = 1 + random.below(3000);
                let start = random.below(machine.span().len() - len);
                let wanted = PfnRange::with_len(Pfn::new(start), len);
                if let Ok(range) = machine.alloc_contig(wanted, world, ContigOptions::default()) {
                    world.take(range.range());
                    world.give(range.range());
                }
            }
            97 => drop(machine.isolate(PfnRange::with_len(Pfn::new(random.below(30_000)), 700))),
            98 if step % 5 == 0 => {
                let report = machine.audit();
                assert!(report.is_exact(), "{report}");
                world.audits.fetch_add(1, Ordering::Relaxed);
            }
            _ => {}
        }
    }
    for (pfn, order) in own {
        world.give(order.block(pfn));
        machine.free_pages(pfn, order).unwrap();
    }
}

#[test]
fn a_storm_of_threads_ends_with_every_page_counted() {
    let machine = mebibytes(128).cpus(CPUS).build();
    let world = World::new(machine.span().len(), 2000);
    let before = machine.free_count();
    thread::scope(|scope| {
        for cpu in 0..CPUS {
            let (machine, world) = (&machine, &world);
            scope.spawn(move || work(machine, world, cpu));
        }
    });
    for slot in &world.slots {
        if let Some((pfn, order)) = slot.lock().unwrap().take() {
            world.give(order.block(pfn));
            machine.free_pages(pfn, order).unwrap();
        }
    }
    machine.drain_all();
    let report = machine.verify().unwrap();
    assert_eq!(machine.free_count(), before);
    assert_eq!(report.total().free, before);
    assert!(world.migrated.load(Ordering::Relaxed) > 0, "nothing was migrated");
    assert!(world.audits.load(Ordering::Relaxed) > 100, "too few audits");
}
