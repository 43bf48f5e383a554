//! Migration: an owner and a mover use one block at the same time.
//!
//! Whatever they do, no page is lost and none is freed twice.

use std::cell::{Cell, RefCell};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use pageblock::{
    AllocRequest, ContigError, ContigOptions, FreeError, Geometry, Migrate, MigrateError, Move, Obstacle,
    Order, Pfn, PfnRange,
};

use crate::support::{
    Answer, Machine, Meeting, Owners, SetOnDrop, Threads, normal, on_every_geometry, orders, part, scope,
    unit, wait_for,
};

fn options() -> ContigOptions {
    ContigOptions::default()
}

/// A machine with one movable block, and the block.
fn one_block<G: Geometry>(order: Order) -> (Machine<G>, PfnRange) {
    let machine = normal::<G>(4).cpus(2).build_as::<G>();
    let pfn = machine.alloc_pages(AllocRequest::movable().order(order).owner(9)).unwrap();
    (machine, order.block(pfn))
}

/// Every page is free again.
#[track_caller]
fn assert_all_free<G: Geometry>(machine: &Machine<G>) {
    machine.drain_all();
    assert_eq!(machine.verify().unwrap().total().allocated, 0);
    assert_eq!(machine.free_count(), 4 * unit::<G>());
}

fn the_owner_word_and_the_order_move_along<G: Geometry>() {
    for order in orders::<G>() {
        let (machine, block) = one_block::<G>(order);
        let seen = Cell::new(None);
        let copies = Answer::new(|page: Move| {
            assert_eq!((page.from, page.order, page.owner), (block.start(), order, 9));
            assert_eq!(machine.owner(page.to, order), Ok(9), "the target carries the word already");
            assert!(!block.contains(page.to));
            seen.set(Some(page.to));
            Ok(())
        });
        drop(machine.alloc_contig(block, &copies, options()).unwrap());
        let to = seen.get().unwrap();
        assert_eq!(machine.owner(to, order), Ok(9));
        machine.free_pages(to, order).unwrap();
        assert_all_free(&machine);
    }
}

fn a_refused_block_stays_with_its_owner<G: Geometry>() {
    for error in [MigrateError::Busy, MigrateError::Pinned, MigrateError::Gone] {
        let (machine, block) = one_block::<G>(Order::new(1));
        let refuses = Answer::new(|_: Move| Err(error));
        let report = machine.alloc_contig(block, &refuses, options()).unwrap_err();
        let reason = Obstacle::NotMigrated(error);
        assert_eq!(report, ContigError::Busy { pfn: block.start(), reason, attempts: 5 });
        assert_eq!(machine.owner(block.start(), Order::new(1)), Ok(9));
        machine.free_pages(block.start(), Order::new(1)).unwrap();
        assert_all_free(&machine);
    }
}

fn a_block_freed_while_it_moves_is_freed_once<G: Geometry>() {
    for order in orders::<G>() {
        let (machine, block) = one_block::<G>(order);
        let freed_meanwhile = Answer::new(|page: Move| {
            machine.free_pages(page.from, page.order).unwrap();
            let again = machine.free_pages(page.from, page.order);
            assert_eq!(again, Err(FreeError::DoubleFree { pfn: page.from }), "the first one is noted");
            Err(MigrateError::Gone)
        });
        let range = machine.alloc_contig(block, &freed_meanwhile, options()).unwrap();
        assert_eq!(machine.verify().unwrap().total().allocated, block.len(), "only the range");
        drop(range);
        assert_all_free(&machine);
    }
}

fn a_block_freed_at_its_new_place_before_the_move_ends_is_freed_once<G: Geometry>() {
    for order in orders::<G>() {
        let (machine, block) = one_block::<G>(order);
        let freed_there = Answer::new(|page: Move| {
            machine.free_pages(page.to, page.order).unwrap();
            let again = machine.free_pages(page.to, page.order);
            assert_eq!(again, Err(FreeError::DoubleFree { pfn: page.to }));
            Ok(())
        });
        drop(machine.alloc_contig(block, &freed_there, options()).unwrap());
        assert_all_free(&machine);
    }
}

