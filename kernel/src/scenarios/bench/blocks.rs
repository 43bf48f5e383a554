//! The measured calls of the allocator, and an array of the allocated blocks.

use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use pageblock::{AllocRequest, Order, PageAllocator, Pfn, Platform};
use rand::RngExt as _;
use rand::rngs::SmallRng;

use crate::memory::allocator;
use crate::memory::platform::ThisMachine;
use crate::space::frame::words_of_block;

/// The measured allocator, in either access mode. It is a parameter, so that the counts do not
/// include finding it.
pub(super) type Allocator<P = ThisMachine> = &'static PageAllocator<'static, P>;

/// A workload did not get the memory that it needs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct NoMemory;

/// Allocates a block. The call is not inlined and builds its request, as in a kernel.
#[inline(never)]
pub(super) fn alloc<P: Platform>(allocator: Allocator<P>, order: Order) -> Option<Pfn> {
    allocator.alloc_pages(AllocRequest::unmovable().order(order)).ok()
}

/// Allocates a page.
#[inline(never)]
pub(super) fn alloc_page<P: Platform>(allocator: Allocator<P>) -> Option<Pfn> {
    allocator.alloc_pages(AllocRequest::unmovable()).ok()
}

/// Frees a block.
#[inline(never)]
pub(super) fn free<P: Platform>(allocator: Allocator<P>, pfn: Pfn, order: Order) {
    if allocator.free_pages(pfn, order).is_err() {
        refused();
    }
}

/// Frees a page.
#[inline(never)]
pub(super) fn free_page<P: Platform>(allocator: Allocator<P>, pfn: Pfn) {
    if allocator.free_pages(pfn, Order::ZERO).is_err() {
        refused();
    }
}

static REFUSED: AtomicUsize = AtomicUsize::new(0);

/// Counts a free that was refused. It returns, because a caller that may panic needs a stack frame,
/// whose instructions would be counted.
#[cold]
#[inline(never)]
fn refused() {
    REFUSED.fetch_add(1, Ordering::Relaxed);
}

/// The number of measured frees that were refused, all of which were right.
pub(super) fn refused_frees() -> usize {
    REFUSED.load(Ordering::Relaxed)
}

/// An array of allocated blocks with their orders. It is stored in a block of its own.
#[derive(Debug)]
pub(super) struct Blocks {
    words: &'static [AtomicU64],
    storage: Pfn,
    len: usize,
}

/// The blocks of an array, which can be replaced.
#[derive(Debug)]
pub(super) struct Words(&'static [AtomicU64]);

impl Words {
    /// Makes `pfn` the block of that number; its order stays.
    pub(super) fn replace(&self, number: usize, pfn: Pfn) {
        let order = self.0[number].load(Ordering::Relaxed) & ((1 << ORDER_BITS) - 1);
        self.0[number].store((pfn.number() as u64) << ORDER_BITS | order, Ordering::Relaxed);
    }
}

const ORDER_BITS: u32 = 8;

impl Blocks {
    const STORAGE: Order = Order::new(7);
    /// The number of blocks that fit: 65,536.
    pub(super) const CAPACITY: usize = Self::STORAGE.pages() * 512;

    /// Allocates an empty array.
    pub(super) fn new() -> Option<Self> {
        let storage = alloc(allocator(), Self::STORAGE)?;
        Some(Self { words: words_of_block(storage, Self::STORAGE), storage, len: 0 })
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    #[inline(always)]
    pub(super) fn push(&mut self, pfn: Pfn, order: Order) {
        let word = (pfn.number() as u64) << ORDER_BITS | u64::from(order.get());
        self.words[self.len].store(word, Ordering::Relaxed);
        self.len += 1;
    }

    #[inline(always)]
    pub(super) fn pop(&mut self) -> Option<(Pfn, Order)> {
        self.len = self.len.checked_sub(1)?;
        let word = self.words[self.len].load(Ordering::Relaxed);
        Some((Pfn::new((word >> ORDER_BITS) as usize), Order::new(word as u8)))
    }

    /// The first block.
    pub(super) fn first(&self) -> Option<Pfn> {
        let word = self.words[..self.len].first()?.load(Ordering::Relaxed);
        Some(Pfn::new((word >> ORDER_BITS) as usize))
    }

    /// The blocks, for an owner that moves them.
    pub(super) fn words(&self) -> Words {
        Words(self.words)
    }

    /// Moves a random block to the end.
    pub(super) fn choose(&mut self, rng: &mut SmallRng) {
        if self.len > 0 {
            self.swap(rng.random_range(0..self.len), self.len - 1);
        }
    }

    /// Shuffles the blocks.
    pub(super) fn shuffle(&mut self, rng: &mut SmallRng) {
        for last in (1..self.len).rev() {
            self.swap(rng.random_range(0..=last), last);
        }
    }

    fn swap(&self, one: usize, other: usize) {
        let [a, b] = [one, other].map(|index| self.words[index].load(Ordering::Relaxed));
        self.words[one].store(b, Ordering::Relaxed);
        self.words[other].store(a, Ordering::Relaxed);
    }
}

impl Drop for Blocks {
    /// Frees all blocks and the array.
    fn drop(&mut self) {
        while let Some((pfn, order)) = self.pop() {
            free(allocator(), pfn, order);
        }
        free(allocator(), self.storage, Self::STORAGE);
    }
}
