//! Real threads do every operation at once on one allocator, on every geometry.
//!
//! Each thread is a CPU. They allocate and free (each other's blocks too), isolate, allocate
//! contiguous ranges and audit while the others go on. Nothing may be handed out twice, nothing may
//! be lost, no audit may drift.
//!
//! `cargo storm` does that for a thousand million operations in each access mode, or for as many as
//! the environment variable `PAGEBLOCK_STORM` says.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use pageblock::{
    AllocRequest, CmaArea, ContigOptions, FreeError, Geometry, Migrate, MigrateError, Mobility, Move,
    NoNotifier, Order, PageAllocator, Pfn, PfnRange, Platform, X86_64,
};
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};

#[cfg(target_os = "linux")]
use crate::stress::owner_only_pcplists;
use crate::support::{Threads, cma_area, normal, on_every_geometry, part, scope, unit};

const CPUS: usize = 4;
/// The operations of each CPU in a test of every run.
const OPERATIONS: u64 = 30_000;

/// Which frames are owned, to notice one that is handed out twice; and where movable blocks are.
struct World {
    first: usize,
    owned: Vec<AtomicBool>,
    /// Where each movable block is, if there is one: the page table that a migration updates.
    slots: Vec<Mutex<Option<(Pfn, Order)>>>,
    migrated: AtomicUsize,
    audits: AtomicU32,
    /// What all CPUs have done.
    operations: AtomicU64,
    /// The CPUs that have not done all of theirs.
    running: AtomicUsize,
}