fn a_free_with_the_wrong_order_fails_during_a_move_too<G: Geometry>() {
    let (machine, block) = one_block::<G>(Order::new(1));
    let wrong = Answer::new(|page: Move| {
        let error = machine.free_pages(page.from, Order::ZERO).unwrap_err();
        let (given, allocated) = (Order::ZERO, Order::new(1));
        assert_eq!(error, FreeError::WrongOrder { pfn: page.from, given, allocated });
        Err(MigrateError::Pinned)
    });
    machine.alloc_contig(block, &wrong, options().attempts(1)).unwrap_err();
    machine.free_pages(block.start(), Order::new(1)).unwrap();
    assert_all_free(&machine);
}

fn a_block_has_one_mover_at_a_time<G: Geometry>() {
    // While a block moves, a second contiguous allocation wants its old place, and a third its new
    // one.
    let (machine, block) = one_block::<G>(Order::ZERO);
    let never = Answer::new(|page: Move| panic!("{} is being moved already", page.from));
    let nested = Answer::new(|page: Move| {
        let error = machine.alloc_contig(PfnRange::with_len(page.to, 1), &never, options()).unwrap_err();
        assert!(
            matches!(error, ContigError::Busy { pfn, reason: Obstacle::Moving, .. } if pfn == page.to),
            "{error}"
        );
        let error = machine.alloc_contig(block, &never, options()).unwrap_err();
        assert!(matches!(error, ContigError::Isolate(_)), "{error}");
        Ok(())
    });
    let range = machine.alloc_contig(block, &nested, options()).unwrap();
    assert_eq!(range.range(), block);
    assert_eq!(machine.verify().unwrap().total().allocated, 2);
}

fn an_owner_may_allocate_and_free_while_it_moves_a_block<G: Geometry>() {
    let (machine, block) = one_block::<G>(Order::ZERO);
    let kept = RefCell::new(Vec::new());
    let busy = Answer::new(|page: Move| {
        let table = machine.alloc_pages(AllocRequest::unmovable()).unwrap();
        assert!(table != page.from && table != page.to);
        let scratch = machine.alloc_pages(AllocRequest::movable().order(Order::new(1))).unwrap();
        machine.free_pages(scratch, Order::new(1)).unwrap();
        machine.verify().unwrap();
        kept.borrow_mut().extend([table, page.to]);
        Ok(())
    });
    drop(machine.alloc_contig(block, &busy, options()).unwrap());
    for pfn in kept.take() {
        machine.free_pages(pfn, Order::ZERO).unwrap();
    }
    assert_all_free(&machine);
}

fn a_mover_and_a_free_race_and_lose_nothing<G: Geometry + Send + Sync>() {
    const ROUNDS: usize = 400;
    let machine = normal::<G>(4).cpus(2).build_as::<G>();
    let owners = Owners::new();
    let meeting = Meeting::of(2);
    let target = Mutex::new(part::<G>(0, 1));
    let taken = AtomicUsize::new(0);
    scope(|scope| {
        scope.spawn(|| {
            Threads::become_cpu(1);
            let barrier = meeting.attend();
            for _ in 0..ROUNDS {
                barrier.wait();
                let range = *target.lock().unwrap();
                taken.fetch_add(
                    usize::from(machine.alloc_contig(range, &owners, options()).is_ok()),
                    Ordering::Relaxed,
                );
                barrier.wait();
            }
        });
        let barrier = meeting.attend();
        for _ in 0..ROUNDS {
            let pfn = owners.own(&machine, 1, Order::ZERO).unwrap();
            *target.lock().unwrap() = PfnRange::with_len(pfn, 1);
            barrier.wait();
            owners.free(&machine, 1);
            barrier.wait();
            assert_eq!(machine.verify().unwrap().total().allocated, 0);
        }
    });
    assert!(taken.load(Ordering::Relaxed) > 0);
    assert_all_free(&machine);
}

