//! `branch_allocator`: a lock-free tree of atomic words.
//!
//! It is measured with single frames only: version 1.0.8 hands out overlapping blocks if orders are
//! mixed, on one thread (`checks` notices it if this adapter claims larger orders).
//!
//! The crate leaves the choice of the block to its user, who proposes an index. This adapter starts
//! where the CPU freed or allocated last, and proposes one block after the other.

use std::sync::atomic::{AtomicUsize, Ordering};

use branch_allocator::{Atomic, BranchAllocator};
use pageblock::{Mobility, Order, PAGE_SIZE, Pfn};

use crate::arena::{Arena, FRAMES};
use crate::cpu::{self, CPUS};
use crate::peer::{Peer, PeerId};

/// The order of all frames together.
const ORDER: usize = FRAMES.ilog2() as usize;

/// Where a CPU proposes next, in a pair of cache lines of its own.
#[derive(Default)]
#[repr(align(128))]
struct Hint(AtomicUsize);

/// The adapter of `branch_allocator`.
pub(crate) struct Branch {
    allocator: BranchAllocator<'static>,
    hints: [Hint; CPUS],
    first_frame: Pfn,
    _arena: Arena,
}

impl Branch {
    fn hint(&self) -> &AtomicUsize {
        &self.hints[cpu::current()].0
    }
}

impl Peer for Branch {
    const ID: PeerId = PeerId::Branch;

    fn new(arena: Arena) -> Self {
        // The crate has no pointers into frames, and its words may be anywhere. They are leaked: a
        // process has one allocator, or few in the tests.
        let words = Vec::from_iter((0..BranchAllocator::required(ORDER)).map(|_| Atomic::new(0)));
        let allocator = BranchAllocator::new(words.leak(), ORDER).expect("as many words as required");
        let first_frame = Pfn::new(arena.start() / PAGE_SIZE as usize);
        Self { allocator, hints: Default::default(), first_frame, _arena: arena }
    }

    fn first_frame(&self) -> Pfn {
        self.first_frame
    }

    #[inline(always)]
    fn alloc(&self, order: Order, _: Mobility) -> Option<Pfn> {
        let order = usize::from(order.get());
        let hint = self.hint();
        let mut index = hint.load(Ordering::Relaxed) >> order << order;
        for _ in 0..FRAMES >> order {
            if self.allocator.try_allocate(index, order).is_some() {
                hint.store((index + (1 << order)) % FRAMES, Ordering::Relaxed);
                return Some(Pfn::new(self.first_frame.number() + index));
            }
            index = (index + (1 << order)) % FRAMES;
        }
        None
    }

    #[inline(always)]
    fn free(&self, pfn: Pfn, order: Order) {
        let index = pfn.number().wrapping_sub(self.first_frame.number());
        // The crate refuses some wrong frees, which the workloads see from what it allocates next.
        if self.allocator.deallocate(index, usize::from(order.get())).is_some() {
            self.hint().store(index, Ordering::Relaxed);
        }
    }

    fn metadata_bytes(&self) -> Option<usize> {
        Some(BranchAllocator::required(ORDER) * size_of::<Atomic>())
    }
}
