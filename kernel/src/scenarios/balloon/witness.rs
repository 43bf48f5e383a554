//! A user of memory between the moment at which a batch is handed over and the acknowledgement.
//!
//! The host may discard the blocks of the batch then. So what is allocated meanwhile must be other
//! memory, or the host must have acknowledged the batch first: what is written is still there in
//! the end.
//!
//! The requests of processes are for single pages, which the allocator serves from pageblocks that
//! are in use in part. None of those is reported, so that they would hardly notice a mistake. This
//! asks for a block as large as those of the batch, and in every other turn also for a block of the
//! batch as a contiguous range, which waits for the host.

use pageblock::{AllocRequest, ContigOptions, ContigRange, NoMigration, Order, Pfn, PfnRange};

use crate::memory::allocator;
use crate::memory::platform::ThisMachine;
use crate::scenarios::balloon::host;
use crate::space::contents::{Contents, Key};
use crate::space::frame::words;
use crate::space::pages;

/// The owners of the patterns. Processes are numbered from 0.
const OF_BLOCKS: u64 = u64::MAX;
const OF_RANGES: u64 = u64::MAX - 1;

/// What was allocated while a batch was out, if there is something.
#[derive(Default)]
pub(super) struct Witness {
    block: Option<(Pfn, Order)>,
    range: Option<ContigRange<'static, 'static, ThisMachine>>,
    turns: u64,
    /// The pages that were written during reports.
    pub(super) pages: u64,
    /// The contiguous ranges for which the host had to acknowledge a batch.
    pub(super) ranges: u64,
}

impl Witness {
    /// Allocates memory and writes it, when `block` has been handed over.
    pub(super) fn allocate(&mut self, block: PfnRange) {
        self.turns += 1;
        let order = Order::covering(block.len());
        if let Ok(pfn) = pages::allocate(AllocRequest::movable().order(order)) {
            self.pages += order.pages() as u64;
            fill(OF_BLOCKS, self.turns, order.block(pfn));
            self.block = Some((pfn, order));
        }
        if self.turns.is_multiple_of(2) {
            return;
        }
        let before = host::acknowledged();
        if let Ok(range) = allocator().alloc_contig(block, &NoMigration, ContigOptions::default()) {
            self.ranges += u64::from(host::acknowledged() != before);
            fill(OF_RANGES, self.turns, range.range());
            self.range = Some(range);
        }
    }

    /// Checks what was written and frees the memory, after the host has acknowledged the batch.
    pub(super) fn check_and_free(&mut self) {
        if let Some((pfn, order)) = self.block.take() {
            check(OF_BLOCKS, self.turns, order.block(pfn));
            pages::free(pfn, order);
        }
        if let Some(range) = self.range.take() {
            check(OF_RANGES, self.turns, range.range());
        }
    }
}

fn fill(owner: u64, turn: u64, frames: PfnRange) {
    for (number, pfn) in (0..).zip(frames.iter()) {
        Key::new(owner, number, turn).fill(words(pfn));
    }
}

fn check(owner: u64, turn: u64, frames: PfnRange) {
    for (number, pfn) in (0..).zip(frames.iter()) {
        match Key::new(owner, number, turn).check(words(pfn)) {
            // Both are counted.
            Contents::Intact | Contents::Corrupted => {}
        }
    }
}