/// Holds a move up until it is told to go on.
struct Slow<'a> {
    owners: &'a Owners,
    started: &'a AtomicBool,
    go_on: &'a AtomicBool,
}

impl Migrate for Slow<'_> {
    fn migrate(&self, page: Move) -> Result<(), MigrateError> {
        self.started.store(true, Ordering::SeqCst);
        wait_for(self.go_on);
        self.owners.migrate(page)
    }
}

fn others_go_on_while_a_block_moves<G: Geometry + Send + Sync>() {
    let machine = normal::<G>(4).cpus(2).build_as::<G>();
    let owners = Owners::new();
    let block = PfnRange::with_len(owners.own(&machine, 1, Order::ZERO).unwrap(), 1);
    let (started, go_on) = (AtomicBool::new(false), AtomicBool::new(false));
    scope(|scope| {
        scope.spawn(|| {
            Threads::become_cpu(1);
            let slow = Slow { owners: &owners, started: &started, go_on: &go_on };
            drop(machine.alloc_contig(block, &slow, options()).unwrap());
        });
        wait_for(&started);
        let go_on = SetOnDrop(&go_on);
        // No lock is held: all of this would hang otherwise.
        let pages: Vec<Pfn> =
            (0..4).map(|_| machine.alloc_pages(AllocRequest::unmovable()).unwrap()).collect();
        pages.into_iter().for_each(|pfn| machine.free_pages(pfn, Order::ZERO).unwrap());
        machine.drain_all();
        assert!(machine.audit().is_exact());
        machine.verify().unwrap();
        drop(go_on);
    });
    assert!(!block.contains(owners.place(1).unwrap()));
    owners.free_all(&machine);
    assert_all_free(&machine);
}

/// Lets the migration of another end after a few attempts.
struct Patient<'a> {
    attempts: Cell<usize>,
    go_on: &'a AtomicBool,
    ended: &'a AtomicBool,
}

impl Migrate for Patient<'_> {
    fn migrate(&self, _: Move) -> Result<(), MigrateError> {
        Ok(())
    }

    fn yield_now(&self) {
        self.attempts.set(self.attempts.get() + 1);
        if self.attempts.get() == 20 {
            self.go_on.store(true, Ordering::SeqCst);
            wait_for(self.ended);
        }
    }
}

fn a_contiguous_allocation_waits_for_the_migration_of_another<G: Geometry + Send + Sync>() {
    let (machine, block) = one_block::<G>(Order::ZERO);
    let (started, go_on, ended) = (AtomicBool::new(false), AtomicBool::new(false), AtomicBool::new(false));
    let target = Mutex::new(None);
    scope(|scope| {
        scope.spawn(|| {
            Threads::become_cpu(1);
            let _ended = SetOnDrop(&ended);
            let slow = Answer::new(|page: Move| {
                *target.lock().unwrap() = Some(PfnRange::with_len(page.to, 1));
                started.store(true, Ordering::SeqCst);
                wait_for(&go_on);
                Ok(())
            });
            drop(machine.alloc_contig(block, &slow, options()).unwrap());
        });
        wait_for(&started);
        let range = target.lock().unwrap().unwrap();
        let patient = Patient { attempts: Cell::new(0), go_on: &go_on, ended: &ended };
        drop(machine.alloc_contig(range, &patient, options().attempts(1)).unwrap());
    });
    assert_eq!(machine.verify().unwrap().total().allocated, 1);
}

on_every_geometry!(
    the_owner_word_and_the_order_move_along,
    a_refused_block_stays_with_its_owner,
    a_block_freed_while_it_moves_is_freed_once,
    a_block_freed_at_its_new_place_before_the_move_ends_is_freed_once,
    a_free_with_the_wrong_order_fails_during_a_move_too,
    a_block_has_one_mover_at_a_time,
    an_owner_may_allocate_and_free_while_it_moves_a_block,
    a_mover_and_a_free_race_and_lose_nothing,
    others_go_on_while_a_block_moves,
    a_contiguous_allocation_waits_for_the_migration_of_another,
);
