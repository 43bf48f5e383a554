//! What the disk has, page by page: how often each page was written, and whether memory has it.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use pageblock::{Pfn, PfnRange};
use pageblock_protocol::disk::DiskBlock;

use crate::space::frame::words;

/// The most pages of a disk: 128 MiB. The rest of a larger one is not used.
pub(super) const MAX_PAGES: u64 = 1 << 15;

static WRITES: [AtomicU32; MAX_PAGES as usize] = [const { AtomicU32::new(0) }; MAX_PAGES as usize];
static CORRUPTED: AtomicU64 = AtomicU64::new(0);

/// What that page of the disk should have.
fn expected(seed: u64, number: u64) -> DiskBlock {
    let writes = WRITES[number as usize].load(Ordering::Relaxed);
    DiskBlock { seed, number, writes: writes.into() }
}

/// Fills frames with the next contents of as many pages of the disk, from `first` on.
pub(super) fn fill(seed: u64, first: u64, frames: PfnRange) {
    for (number, pfn) in (first..).zip(frames.iter()) {
        WRITES[number as usize].fetch_add(1, Ordering::Relaxed);
        for (place, word) in words(pfn).iter().zip(expected(seed, number).words()) {
            place.store(word, Ordering::Relaxed);
        }
    }
}

/// Checks that frames have what as many pages of the disk should have, from `first` on. Counts the
/// others, and returns the first of them.
pub(super) fn check(seed: u64, first: u64, frames: PfnRange) -> Option<Pfn> {
    let mut wrong = None;
    for (number, pfn) in (first..).zip(frames.iter()) {
        let found = words(pfn).iter().map(|word| word.load(Ordering::Relaxed));
        if !expected(seed, number).words().eq(found) {
            CORRUPTED.fetch_add(1, Ordering::Relaxed);
            wrong = wrong.or(Some(pfn));
        }
    }
    wrong
}

/// Pages that were not what they should be.
pub(super) fn corrupted() -> u64 {
    CORRUPTED.load(Ordering::Relaxed)
}

/// Pages written to the disk.
pub(super) fn written() -> u64 {
    WRITES.iter().map(|writes| u64::from(writes.load(Ordering::Relaxed))).sum()
}
