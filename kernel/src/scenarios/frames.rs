//! Frames that a scenario has allocated: filled at once, and checked before they are freed.
//!
//! So a frame that another owner still uses is noticed.

use pageblock::{PAGE_SIZE, Pfn};

use crate::space::contents::{Contents, Key};
use crate::space::frame::words;

/// The owner in the keys of these frames, which is no address space and not the page cache.
const SCENARIO: u64 = u64::MAX - 1;

/// The number of pages in `mib` MiB.
pub(super) fn pages_in(mib: u32) -> usize {
    mib as usize * ((1 << 20) / PAGE_SIZE as usize)
}

fn key(pfn: Pfn) -> Key {
    Key::new(SCENARIO, pfn.number() as u64, 0)
}

/// Fills frames with their test patterns.
pub(super) fn fill(frames: impl Iterator<Item = Pfn>) {
    for pfn in frames {
        key(pfn).fill(words(pfn));
    }
}

/// Checks that filled frames have not been overwritten. The check counts mismatches itself.
pub(super) fn check(frames: impl Iterator<Item = Pfn>) {
    for pfn in frames {
        if key(pfn).check(words(pfn)) == Contents::Corrupted {
            log::error!("{pfn} was overwritten while the scenario owned it");
        }
    }
}
