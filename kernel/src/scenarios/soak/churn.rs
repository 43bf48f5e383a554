//! Tasks that allocate and free blocks of random orders as fast as they can.
//!
//! Each block is in a slot, and the owner word of a movable one names the slot. So any CPU can
//! migrate it, while the task may be about to free it. An owner that is asked to migrate sometimes
//! refuses, and sometimes frees the block instead.

use core::sync::atomic::{AtomicU64, Ordering};

use pageblock::{AllocRequest, Depth, MigrateError, Move, Order, Pfn, ZoneKind};
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::jobs::{Progress, Task, page_cache};
use crate::memory::allocator;
use crate::scenarios::soak::counts;
use crate::scenarios::soak::driver::is_stopping;
use crate::space::contents::{Contents, Key, check_mark, mark};
use crate::space::frame::{copy, words, words_of_block};
use crate::space::pages;
use crate::sync::Lock;

/// The number of tasks.
pub(super) const TASKS: usize = 4;
/// The slots of one task.
const SLOTS: usize = 512;
/// The operations of one step.
const STEP: usize = 2048;
/// Blocks of a bulk allocation.
const BULK: usize = 24;
/// One operation in this many is a free that must be refused.
const REFUSED_EVERY: u32 = 1 << 15;

/// The owner in the keys of these blocks, which no other code uses.
const OWNER: u64 = u64::MAX - 2;
/// The top byte of the owner words of these blocks.
const TAG: u64 = 0x5a;

/// An allocated block.
struct Held {
    pfn: Pfn,
    order: Order,
    key: Key,
}

static HELD: [Lock<Option<Held>>; TASKS * SLOTS] = [const { Lock::new(None) }; TASKS * SLOTS];

/// A task that allocates and frees.
pub(super) struct Churn {
    rng: SmallRng,
    first: usize,
    allocated: u64,
}

impl Held {
    fn check(&self) {
        let Self { pfn, order, key } = *self;
        if check_mark(words_of_block(pfn, order), key) == Contents::Corrupted {
            log::error!("{pfn} of {order} was overwritten while a task of the soak owned it");
        }
    }

    fn free(self) {
        self.check();
        pages::free(self.pfn, self.order);
    }

    /// Splits the block and frees its pages one by one.
    fn free_in_parts(self) {
        self.check();
        let Self { pfn, order, .. } = self;
        match allocator().split_pages(pfn, order, Order::ZERO) {
            Ok(()) => order.block(pfn).iter().for_each(|page| pages::free(page, Order::ZERO)),
            // It is being migrated.
            Err(_) => pages::free(pfn, order),
        }
    }
}

/// The slot that an owner word names, if it is that of a block of these tasks.
pub(super) fn slot(owner: u64) -> Option<usize> {
    (owner >> 56 == TAG).then_some(owner as u16 as usize)
}

/// Asks the owner of the block in that slot to migrate it.
pub(super) fn migrate(slot: usize, page: Move) -> Result<(), MigrateError> {
    static ASKED: AtomicU64 = AtomicU64::new(0);
    let slot = HELD.get(slot).ok_or(MigrateError::Gone)?;
    let mut slot = slot.try_lock().ok_or(MigrateError::Busy)?;
    match slot.take() {
        Some(mut held) if held.pfn == page.from && held.order == page.order => {
            match ASKED.fetch_add(1, Ordering::Relaxed) % 32 {
                7 => {
                    *slot = Some(held);
                    Err(MigrateError::Busy)
                }
                23 => {
                    held.free();
                    Err(MigrateError::Gone)
                }
                _ => {
                    let pages = page.order.block(page.from).iter().zip(page.order.block(page.to).iter());
                    pages.for_each(|(from, to)| copy(words(from), words(to)));
                    held.pfn = page.to;
                    *slot = Some(held);
                    Ok(())
                }
            }
        }
        other => {
            *slot = other;
            Err(MigrateError::Gone)
        }
    }
}

impl Churn {
    pub(super) fn new(number: usize, seed: u64) -> Self {
        let rng = SmallRng::seed_from_u64(seed ^ (number as u64 + 1) << 32);
        Self { rng, first: number * SLOTS, allocated: 0 }
    }

    fn operation(&mut self) {
        let index = self.first + self.rng.random_range(0..SLOTS);
        let mut slot = HELD[index].lock();
        match slot.take() {
            Some(held) if self.rng.random_ratio(1, REFUSED_EVERY) => {
                let larger = Order::new(held.order.get() + 1);
                match allocator().free_pages(held.pfn, larger) {
                    Ok(()) => panic!("{} of {} was freed as a block of {larger}", held.pfn, held.order),
                    Err(_) => counts::REFUSED_FREES.add(1),
                }
                *slot = Some(held);
            }
            Some(held) if held.order > Order::ZERO && self.rng.random_ratio(1, 8) => held.free_in_parts(),
            Some(held) => held.free(),
            None => *slot = self.allocate(index),
        }
    }

    fn allocate(&mut self, index: usize) -> Option<Held> {
        let order = Order::new(match self.rng.random_range(0..64) {
            0..48 => 0,
            48..63 => self.rng.random_range(1..=3),
            _ => self.rng.random_range(4..=9),
        });
        let request = match self.rng.random_range(0..8) {
            0 => AllocRequest::unmovable(),
            1 => AllocRequest::reclaimable(),
            _ => AllocRequest::movable().owner(TAG << 56 | index as u64),
        };
        let request = match self.rng.random_range(0..256) {
            0 => request.highest_zone(ZoneKind::Dma),
            1..16 => request.highest_zone(ZoneKind::Dma32),
            16..20 => request.depth(Depth::Atomic),
            20 => request.depth(Depth::Emergency),
            _ => request,
        };
        let Ok(pfn) = pages::allocate(request.order(order)) else {
            page_cache::shrink(16);
            return None;
        };
        self.allocated += 1;
        let key = Key::new(OWNER, index as u64, self.allocated);
        mark(words_of_block(pfn, order), key);
        Some(Held { pfn, order, key })
    }

    fn bulk(&mut self) {
        let mut blocks = [Pfn::new(0); BULK];
        let order = Order::new(self.rng.random_range(0..=1));
        let got = allocator().alloc_bulk(AllocRequest::unmovable().order(order), &mut blocks);
        if let Err(error) = allocator().free_bulk(&blocks[..got], order) {
            panic!("a bulk free: {error}");
        }
        counts::BLOCKS.add(2 * got as u64);
    }

    fn free_all(&self) {
        for slot in &HELD[self.first..self.first + SLOTS] {
            if let Some(held) = slot.lock().take() {
                held.free();
            }
        }
    }
}

impl Task for Churn {
    fn step(&mut self) -> Progress {
        if is_stopping() {
            self.free_all();
            return Progress::Done;
        }
        (0..STEP).for_each(|_| self.operation());
        self.bulk();
        Progress::Again
    }
}
