//! The allocator as a kernel calls it, and room to remember what it gave.
//!
//! Neighbours: [`pages`](super::pages) and [`storm`](super::storm) measure, [`contig`](super::contig) has other needs.

use core::sync::atomic::{AtomicU64, Ordering};

use pageblock::{AllocRequest, Order, Pfn};
use rand::RngExt as _;
use rand::rngs::SmallRng;

use crate::memory::allocator;
use crate::memory::allocator::KernelAllocator;
use crate::space::frame::words_of_block;

/// Who is called. The reference is at hand, so that what is counted is the allocator and not the way to it.
pub(super) type Allocator = &'static KernelAllocator;

/// Allocates: a call that is not inlined, of a request that is made up on the spot.
#[inline(never)]
pub(super) fn alloc(allocator: Allocator, order: Order) -> Option<Pfn> {
    allocator.alloc_pages(AllocRequest::unmovable().order(order)).ok()
}

/// The same for a single page.
#[inline(never)]
pub(super) fn alloc_page(allocator: Allocator) -> Option<Pfn> {
    allocator.alloc_pages(AllocRequest::unmovable()).ok()
}

/// Frees.
#[inline(never)]
pub(super) fn free(allocator: Allocator, pfn: Pfn, order: Order) {
    if allocator.free_pages(pfn, order).is_err() {
        refused();
    }
}

/// The same for a single page.
#[inline(never)]
pub(super) fn free_page(allocator: Allocator, pfn: Pfn) {
    if allocator.free_pages(pfn, Order::ZERO).is_err() {
        refused();
    }
}

#[cold]
fn refused() -> ! {
    panic!("the allocator refused a free");
}

/// Blocks with their orders, in a block of their own.
#[derive(Debug)]
pub(super) struct Blocks {
    words: &'static [AtomicU64],
    home: Pfn,
    len: usize,
}

const ORDER_BITS: u32 = 8;

impl Blocks {
    /// Room for 65,536.
    const HOME: Order = Order::new(7);
    pub(super) const ROOM: usize = Self::HOME.pages() * 512;

    /// None yet.
    pub(super) fn new() -> Option<Self> {
        let home = alloc(allocator(), Self::HOME)?;
        Some(Self { words: words_of_block(home, Self::HOME), home, len: 0 })
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// One place more than has been used.
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

    /// Brings any one to the end.
    pub(super) fn choose(&mut self, rng: &mut SmallRng) {
        if self.len > 0 {
            self.swap(rng.random_range(0..self.len), self.len - 1);
        }
    }

    /// Brings them into another order.
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
    /// Frees them all.
    fn drop(&mut self) {
        while let Some((pfn, order)) = self.pop() {
            free(allocator(), pfn, order);
        }
        free(allocator(), self.home, Self::HOME);
    }
}
