//! The lower bound: an array of free frames for each CPU, without a lock or a check, for order 0
//! only.
//!
//! It cannot be used as an allocator. Its costs are those of the simplest per-CPU cache.

#![expect(unsafe_code, reason = "per-CPU state without a lock")]

use std::cell::UnsafeCell;

use pageblock::{Mobility, Order, Pfn};
use spin::Mutex;

use crate::arena::{Arena, FRAMES};
use crate::cpu;
use crate::peer::{Peer, PeerId};

/// The number of frames that a CPU can keep: two bursts of 1024.
const CAPACITY: usize = 2048;
/// The number of frames that a CPU moves to or from the shared list at a time.
const BATCH: usize = CAPACITY / 2;

#[derive(Debug)]
struct Stack {
    count: usize,
    frames: [u32; CAPACITY],
}

/// The stack of one CPU, aligned to 128 bytes because prefetchers fetch cache lines in pairs.
#[derive(Debug)]
#[repr(align(128))]
struct PerCpu(UnsafeCell<Stack>);

/// The lower bound.
#[derive(Debug)]
pub(crate) struct Floor {
    cpus: [PerCpu; cpu::CPUS],
    rest: Mutex<Vec<u32>>,
}

// SAFETY: only the thread that is CPU `n` accesses `cpus[n]`.
unsafe impl Sync for Floor {}

impl Floor {
    #[inline(always)]
    #[expect(clippy::mut_from_ref, reason = "only this CPU accesses it")]
    fn mine(&self) -> &mut Stack {
        let mine = &self.cpus[cpu::current() % cpu::CPUS];
        // SAFETY: no other thread is this CPU, and no reference outlives the call that made it.
        unsafe { &mut *mine.0.get() }
    }

    #[cold]
    #[inline(never)]
    fn refill(&self) -> Option<Pfn> {
        let mine = self.mine();
        let mut rest = self.rest.lock();
        let from = rest.len().saturating_sub(BATCH);
        for frame in rest.drain(from..) {
            mine.frames[mine.count] = frame;
            mine.count += 1;
        }
        mine.count = mine.count.checked_sub(1)?;
        Some(Pfn::new(mine.frames[mine.count] as usize))
    }

    #[cold]
    #[inline(never)]
    fn spill(&self, pfn: Pfn) {
        let mine = self.mine();
        self.rest.lock().extend_from_slice(&mine.frames[BATCH..]);
        mine.count = BATCH + 1;
        mine.frames[BATCH] = pfn.number() as u32;
    }
}

impl Peer for Floor {
    const ID: PeerId = PeerId::Floor;

    fn new(_: Arena) -> Self {
        let empty = || PerCpu(UnsafeCell::new(Stack { count: 0, frames: [0; CAPACITY] }));
        Self { cpus: [empty(), empty()], rest: Mutex::new((0..FRAMES as u32).rev().collect()) }
    }

    fn first_frame(&self) -> Pfn {
        Pfn::new(0)
    }

    #[inline(always)]
    fn alloc(&self, _: Order, _: Mobility) -> Option<Pfn> {
        let mine = self.mine();
        match mine.count.checked_sub(1) {
            Some(count) if count < CAPACITY => {
                mine.count = count;
                Some(Pfn::new(mine.frames[count] as usize))
            }
            _ => self.refill(),
        }
    }

    #[inline(always)]
    fn free(&self, pfn: Pfn, _: Order) {
        let mine = self.mine();
        match mine.frames.get_mut(mine.count) {
            Some(place) => {
                *place = pfn.number() as u32;
                mine.count += 1;
            }
            None => self.spill(pfn),
        }
    }

    fn metadata_bytes(&self) -> Option<usize> {
        None
    }
}
