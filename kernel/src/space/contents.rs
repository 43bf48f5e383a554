//! What belongs in a page: contents that no other page, life or version of a page shares.
//!
//! A page is filled with words that are all derived from a [`Key`], and the key from the run's seed,
//! the owner, the page's place and its version. A page that was lost, swapped, copied in part or
//! copied too early does not match any more. One page in eight, by its key, is filled and compared
//! word for word, the others with one word in each cache line: the run is to be about pages, not
//! about bytes. Pure but for the words it is handed; neighbour: [`frame`](super::frame).

use core::sync::atomic::{AtomicU64, Ordering};

use super::frame::Words;

/// Odd, so that consecutive words differ and no word repeats within a page.
const STRIDE: u64 = 0x9e37_79b9_7f4a_7c15;

/// Words in a cache line.
const LINE: usize = 8;

static SEED: AtomicU64 = AtomicU64::new(1);
static CHECKED: AtomicU64 = AtomicU64::new(0);
static CORRUPTED: AtomicU64 = AtomicU64::new(0);

/// Sets the seed that all contents are derived from, before any are written.
pub(crate) fn set_seed(seed: u64) {
    SEED.store(seed, Ordering::Relaxed);
}

/// How a page's contents compare with what belongs there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub(crate) enum Contents {
    /// Every word that matters is right.
    Intact,
    /// At least one word is wrong.
    Corrupted,
}

/// Decides the contents of one page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Key(u64);

impl Key {
    /// The key for version `version` of page `page` of the owner `owner`.
    pub(crate) fn new(owner: u64, page: u64, version: u64) -> Self {
        let mut key = SEED.load(Ordering::Relaxed);
        for part in [owner, page, version] {
            key = mix(key ^ part);
        }
        Self(key)
    }

    /// The words of a page that matter.
    fn of(self, page: &Words) -> impl Iterator<Item = &AtomicU64> {
        let step = if self.0.is_multiple_of(8) { 1 } else { LINE };
        // The last word of each line, so that the last one of the page is always among them.
        page.iter().skip(step - 1).step_by(step)
    }

    /// Fills a page.
    pub(crate) fn fill(self, page: &Words) {
        let mut value = self.0;
        for word in self.of(page) {
            word.store(value, Ordering::Relaxed);
            value = value.wrapping_add(STRIDE);
        }
    }

    /// Compares a page with what [`fill`](Self::fill) left there, and counts it as checked.
    pub(crate) fn check(self, page: &Words) -> Contents {
        let mut value = self.0;
        let mut difference = 0;
        for word in self.of(page) {
            difference |= word.load(Ordering::Relaxed) ^ value;
            value = value.wrapping_add(STRIDE);
        }
        CHECKED.fetch_add(1, Ordering::Relaxed);
        if difference == 0 {
            Contents::Intact
        } else {
            CORRUPTED.fetch_add(1, Ordering::Relaxed);
            Contents::Corrupted
        }
    }
}

/// Pages checked since boot.
pub(crate) fn checked() -> u64 {
    CHECKED.load(Ordering::Relaxed)
}

/// Pages found corrupted since boot.
pub(crate) fn corrupted() -> u64 {
    CORRUPTED.load(Ordering::Relaxed)
}

/// The finaliser of SplitMix64: every input bit reaches every output bit.
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(STRIDE);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}
