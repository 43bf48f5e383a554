//! A race of two CPUs, made certain: a hook runs one CPU right after a lock hold of the other.

use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use pageblock::{AllocRequest, ContigOptions, Migrate, MigrateError, Move, Order, Pfn, PfnRange};

use crate::support::{Answer, Machine, Watcher, mebibytes, wait_for, watch_holds};

type Hook = Box<dyn Fn() -> bool>;

thread_local! {
    static AFTER_HOLDS: RefCell<Option<Hook>> = const { RefCell::new(None) };
    static DEPTH: Cell<usize> = const { Cell::new(0) };
}

/// Asks a hook whenever interrupts are unmasked on this thread, until it says that it has run.
struct AfterHolds;

impl AfterHolds {
    /// # Panics
    ///
    /// If the last hook has not run.
    fn ask(hook: impl Fn() -> bool + 'static) {
        AFTER_HOLDS.with(|place| assert!(place.borrow_mut().replace(Box::new(hook)).is_none()));
    }
}

impl Watcher for AfterHolds {
    fn begins(&self) {
        DEPTH.set(DEPTH.get() + 1);
    }

    fn ended(&self) {
        DEPTH.set(DEPTH.get() - 1);
        if DEPTH.get() == 0 {
            let hook = AFTER_HOLDS.with(|place| place.borrow_mut().take());
            if let Some(hook) = hook
                && !hook()
            {
                AFTER_HOLDS.with(|place| place.borrow_mut().replace(hook));
            }
        }
    }
}

fn machine() -> &'static Machine {
    Box::leak(Box::new(mebibytes(16).no_reserve().build()))
}

/// The allocated single pages of the machine.
fn allocated(machine: &Machine) -> Vec<Pfn> {
    machine.span().iter().filter(|pfn| machine.owner(*pfn, Order::ZERO).is_ok()).collect()
}

#[test]
fn the_target_of_a_move_has_one_mover() {
    static SECOND_MOVES: AtomicBool = AtomicBool::new(false);
    static SECOND_DONE: AtomicBool = AtomicBool::new(false);
    static FIRST_MOVES: AtomicBool = AtomicBool::new(false);

    watch_holds(&AfterHolds);
    let machine = machine();
    let from = machine.alloc_pages(AllocRequest::movable().owner(9)).unwrap();
    // The first mover has allocated the page to move to, but not yet pinned it, when a second one
    // finds that page.
    let second = move || {
        let Some(target) = allocated(machine).into_iter().find(|pfn| *pfn != from) else {
            return false;
        };
        thread::spawn(move || {
            let holds_it_up = Answer::new(|_: Move| {
                SECOND_MOVES.store(true, Ordering::SeqCst);
                wait_for(&FIRST_MOVES);
                Err(MigrateError::Busy)
            });
            let range = PfnRange::with_len(target, 1);
            // Whether it gets the page in the end does not matter.
            drop(machine.alloc_contig(range, &holds_it_up, ContigOptions::default().attempts(1)));
            SECOND_MOVES.store(true, Ordering::SeqCst);
            SECOND_DONE.store(true, Ordering::SeqCst);
        });
        wait_for(&SECOND_MOVES);
        true
    };
    let target = RefCell::new(None);
    let first = Answer::new(|page: Move| {
        FIRST_MOVES.store(true, Ordering::SeqCst);
        wait_for(&SECOND_DONE);
        let never = Answer::new(|page: Move| panic!("{} is pinned by its first mover", page.from));
        let range = PfnRange::with_len(page.to, 1);
        assert!(machine.alloc_contig(range, &never, ContigOptions::default()).is_err());
        *target.borrow_mut() = Some(page.to);
        Ok(())
    });
    let armed = Answer::new(|page: Move| first.migrate(page));
    // The hook waits for the hold in which the target is allocated: it is armed when the contiguous
    // allocation breathes, and looks whether there is a second page.
    let range =
        machine.alloc_contig(PfnRange::with_len(from, 1), &Armed(armed, second), ContigOptions::default());
    assert_eq!(range.unwrap().range().start(), from);
    machine.free_pages(target.take().unwrap(), Order::ZERO).unwrap();
    machine.drain_all();
    assert_eq!(machine.verify().unwrap().total().allocated, 0);
}

/// Arms the hook once the range is isolated.
struct Armed<M, F>(M, F);

impl<M: Migrate, F: Fn() -> bool + Copy + 'static> Migrate for Armed<M, F> {
    fn migrate(&self, page: Move) -> Result<(), MigrateError> {
        self.0.migrate(page)
    }

    fn yield_now(&self) {
        static ONCE: AtomicBool = AtomicBool::new(false);
        if !ONCE.swap(true, Ordering::SeqCst) {
            AfterHolds::ask(self.1);
        }
    }
}
