//! Records are added for new memory while another CPU looks at its frames, and allocates them.
//!
//! The first model fails if the directory of added records is stored without `Release` or loaded
//! without `Acquire`: a guess at a new frame may then read records before they are written. The
//! last model fails if the memory of removed records is reclaimed before the other CPU has returned
//! from its call.

#![expect(unsafe_code, reason = "the memory of records is reclaimed")]

use std::mem::MaybeUninit;

use pageblock::{AllocRequest, FreeError, MemoryUse, Order, Pfn};

use crate::model::{Machine, Model, cpu, frames};

/// Far above the memory of boot, which is frames 0 to 3.
const NEW: usize = 1 << 30;

fn add_records(machine: &Machine) {
    let new = frames(NEW, NEW + 4);
    let layout = machine.records_layout(new).unwrap();
    let memory = vec![MaybeUninit::uninit(); layout.size() + layout.align()].leak();
    machine.add_records(new, memory).unwrap();
}

fn add(machine: &Machine) {
    add_records(machine);
    machine.add_memory(frames(NEW, NEW + 4), MemoryUse::Ordinary).unwrap();
}

/// The other CPU knows of the frame, without having been told.
const GUESS: Model = Model {
    machine: || Machine::free(4),
    concurrently: |machine| {
        let other = {
            let machine = machine.clone();
            cpu(1, move || {
                let pfn = Pfn::new(NEW);
                match machine.free_pages(pfn, Order::ZERO).unwrap_err() {
                    FreeError::Foreign { .. } | FreeError::Hole { .. } | FreeError::DoubleFree { .. } => {}
                    error => panic!("{error}"),
                }
            })
        };
        add(machine);
        other.join().unwrap();
    },
    preemptions: None,
};

/// The other CPU allocates all blocks that there are, the new ones among them if it is late.
const ALLOCATION: Model = Model {
    machine: || Machine::free(4),
    concurrently: |machine| {
        let other = {
            let machine = machine.clone();
            cpu(1, move || {
                let request = AllocRequest::movable().order(Order::new(2));
                let blocks: Vec<_> = std::iter::from_fn(|| machine.alloc_pages(request).ok()).collect();
                for pfn in blocks {
                    assert_eq!(machine.owner(pfn, Order::new(2)), Ok(0));
                    machine.free_pages(pfn, Order::new(2)).unwrap();
                }
            })
        };
        add(machine);
        other.join().unwrap();
    },
    preemptions: Some(2),
};

/// The other CPU guesses at two frames whose records are being removed.
const REMOVAL: Model = Model {
    machine: || {
        let machine = Machine::free(4);
        add_records(&machine);
        machine
    },
    concurrently: |machine| {
        let other = {
            let machine = machine.clone();
            cpu(1, move || {
                for pfn in [NEW, NEW + 2].map(Pfn::new) {
                    match machine.free_pages(pfn, Order::ZERO).unwrap_err() {
                        FreeError::Foreign { .. } | FreeError::Hole { .. } => {}
                        error => panic!("{error}"),
                    }
                }
            })
        };
        let removed = machine.remove_records(frames(NEW, NEW + 4)).unwrap();
        other.join().unwrap();
        // SAFETY: the only other CPU has returned, and was waited for.
        assert!(unsafe { removed.reclaim() }.is_empty());
    },
    preemptions: None,
};

#[test]
fn the_memory_of_removed_records_has_no_reader_after_the_calls_that_were_running() {
    REMOVAL.holds();
}

#[test]
fn a_guess_at_a_new_frame_finds_complete_records_or_none() {
    GUESS.holds();
}

#[test]
fn new_frames_are_allocated_with_their_records() {
    ALLOCATION.holds();
}
