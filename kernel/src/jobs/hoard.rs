//! Blocks that are held without a list of them: each one's first word names the next.
//!
//! For holding any number of blocks where there is no heap. Neighbours: the scenarios' ballast, and
//! in-kernel cases that need memory to be short.

use core::sync::atomic::Ordering;

use pageblock::{AllocRequest, Order, Pfn};

use crate::space::frame::words;
use crate::space::pages;

/// Blocks of one order, freed on drop.
#[derive(Debug)]
pub(crate) struct Hoard {
    order: Order,
    last: Option<Pfn>,
}

impl Hoard {
    /// An empty hoard for blocks of that order.
    pub(crate) const fn new(order: Order) -> Self {
        Self { order, last: None }
    }

    /// Allocates one more block. Says whether there was one.
    pub(crate) fn grow(&mut self, request: AllocRequest) -> bool {
        let Ok(pfn) = pages::allocate(request.order(self.order)) else { return false };
        // No block has this number: frame 0 is never handed out.
        let next = self.last.map_or(0, Pfn::number);
        words(pfn)[0].store(next as u64, Ordering::Relaxed);
        self.last = Some(pfn);
        true
    }

    /// The blocks, the last one first.
    pub(crate) fn blocks(&self) -> impl Iterator<Item = Pfn> {
        core::iter::successors(self.last, |&pfn| next(pfn))
    }
}

impl Drop for Hoard {
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
