//! Threads allocate at the min watermark while others isolate, on every geometry.
//!
//! After the watermark check nothing else protects the last pages. Two tests count how often an
//! ordinary request takes the zone below its min mark, which must be never. In the first, CPUs
//! really run at once and isolation is arranged so that it takes no free pages away: whatever value
//! is read at whatever moment must be at least min. In the second, isolation takes free pages away
//! as it likes; there every lock hold is looked at by itself.

use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::thread;

use pageblock::{
    AllocRequest, ContigOptions, Depth, Geometry, Mark, Mobility, NoMigration, Order, Pfn, PfnRange,
};
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::support::{
    Machine, Meeting, Threads, Watcher, base, normal, on_every_geometry, scope, unit, watch_holds,
};

/// Enough that a pcplist refills in batches, on the geometries that have room for them.
const UNITS: usize = 16;

const MOBILITIES: [Mobility; 3] = [Mobility::Unmovable, Mobility::Movable, Mobility::Reclaimable];

/// Allocates until a request is refused, frees a part, and so on; in the end frees everything.
///
/// `look` is called after each request. The zone must have been at its mark meanwhile.
fn hammer<G: Geometry>(machine: &Machine<G>, random: &mut SmallRng, steps: usize, look: &dyn Fn()) {
    let mut held: Vec<(Pfn, Order)> = Vec::new();
    let mut refused = 0;
    for _ in 0..steps {
        let order = Order::new([0, 0, 0, 1, 2][random.random_range(0..5)].min(G::MAX_ORDER.get()));
        let request = AllocRequest::new(order, MOBILITIES[random.random_range(0..3)]);
        match machine.alloc_pages(request) {
            Ok(pfn) => held.push((pfn, order)),
            Err(_) => {
                refused += 1;
                for _ in 0..held.len() / 3 {
                    let (pfn, order) = held.swap_remove(random.random_range(0..held.len()));
                    machine.free_pages(pfn, order).unwrap();
                }
            }
        }
        look();
    }
    for (pfn, order) in held {
        machine.free_pages(pfn, order).unwrap();
    }
    assert!(refused > 0, "no request was refused at the mark");
}

fn min_mark<G: Geometry>(machine: &Machine<G>) -> usize {
    machine.zoneinfo().zones[2].watermarks.get(Mark::Min)
}

fn no_reader_ever_sees_less_than_min<G: Geometry + Send + Sync>() {
    const ROUNDS: usize = 3;
    let machine: Machine<G> = normal::<G>(UNITS).min_free(unit::<G>() / 2 + 1).cpus(3).build_as::<G>();
    let min = min_mark(&machine);
    let (violations, looks) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let look = || {
        let free = machine.free_count();
        violations.fetch_add(usize::from(free < min), Ordering::Relaxed);
        looks.fetch_add(1, Ordering::Relaxed);
    };
    let meeting = Meeting::of(3);
    scope(|scope| {
        for cpu in 1..3 {
            let (machine, meeting, look) = (&machine, &meeting, &look);
            scope.spawn(move || {
                Threads::become_cpu(cpu);
                let mut random = SmallRng::seed_from_u64(cpu as u64);
                let barrier = meeting.attend();
                for _ in 0..ROUNDS {
                    barrier.wait();
                    hammer(machine, &mut random, 20 * unit::<G>().max(200), look);
                    barrier.wait();
                }
            });
        }
        let barrier = meeting.attend();
        for _ in 0..ROUNDS {
            // A whole pageblock of ours: isolating it takes no free page away, and what we free in
            // it is not free.
            machine.drain_all();
            let order = G::PAGEBLOCK_ORDER.min(G::MAX_ORDER);
            let ours = whole_pageblock(&machine, order);
            barrier.wait();
            let mut isolated = machine.isolate(ours).unwrap();
            for pfn in ours.iter().step_by(order.pages()) {
                machine.free_pages(pfn, order).unwrap();
                look();
            }
            assert!(isolated.test().is_ok());
            for _ in 0..200 {
                look();
                thread::yield_now();
            }
            drop(isolated);
            look();
            barrier.wait();
        }
    });
    assert_eq!(violations.into_inner(), 0, "of {} looks", looks.into_inner());
    machine.drain_all();
    machine.verify().unwrap();
    assert_eq!(machine.free_count(), UNITS * unit::<G>());
}

/// Every block of one pageblock, all of them ours.
fn whole_pageblock<G: Geometry>(machine: &Machine<G>, order: Order) -> PfnRange {
    let mut blocks = Vec::new();
    let request = AllocRequest::movable().order(order);
    loop {
        let pfn = machine.alloc_pages(request).unwrap();
        let pageblock = G::PAGEBLOCK_ORDER.block(G::PAGEBLOCK_ORDER.align_down(pfn));
        blocks.push(pfn);
        if pageblock.iter().step_by(order.pages()).all(|pfn| blocks.contains(&pfn)) {
            for pfn in blocks.into_iter().filter(|pfn| !pageblock.contains(*pfn)) {
                machine.free_pages(pfn, order).unwrap();
            }
            machine.drain_all();
            return pageblock;
        }
    }
}

