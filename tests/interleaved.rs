//! Interleavings that a hook in the platform makes certain: what another CPU does right after one of our lock holds.

mod support;

use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use pageblock::{
    AllocRequest, ContigOptions, MigrateError, Move, Order, PageAllocator, Pfn, PfnRange, Platform, X86_64,
};
use support::{Answer, mebibytes, wait_for};

type Hook = Box<dyn Fn() -> bool>;

thread_local! {
    static AFTER_HOLDS: RefCell<Option<Hook>> = const { RefCell::new(None) };
    static DEPTH: Cell<usize> = const { Cell::new(0) };
}

/// A hook that is asked whenever interrupts are unmasked on this thread, until it says that it has run.
struct Hooked;

impl Hooked {
    /// # Panics
    ///
    /// If the last hook has not run.
    fn after_holds(hook: impl Fn() -> bool + 'static) {
        AFTER_HOLDS.with(|place| assert!(place.borrow_mut().replace(Box::new(hook)).is_none()));
    }
}

impl Platform for Hooked {
    fn without_interrupts<R>(&self, f: impl FnOnce() -> R) -> R {
        DEPTH.set(DEPTH.get() + 1);
        let result = f();
        DEPTH.set(DEPTH.get() - 1);
        if DEPTH.get() == 0 {
            let hook = AFTER_HOLDS.with(|place| place.borrow_mut().take());
            if let Some(hook) = hook
                && !hook()
            {
                AFTER_HOLDS.with(|place| place.borrow_mut().replace(hook));
            }
        }
        result
    }
}

type Machine = PageAllocator<'static, Hooked, X86_64>;

fn machine() -> &'static Machine {
    Box::leak(Box::new(mebibytes(16).no_reserve().build_on(Hooked)))
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

    let machine = machine();
    let from = machine.alloc_pages(AllocRequest::movable().owner(9)).unwrap();
    // The first mover has allocated the page to move to, but not yet pinned it, when a second one finds that page.
    let second = move || {
        let Some(target) = allocated(machine).into_iter().find(|pfn| *pfn != from) else {
            return false;
        };
        thread::spawn(move || {
            let holds_it_up = Answer(|_: Move| {
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
    let first = Answer(|page: Move| {
        FIRST_MOVES.store(true, Ordering::SeqCst);
        wait_for(&SECOND_DONE);
        let never = Answer(|page: Move| panic!("{} is pinned by its first mover", page.from));
        let range = PfnRange::with_len(page.to, 1);
        assert!(machine.alloc_contig(range, &never, ContigOptions::default()).is_err());
        *target.borrow_mut() = Some(page.to);
        Ok(())
    });
    let armed = Answer(|page: Move| first.0(page));
    // The hook waits for the hold in which the target is allocated: it is armed when the contiguous allocation yields, and
    // looks whether there is a second page.
    let range =
        machine.alloc_contig(PfnRange::with_len(from, 1), &Armed(armed, second), ContigOptions::default());
    assert_eq!(range.unwrap().range().start(), from);
    machine.free_pages(target.take().unwrap(), Order::ZERO).unwrap();
    machine.drain_all();
    assert_eq!(machine.verify().unwrap().total().allocated, 0);
}

/// Arms the hook once the range is isolated.
struct Armed<M, F>(M, F);

impl<M: pageblock::Migrate, F: Fn() -> bool + Copy + 'static> pageblock::Migrate for Armed<M, F> {
    fn migrate(&self, page: Move) -> Result<(), MigrateError> {
        self.0.migrate(page)
    }

    fn yield_now(&self) {
        static ONCE: AtomicBool = AtomicBool::new(false);
        if !ONCE.swap(true, Ordering::SeqCst) {
            Hooked::after_holds(self.1);
        }
    }
}
