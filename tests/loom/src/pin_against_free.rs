//! A contiguous allocation is pinned and unpinned while another CPU wants its frames.
//!
//! | model | the other CPU | fails without |
//! |---|---|---|
//! | a free | frees the range, a mistake | both checks in a lock hold; the order of unpins |
//! | a part | frees the last frame, a mistake | the same checks; the undo of half a pin |
//! | the undo of a pin | frees the last part and then the rest, a mistake | the order of the undo |
//! | the undo of an unpin | unpins and frees the first part and then frees the rest, a mistake | the same |
//! | an isolation | isolates the range | the test of the frames in the lock hold |
//! | an allocation | allocates the range | the same |
//!
//! In the last two the owner pins, unpins and frees the range meanwhile.
//!
//! A pin and a free of one block are changes of the block's state in a lock hold of its zone, and
//! each checks the state in the same lock hold. So of the two exactly one is refused, and whoever
//! isolates the frames finds either *pinned*, or *part of a contiguous allocation*, or free frames.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pageblock::{
    ContigError, ContigOptions, FreeError, IsolateError, NoMigration, Obstacle, PfnRange, PinError,
};

use crate::model::{Machine, Model, cpu, frames};

/// The last frame of one pageblock and the first of the next, so that a pin takes two lock holds.
fn buffer() -> PfnRange {
    frames(1, 3)
}

/// Four pages, of which the buffer is a contiguous allocation.
fn with_a_buffer() -> Arc<Machine> {
    let machine = Machine::free(4);
    let range = machine.alloc_contig(buffer(), &NoMigration, once()).unwrap().into_raw();
    assert_eq!(range, buffer());
    machine
}

fn once() -> ContigOptions {
    ContigOptions::default().attempts(1)
}

/// Whether a device accesses the buffer, as the CPU that has pinned it knows. Not an atomic of the
/// model: it is written before and after calls that take the lock of the zone.
type InFlight = Arc<AtomicBool>;

/// Pins the buffer, lets the device access it, and unpins it.
fn access(machine: &Machine, in_flight: &InFlight) -> Result<(), PinError> {
    machine.pin_range(buffer())?;
    in_flight.store(true, Ordering::SeqCst);
    loom::thread::yield_now();
    in_flight.store(false, Ordering::SeqCst);
    machine.unpin_range(buffer())
}

fn assert_not_in_flight(in_flight: &InFlight) {
    assert!(!in_flight.load(Ordering::SeqCst), "a device accesses frames that somebody else has");
}

/// Isolates the buffer. Returns whether all of it was free.
fn isolate(machine: &Machine, in_flight: &InFlight) -> bool {
    match machine.isolate(buffer()) {
        Ok(mut isolated) => {
            let _free = isolated.test().unwrap();
            assert_not_in_flight(in_flight);
            true
        }
        Err(IsolateError::Unmovable { pfn, reason: Obstacle::Contig | Obstacle::Pinned }) => {
            assert!(buffer().contains(pfn));
            false
        }
        Err(error) => panic!("{error}"),
    }
}

const FREE: Model = Model {
    machine: with_a_buffer,
    concurrently: |machine| {
        let in_flight = InFlight::default();
        let other = {
            let (machine, in_flight) = (machine.clone(), in_flight.clone());
            cpu(1, move || match machine.free_contig(buffer()) {
                Ok(()) => {
                    assert!(isolate(&machine, &in_flight), "a frame that was freed is not free");
                    true
                }
                Err(FreeError::Pinned { pfn }) => {
                    assert!(buffer().contains(pfn));
                    false
                }
                Err(error) => panic!("{error}"),
            })
        };
        let accessed = match access(machine, &in_flight) {
            Ok(()) => true,
            Err(PinError::NotContig { .. }) => false,
            Err(error) => panic!("{error}"),
        };
        let freed = other.join().unwrap();
        assert!(accessed || freed, "the pin and the free are both refused");
        if !freed {
            machine.free_contig(buffer()).unwrap();
        }
    },
    preemptions: None,
};

const PART: Model = Model {
    machine: with_a_buffer,
    concurrently: |machine| {
        let last = frames(2, 3);
        let other = {
            let machine = machine.clone();
            cpu(1, move || {
                machine.free_contig(last)?;
                let mut isolated = machine.isolate(last).expect("a frame that was freed is pinned");
                let _free = isolated.test().expect("a frame that was freed is not free");
                Ok(())
            })
        };
        let pinned = machine.pin_range(buffer());
        let freed = other.join().unwrap();
        match (pinned, freed) {
            (Ok(()), Err(FreeError::Pinned { pfn })) if last.contains(pfn) => {
                machine.unpin_range(buffer()).unwrap();
                machine.free_contig(buffer()).unwrap();
            }
            (Err(PinError::NotContig { pfn, .. }), Ok(())) if last.contains(pfn) => {
                machine.free_contig(frames(1, 2)).expect("a pin that was refused has pinned a part");
            }
            other => panic!("{other:?}"),
        }
    },
    preemptions: None,
};