impl World {
    fn new(span: PfnRange, slots: usize) -> Self {
        Self {
            first: span.start().number(),
            owned: span.iter().map(|_| AtomicBool::new(false)).collect(),
            slots: (0..slots).map(|_| Mutex::new(None)).collect(),
            migrated: AtomicUsize::new(0),
            audits: AtomicU32::new(0),
            operations: AtomicU64::new(0),
            running: AtomicUsize::new(CPUS),
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

    /// Counts a thread as running until the value is dropped, whatever ends it.
    fn running(&self) -> impl Drop + use<'_> {
        struct Running<'a>(&'a AtomicUsize);
        impl Drop for Running<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::SeqCst);
            }
        }
        Running(&self.running)
    }

    /// Prints a line every half minute.
    fn report_until_the_end(&self) {
        let start = Instant::now();
        let mut next = Duration::ZERO;
        while self.running.load(Ordering::SeqCst) > 0 {
            if start.elapsed() >= next {
                next += Duration::from_secs(30);
                self.report(start);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        self.report(start);
    }

    fn report(&self, start: Instant) {
        eprintln!(
            "{} s: {} million operations, {} audits without drift, {} pages migrated",
            start.elapsed().as_secs(),
            self.operations.load(Ordering::Relaxed) / 1_000_000,
            self.audits.load(Ordering::Relaxed),
            self.migrated.load(Ordering::Relaxed)
        );
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

/// How many operations there are, and of what kinds.
#[derive(Clone, Copy)]
struct Amount {
    /// Of each CPU.
    operations: u64,
    /// One in this many operations on ranges and large blocks is made; the others are small.
    rare: usize,
}

/// What every CPU does.
fn work<P: Platform, G: Geometry>(
    machine: &PageAllocator<'static, P, G>,
    area: &CmaArea<'static>,
    world: &World,
    cpu: usize,
    amount: Amount,
) {
    let mut random = SmallRng::seed_from_u64(cpu as u64 + 1);
    let mut own: Vec<(Pfn, Order)> = Vec::new();
    let orders = [0, 0, 0, 1, 2, 3, 5, G::PAGEBLOCK_ORDER.get(), G::MAX_ORDER.get()];
    let order = |random: &mut SmallRng| {
        // The last two are large, and each of their frames is looked at.
        let choice = if random.random_range(0..amount.rare) == 0 { orders.len() } else { orders.len() - 2 };
        Order::new(orders[random.random_range(0..choice)].min(G::MAX_ORDER.get()))
    };
    let place = |random: &mut SmallRng| {
        let len = 1 + random.random_range(0..3 * unit::<G>());
        part::<G>(random.random_range(0..machine.span().len() - len), len)
    };
    let mut operations = 0;
    while operations < amount.operations {
        if operations.is_multiple_of(1024) {
            world.operations.fetch_add(1024, Ordering::Relaxed);
        }
        operations += 1;
        let kind = match random.random_range(0..100) {
            94.. if random.random_range(0..amount.rare) != 0 => random.random_range(0..94),
            kind => kind,
        };
        match kind {
            0..30 => {
                let mobility =
                    if random.random_range(0..2) == 0 { Mobility::Unmovable } else { Mobility::Reclaimable };
                let order = order(&mut random);
                if let Ok(pfn) = machine.alloc_pages(AllocRequest::new(order, mobility)) {
                    world.take(order.block(pfn));
                    own.push((pfn, order));
                }
            }
            30..60 if !own.is_empty() => {
                let (pfn, order) = own.swap_remove(random.random_range(0..own.len()));
                world.give(order.block(pfn));
                machine.free_pages(pfn, order).unwrap();
            }
            60..94 => {
                let index = random.random_range(0..world.slots.len());
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
                    access_by_a_device(machine, range.range());
                    world.give(range.range());
                }
            }
            95 | 96 => {
                let pages = 1 + random.random_range(0..2 * unit::<G>());
                if let Ok(range) = area.alloc(machine, pages, Order::ZERO, world) {
                    world.take(range);
                    access_by_a_device(machine, range);
                    world.give(range);
                    area.free(machine, range).unwrap();
                }
            }
            97 => drop(machine.isolate(place(&mut random))),
            98 => {
                let pageblocks = machine.span().len() / G::PAGEBLOCK_ORDER.pages();
                let at = random.random_range(0..pageblocks) * G::PAGEBLOCK_ORDER.pages();
                let range = part::<G>(at, G::PAGEBLOCK_ORDER.pages());
                if let Ok((offline, _)) = machine.offline(range, world, &NoNotifier, ContigOptions::default())
                {
                    world.take(range);
                    world.give(range);
                    machine.online(offline, &NoNotifier).unwrap();
                }
            }
            99 if random.random_range(0..3) == 0 => {
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

/// Pins a contiguous allocation, which is not freed then, and unpins it. Others look for free
/// ranges among its frames meanwhile.
fn access_by_a_device<P: Platform, G: Geometry>(machine: &PageAllocator<'static, P, G>, range: PfnRange) {
    machine.pin_range(range).unwrap();
    let pinned = FreeError::Pinned { pfn: range.start() };
    assert_eq!(machine.free_contig(range), Err(pinned));
    machine.unpin_range(range).unwrap();
}

fn threads_that_do_everything_leave_every_page_counted<G: Geometry + Send + Sync>() {
    storm::<Threads, G>(Threads, Threads::become_cpu, Amount { operations: OPERATIONS, rare: 1 });
}

/// A thread for each CPU, which `become_cpu` makes of it, and one more that says how far they are.
fn storm<P: Platform + Send + Sync + 'static, G: Geometry + Send + Sync>(
    platform: P,
    become_cpu: fn(usize),
    amount: Amount,
) {
    let machine: PageAllocator<'static, P, G> = normal::<G>(24).cpus(CPUS).build_on(platform);
    let area = cma_area(&machine, part::<G>(4 * unit::<G>(), 6 * unit::<G>()));
    let world = World::new(machine.span(), (8 * unit::<G>()).min(1000));
    scope(|scope| {
        for cpu in 0..CPUS {
            let (machine, area, world) = (&machine, &area, &world);
            scope.spawn(move || {
                become_cpu(cpu);
                let _ended = world.running();
                work(machine, area, world, cpu, amount);
            });
        }
        if amount.operations > OPERATIONS {
            world.report_until_the_end();
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

/// The operations of each CPU, for the number that the environment has for all.
fn many() -> Amount {
    let all = std::env::var("PAGEBLOCK_STORM").map_or(1_000_000_000, |text| {
        text.parse().unwrap_or_else(|_| panic!("PAGEBLOCK_STORM={text} is not a number of operations"))
    });
    Amount { operations: (all / CPUS as u64).max(OPERATIONS + 1), rare: 64 }
}

#[test]
#[ignore = "takes many minutes: `cargo storm`"]
fn a_storm_of_many_operations() {
    storm::<_, X86_64>(Threads, Threads::become_cpu, many());
}

#[test]
#[ignore = "takes many minutes: `cargo storm`"]
#[cfg(target_os = "linux")]
fn a_storm_of_many_operations_without_a_lock() {
    storm::<_, X86_64>(owner_only_pcplists::Host, owner_only_pcplists::become_cpu, many());
}
