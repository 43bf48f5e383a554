//! A list of allocated blocks: the first word of each block stores the next one.
//!
//! It holds any number of blocks without a heap. Its use is to create memory pressure.

use core::iter;
use core::sync::atomic::Ordering;

use pageblock::{AllocRequest, Order, Pfn};

use crate::space::frame::words;
use crate::space::pages;

/// Blocks of one order, freed on drop.
#[derive(Debug)]
pub(crate) struct BlockList {
    order: Order,
    last: Option<Pfn>,
}

impl BlockList {
    /// An empty list for blocks of `order`.
    pub(crate) const fn new(order: Order) -> Self {
        Self { order, last: None }
    }

    /// Allocates one more block. Returns false if that fails.
    pub(crate) fn grow(&mut self, request: AllocRequest) -> bool {
        let Ok(pfn) = pages::allocate(request.order(self.order)) else { return false };
        // 0 ends the list: frame 0 is never allocated.
        let next = self.last.map_or(0, Pfn::number);
        words(pfn)[0].store(next as u64, Ordering::Relaxed);
        self.last = Some(pfn);
        true
    }

    /// The blocks, in reverse order of allocation.
    pub(crate) fn blocks(&self) -> impl Iterator<Item = Pfn> {
        iter::successors(self.last, |&pfn| next(pfn))
    }
}

impl Drop for BlockList {
    fn drop(&mut self) {
        while let Some(pfn) = self.last {
            self.last = next(pfn);
            pages::free(pfn, self.order);
        }
    }
}

fn next(pfn: Pfn) -> Option<Pfn> {
    match words(pfn)[0].load(Ordering::Relaxed) {
        0 => None,
        number => Some(Pfn::new(number as usize)),
    }
}