/// As [`buffer`], in three pageblocks, so that a pin that is refused at the last undoes two.
fn long_buffer() -> PfnRange {
    frames(1, 5)
}

fn with_a_long_buffer(pinned: bool) -> Arc<Machine> {
    let machine = Machine::free(6);
    let range = machine.alloc_contig(long_buffer(), &NoMigration, once()).unwrap().into_raw();
    assert_eq!(range, long_buffer());
    if pinned {
        machine.pin_range(range).unwrap();
    }
    machine
}

/// Frees this part of the long buffer. Returns whether it was not pinned.
fn free(machine: &Machine, part: PfnRange) -> bool {
    match machine.free_contig(part) {
        Ok(()) => {
            let mut isolated = machine.isolate(part).expect("a frame that was freed is pinned");
            let _free = isolated.test().expect("a frame that was freed is not free");
            true
        }
        Err(FreeError::Pinned { pfn }) => {
            assert!(part.contains(pfn));
            false
        }
        Err(error) => panic!("{error}"),
    }
}

/// Unpins what is pinned, and frees what is not freed.
fn end(machine: &Machine, parts: [(PfnRange, bool); 2]) {
    for (part, _) in parts.into_iter().filter(|(_, freed)| !freed) {
        let _ = machine.unpin_range(part);
        machine.free_contig(part).expect("a free that was refused has freed a part");
    }
}

const UNDO_OF_PIN: Model = Model {
    machine: || with_a_long_buffer(false),
    concurrently: |machine| {
        let (first, last) = (frames(1, 4), frames(4, 5));
        let other = {
            let machine = machine.clone();
            cpu(1, move || [last, first].map(|part| (part, free(&machine, part))))
        };
        let pinned = machine.pin_range(long_buffer());
        let freed = other.join().unwrap();
        if pinned.is_ok() {
            assert_eq!(freed, [(last, false), (first, false)]);
        }
        end(machine, freed);
    },
    preemptions: None,
};

const UNDO_OF_UNPIN: Model = Model {
    machine: || with_a_long_buffer(true),
    concurrently: |machine| {
        let (first, last) = (frames(1, 2), frames(2, 5));
        let other = {
            let machine = machine.clone();
            cpu(1, move || {
                let unpinned = machine.unpin_range(first).is_ok();
                (unpinned, [first, last].map(|part| (part, free(&machine, part))))
            })
        };
        let all_unpinned = machine.unpin_range(long_buffer()).is_ok();
        let (first_unpinned, freed) = other.join().unwrap();
        assert!(first_unpinned != all_unpinned || !first_unpinned, "a block was unpinned twice");
        end(machine, freed);
    },
    preemptions: None,
};

/// Pins, unpins and frees the buffer, as its owner.
fn use_and_free(machine: &Machine, in_flight: &InFlight) {
    access(machine, in_flight).unwrap();
    machine.free_contig(buffer()).unwrap();
}

const ISOLATION: Model = Model {
    machine: with_a_buffer,
    concurrently: |machine| {
        let in_flight = InFlight::default();
        let other = {
            let (machine, in_flight) = (machine.clone(), in_flight.clone());
            cpu(1, move || isolate(&machine, &in_flight))
        };
        use_and_free(machine, &in_flight);
        other.join().unwrap();
    },
    preemptions: None,
};

const ALLOCATION: Model = Model {
    machine: with_a_buffer,
    concurrently: |machine| {
        let in_flight = InFlight::default();
        let other = {
            let (machine, in_flight) = (machine.clone(), in_flight.clone());
            cpu(1, move || {
                let taken = machine.alloc_contig(buffer(), &NoMigration, once());
                match taken {
                    Ok(_taken) => assert_not_in_flight(&in_flight),
                    Err(ContigError::Isolate(IsolateError::Unmovable {
                        reason: Obstacle::Contig | Obstacle::Pinned,
                        ..
                    })) => {}
                    Err(error) => panic!("{error}"),
                }
            })
        };
        use_and_free(machine, &in_flight);
        other.join().unwrap();
    },
    preemptions: None,
};

#[test]
fn of_a_pin_and_a_free_exactly_one_is_refused() {
    FREE.holds();
}

#[test]
fn a_pin_that_is_refused_half_way_leaves_nothing_pinned() {
    PART.holds();
}

#[test]
fn a_pin_that_is_undone_is_in_the_way_of_a_whole_free_or_of_none() {
    UNDO_OF_PIN.holds();
}

#[test]
fn an_unpin_that_is_undone_is_in_the_way_of_a_whole_free_or_of_none() {
    UNDO_OF_UNPIN.holds();
}

#[test]
fn an_isolation_gets_no_frame_that_a_device_accesses() {
    ISOLATION.holds();
}

#[test]
fn an_allocation_gets_no_frame_that_a_device_accesses() {
    ALLOCATION.holds();
}