/// What a thread is in the middle of: its turn, and the free count when that began.
type Hold = (MutexGuard<'static, ()>, usize);

thread_local! {
    /// The lowest value that this CPU's next holds may take the free count to.
    static FLOOR: Cell<usize> = const { Cell::new(0) };
    static HOLD: RefCell<Option<Hold>> = const { RefCell::new(None) };
    static DEPTH: Cell<usize> = const { Cell::new(0) };
}

/// Lets one lock hold happen at a time, and compares the free count before and after it.
struct OneAtATime {
    turn: &'static Mutex<()>,
    free: Box<dyn Fn() -> usize + Send + Sync>,
    judged: AtomicUsize,
    violations: AtomicUsize,
}

impl Watcher for OneAtATime {
    fn begins(&self) {
        if DEPTH.replace(DEPTH.get() + 1) == 0 {
            let turn = self.turn.lock().unwrap();
            HOLD.set(Some((turn, (self.free)())));
        }
    }

    fn ended(&self) {
        if DEPTH.get() == 1 {
            let (turn, before) = HOLD.take().unwrap();
            let after = (self.free)();
            drop(turn);
            self.judged.fetch_add(usize::from(after < before), Ordering::Relaxed);
            self.violations.fetch_add(usize::from(after < before && after < FLOOR.get()), Ordering::Relaxed);
        }
        DEPTH.set(DEPTH.get() - 1);
    }
}

fn no_request_takes_the_zone_below_its_floor<G: Geometry + Send + Sync>() {
    let machine: &'static Machine<G> =
        Box::leak(Box::new(normal::<G>(UNITS).min_free(unit::<G>() / 2 + 1).cpus(4).build_as::<G>()));
    let watcher: &'static OneAtATime = Box::leak(Box::new(OneAtATime {
        turn: Box::leak(Box::default()),
        free: Box::new(|| machine.free_count()),
        judged: AtomicUsize::new(0),
        violations: AtomicUsize::new(0),
    }));
    let become_cpu = |cpu| {
        watch_holds(watcher);
        Threads::become_cpu(cpu);
    };
    let min = min_mark(machine);
    let done = AtomicBool::new(false);
    scope(|scope| {
        let requesters: Vec<_> = (1..3)
            .map(|cpu| {
                scope.spawn(move || {
                    become_cpu(cpu);
                    FLOOR.set(min);
                    hammer(
                        machine,
                        &mut SmallRng::seed_from_u64(cpu as u64),
                        100 * unit::<G>().clamp(32, 160),
                        &|| {},
                    );
                })
            })
            .collect();
        // Atomic requests may dig down to three eighths of min, which nobody else's check may
        // allow.
        scope.spawn(|| {
            become_cpu(3);
            while !done.load(Ordering::Relaxed) {
                FLOOR.set((min - min / 2) - (min - min / 2) / 4);
                let pages: Vec<Pfn> = (0..8)
                    .filter_map(|_| machine.alloc_pages(AllocRequest::unmovable().depth(Depth::Atomic)).ok())
                    .collect();
                FLOOR.set(0);
                pages.into_iter().for_each(|pfn| machine.free_pages(pfn, Order::ZERO).unwrap());
            }
        });
        // Isolation may take the count as low as it likes.
        scope.spawn(|| {
            become_cpu(0);
            let mut random = SmallRng::seed_from_u64(99);
            while !done.load(Ordering::Relaxed) {
                let len = 1 + random.random_range(0..2 * unit::<G>());
                let start = base::<G>() + random.random_range(0..UNITS * unit::<G>() - len);
                let range = PfnRange::with_len(Pfn::new(start), len);
                if let Ok(mut isolated) = machine.isolate(range) {
                    let _ = isolated.test();
                }
                let _ = machine.alloc_contig(range, &NoMigration, ContigOptions::default().attempts(1));
            }
        });
        let results: Vec<_> = requesters.into_iter().map(|requester| requester.join()).collect();
        done.store(true, Ordering::Relaxed);
        assert!(results.into_iter().all(|result| result.is_ok()));
    });
    assert_eq!(watcher.violations.load(Ordering::Relaxed), 0);
    assert!(watcher.judged.load(Ordering::Relaxed) > 100, "too few holds that take pages");
    machine.drain_all();
    machine.verify().unwrap();
}

on_every_geometry!(no_reader_ever_sees_less_than_min, no_request_takes_the_zone_below_its_floor);
