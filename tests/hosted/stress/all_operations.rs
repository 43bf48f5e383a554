//! Real threads do every operation at once on one allocator, on every geometry.
//!
//! Each thread is a CPU. They allocate and free (each other's blocks too), isolate, allocate
//! contiguous ranges and audit while the others go on. Nothing may be handed out twice, nothing may
//! be lost, no audit may drift.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};

use pageblock::{
    AllocRequest, CmaArea, ContigOptions, Geometry, Migrate, MigrateError, Mobility, Move, NoNotifier, Order,
    Pfn, PfnRange,
};

use crate::support::{Machine, Threads, cma_area, normal, on_every_geometry, part, scope, unit};

const CPUS: usize = 4;
const STEPS: usize = 30_000;

/// Which frames are owned, to notice one that is handed out twice; and where movable blocks are.
struct World {
    first: usize,
    owned: Vec<AtomicBool>,
    /// Where each movable block is, if there is one: the page table that a migration updates.
    slots: Vec<Mutex<Option<(Pfn, Order)>>>,
    migrated: AtomicUsize,
    audits: AtomicU32,
}

impl World {
    fn new(span: PfnRange, slots: usize) -> Self {
        Self {
            first: span.start().number(),
            owned: span.iter().map(|_| AtomicBool::new(false)).collect(),
            slots: (0..slots).map(|_| Mutex::new(None)).collect(),
            migrated: AtomicUsize::new(0),
            audits: AtomicU32::new(0),
        }
    }

    fn take(&self, range: PfnRange) {
        for pfn in range.iter() {
            assert!(
                !self.owned[pfn.number() - self.first].swap(true, Ordering::SeqCst),
                "{pfn} was handed out twice"
            );
        }
    }

    fn give(&self, range: PfnRange) {
        for pfn in range.iter() {
            assert!(
                self.owned[pfn.number() - self.first].swap(false, Ordering::SeqCst),
                "{pfn} was not owned"
            );
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

/// What every CPU does, `STEPS` times over.
fn work<G: Geometry>(machine: &Machine<G>, area: &CmaArea<'static>, world: &World, cpu: usize) {
    Threads::become_cpu(cpu);
    let mut random = Random(cpu as u64 + 1);
    let mut own: Vec<(Pfn, Order)> = Vec::new();
    let orders = [0, 0, 0, 1, 2, 3, 5, G::PAGEBLOCK_ORDER.get(), G::MAX_ORDER.get()];
    let order = |random: &mut Random| Order::new(orders[random.below(orders.len())].min(G::MAX_ORDER.get()));
    let place = |random: &mut Random| {
        let len = 1 + random.below(3 * unit::<G>());
        part::<G>(random.below(machine.span().len() - len), len)
    };
    for _ in 0..STEPS {
        match random.below(100) {
            0..30 => {
                let mobility = if random.below(2) == 0 { Mobility::Unmovable } else { Mobility::Reclaimable };
                let order = order(&mut random);
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
            60..94 => {
                let index = random.below(world.slots.len());
                let mut slot = world.slots[index].lock().unwrap();
                if let Some((pfn, order)) = slot.take() {
                    world.give(order.block(pfn));
                    drop(slot);
                    machine.free_pages(pfn, order).unwrap();
                } else {
                    let order = order(&mut random);
                    let request = AllocRequest::new(order, Mobility::Movable).owner(index as u64 + 1);
                    if let Ok(pfn) = machine.alloc_pages(request) {
                        world.take(order.block(pfn));
                        *slot = Some((pfn, order));
                    }
                }
            }
            94 => {
                if let Ok(range) = machine.alloc_contig(place(&mut random), world, ContigOptions::default()) {
                    world.take(range.range());
                    world.give(range.range());
                }
            }
            95 | 96 => {
                let pages = 1 + random.below(2 * unit::<G>());
                if let Ok(range) = area.alloc(machine, pages, Order::ZERO, world) {
                    world.take(range);
                    world.give(range);
                    area.free(machine, range).unwrap();
                }
            }
            97 => drop(machine.isolate(place(&mut random))),
            98 => {
                let pageblocks = machine.span().len() / G::PAGEBLOCK_ORDER.pages();
                let at = random.below(pageblocks) * G::PAGEBLOCK_ORDER.pages();
                let range = part::<G>(at, G::PAGEBLOCK_ORDER.pages());
                if let Ok((offline, _)) = machine.offline(range, world, &NoNotifier, ContigOptions::default())
                {
                    world.take(range);
                    world.give(range);
                    machine.online(offline, &NoNotifier).unwrap();
                }
            }
            _ if random.below(3) == 0 => {
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

fn threads_that_do_everything_leave_every_page_counted<G: Geometry + Send + Sync>() {
    let machine = normal::<G>(24).cpus(CPUS).build_as::<G>();
    let area = cma_area(&machine, part::<G>(4 * unit::<G>(), 6 * unit::<G>()));
    let world = World::new(machine.span(), (8 * unit::<G>()).min(1000));
    scope(|scope| {
        for cpu in 0..CPUS {
            let (machine, area, world) = (&machine, &area, &world);
            scope.spawn(move || work(machine, area, world, cpu));
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
    assert_eq!(machine.free_count(), 24 * unit::<G>());
    assert_eq!(report.total().free, machine.free_count());
    assert_eq!(machine.free_cma_count(), area.range().len());
    assert_eq!(area.stats(&machine).used, 0);
    assert!(world.migrated.load(Ordering::Relaxed) > 0, "nothing was migrated");
    assert!(world.audits.load(Ordering::Relaxed) > 30, "too few audits");
}

on_every_geometry!(threads_that_do_everything_leave_every_page_counted);
