//! A user of memory between the moment at which a batch is handed over and the acknowledgement.
//!
//! The host may discard the blocks of the batch then. So a block that is allocated meanwhile must
//! be another one: what is written into it is still there when the host has acknowledged the batch.
//!
//! The requests of processes are for single pages, which the allocator serves from pageblocks that
//! are in use in part. None of those is reported, so that they would hardly notice a mistake. These
//! requests are for blocks as large as those of the batch.

use pageblock::{AllocRequest, Order, Pfn, PfnRange};

use crate::space::contents::{Contents, Key};
use crate::space::frame::words;
use crate::space::pages;

/// The owner of the patterns. Processes are numbered from 0.
const OWNER: u64 = u64::MAX;

/// A block that was allocated while a batch was out, if there is one, and how many there were.
#[derive(Debug, Default)]
pub(super) struct Witness {
    block: Option<(Pfn, Order)>,
    blocks: u64,
    /// The pages that were written during reports.
    pub(super) pages: u64,
}

impl Witness {
    /// Allocates a block as large as `like`, which has been handed over, and writes it.
    pub(super) fn allocate(&mut self, like: PfnRange) {
        let order = Order::covering(like.len());
        if let Ok(pfn) = pages::allocate(AllocRequest::movable().order(order)) {
            self.blocks += 1;
            self.pages += order.pages() as u64;
            for (number, pfn) in order.block(pfn).iter().enumerate() {
                self.key(number).fill(words(pfn));
            }
            self.block = Some((pfn, order));
        }
    }

    /// Checks what was written and frees the block, after the host has acknowledged the batch.
    pub(super) fn check_and_free(&mut self) {
        let Some((pfn, order)) = self.block.take() else { return };
        for (number, pfn) in order.block(pfn).iter().enumerate() {
            match self.key(number).check(words(pfn)) {
                // Both are counted.
                Contents::Intact | Contents::Corrupted => {}
            }
        }
        pages::free(pfn, order);
    }

    fn key(&self, page: usize) -> Key {
        Key::new(OWNER, page as u64, self.blocks)
    }
}
