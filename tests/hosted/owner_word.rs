//! Atomic updates of the owner word, as a reference count and as a compare-and-swap.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};

use pageblock::{AllocRequest, FreeError, Geometry, Order, Pfn};

use crate::support::{
    Machine, Meeting, Threads, Watcher, mebibytes, normal, on_every_geometry, scope, unchanged, watch_holds,
};

fn the_word_counts_from_what_the_request_said<G: Geometry>() {
    let machine = normal::<G>(4).build_as::<G>();
    for owner in [0, 1, u64::MAX] {
        for order in [Order::ZERO, G::MAX_ORDER] {
            // Frames that were on a free list, whose records have links in them.
            let pfn = machine.alloc_pages(AllocRequest::unmovable().order(order).owner(owner)).unwrap();
            assert_eq!(machine.fetch_add_owner(pfn, order, 2), Ok(owner));
            assert_eq!(machine.fetch_sub_owner(pfn, order, 1), Ok(owner.wrapping_add(2)));
            let now = owner.wrapping_add(1);
            assert_eq!(machine.owner(pfn, order), Ok(now));
            assert_eq!(machine.compare_exchange_owner(pfn, order, now.wrapping_add(1), 9), Ok(Err(now)));
            assert_eq!(machine.compare_exchange_owner(pfn, order, now, 9), Ok(Ok(now)));
            assert_eq!(machine.owner(pfn, order), Ok(9));
            machine.verify().unwrap();
            machine.free_pages(pfn, order).unwrap();
        }
    }
    machine.verify().unwrap();
}

fn only_an_allocated_block_has_a_word<G: Geometry>() {
    let machine = normal::<G>(4).build_as::<G>();
    let pfn = machine.alloc_pages(AllocRequest::unmovable()).unwrap();
    machine.free_pages(pfn, Order::ZERO).unwrap();
    unchanged(&machine, || {
        let freed = FreeError::DoubleFree { pfn };
        assert_eq!(machine.fetch_add_owner(pfn, Order::ZERO, 1), Err(freed));
        assert_eq!(machine.fetch_sub_owner(pfn, Order::ZERO, 1), Err(freed));
        assert_eq!(machine.compare_exchange_owner(pfn, Order::ZERO, 0, 1), Err(freed));
        let pfn = Pfn::new(usize::MAX);
        assert_eq!(machine.fetch_add_owner(pfn, Order::ZERO, 1), Err(FreeError::Foreign { pfn }));
    });
}

on_every_geometry!(the_word_counts_from_what_the_request_said, only_an_allocated_block_has_a_word);

/// A shared frame: each CPU takes a reference, and the last to drop one frees the frame.
#[test]
fn the_last_reference_frees_the_frame() {
    const CPUS: usize = 4;
    let machine = &mebibytes(16).cpus(CPUS).build();
    let freed = &AtomicUsize::new(0);
    let (rounds, meeting) = (2000, &Meeting::of(CPUS));
    let frames: Vec<Pfn> = (0..rounds)
        .map(|_| machine.alloc_pages(AllocRequest::unmovable().owner(CPUS as u64)).unwrap())
        .collect();
    let frames = &frames;
    scope(|scope| {
        for cpu in 0..CPUS {
            scope.spawn(move || {
                Threads::become_cpu(cpu);
                let attendance = meeting.attend();
                attendance.wait();
                for &frame in frames {
                    machine.fetch_add_owner(frame, Order::ZERO, 1).unwrap();
                    machine.fetch_sub_owner(frame, Order::ZERO, 1).unwrap();
                    if machine.fetch_sub_owner(frame, Order::ZERO, 1) == Ok(1) {
                        machine.free_pages(frame, Order::ZERO).unwrap();
                        freed.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    assert_eq!(freed.load(Ordering::Relaxed), rounds);
    assert_eq!((machine.allocated_count(), machine.refused_frees()), (0, 0));
    machine.verify().unwrap();
}

/// A second CPU makes the word between the first look of the first and its lock.
#[test]
fn an_owner_word_is_made_once() {
    struct OtherUpdate(Cell<Option<(&'static Machine, Pfn)>>);
    impl Watcher for OtherUpdate {
        fn begins(&self) {
            if let Some((machine, frame)) = self.0.take() {
                assert_eq!(machine.fetch_add_owner(frame, Order::ZERO, 10), Ok(0));
            }
        }
        fn ended(&self) {}
    }

    let machine: &'static Machine = Box::leak(Box::new(mebibytes(16).build()));
    let frame = machine.alloc_pages(AllocRequest::unmovable()).unwrap();
    watch_holds(Box::leak(Box::new(OtherUpdate(Cell::new(Some((machine, frame)))))));
    assert_eq!(machine.fetch_add_owner(frame, Order::ZERO, 1), Ok(10));
    assert_eq!(machine.owner(frame, Order::ZERO), Ok(11));
}

/// Fails, in about one run of four, without the lock in `with_owner_word`: a word that is made
/// twice loses the updates between. Two CPUs meet before each frame, so that their updates of it
/// are its first at the same time.
#[test]
fn many_first_updates_of_an_owner_word_count_all() {
    const CPUS: usize = 2;
    let machine = &mebibytes(64).cpus(CPUS).no_reserve().build();
    for _ in 0..10 {
        let meeting = &Meeting::of(CPUS);
        let frames: Vec<Pfn> =
            (0..15_000).map(|_| machine.alloc_pages(AllocRequest::unmovable()).unwrap()).collect();
        let frames = &frames;
        scope(|scope| {
            for cpu in 0..CPUS {
                scope.spawn(move || {
                    Threads::become_cpu(cpu);
                    let attendance = meeting.attend();
                    for &frame in frames {
                        attendance.wait();
                        machine.fetch_add_owner(frame, Order::ZERO, 1).unwrap();
                    }
                });
            }
        });
        for &frame in frames {
            assert_eq!(machine.owner(frame, Order::ZERO), Ok(CPUS as u64), "{frame}");
            machine.free_pages(frame, Order::ZERO).unwrap();
        }
    }
}
