//! Test patterns of pages, which differ between pages, owners and versions of a page.
//!
//! All words of a page are derived from a [`Key`], and the key from the run's seed, the owner, the
//! page's number and its version. A page that was lost, swapped, copied in part or copied too early
//! does not match any more. One page in eight, chosen by its key, is written and compared word for
//! word; the others use one word in each cache line, to save time.

use core::sync::atomic::{AtomicU64, Ordering};

use crate::space::frame::Words;

/// Odd, so that consecutive words differ and no word repeats within a page.
const STRIDE: u64 = 0x9e37_79b9_7f4a_7c15;

/// Words in a cache line.
const LINE: usize = 8;

static SEED: AtomicU64 = AtomicU64::new(1);
static CHECKED: AtomicU64 = AtomicU64::new(0);
static CORRUPTED: AtomicU64 = AtomicU64::new(0);

/// Sets the seed of all patterns, before any page is written.
pub(crate) fn set_seed(seed: u64) {
    SEED.store(seed, Ordering::Relaxed);
}

/// The outcome of comparing a page with its pattern.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub(crate) enum Contents {
    /// All compared words are right.
    Intact,
    /// At least one word is wrong.
    Corrupted,
}

/// Determines the pattern of one page.
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

    /// The words of a page that are written and compared.
    fn words(self, page: &Words) -> impl Iterator<Item = &AtomicU64> {
        let step = if self.0.is_multiple_of(8) { 1 } else { LINE };
        // The last word of each line, so that the last word of the page is always among them.
        page.iter().skip(step - 1).step_by(step)
    }

    /// Fills a page with the pattern.
    pub(crate) fn fill(self, page: &Words) {
        let mut value = self.0;
        for word in self.words(page) {
            word.store(value, Ordering::Relaxed);
            value = value.wrapping_add(STRIDE);
        }
    }

    /// Compares a page with the pattern that [`fill`](Self::fill) wrote, and counts the check.
    pub(crate) fn check(self, page: &Words) -> Contents {
        let mut value = self.0;
        let mut difference = 0;
        for word in self.words(page) {
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

/// Writes a mark of one word at the start and one at the end of a block: less than a pattern, for
/// blocks that are owned for a moment.
pub(crate) fn mark(block: &[AtomicU64], key: Key) {
    if let [first, .., last] = block {
        first.store(key.0, Ordering::Relaxed);
        last.store(!key.0, Ordering::Relaxed);
    }
}

/// Looks for the mark of [`mark`], and counts the check.
pub(crate) fn check_mark(block: &[AtomicU64], key: Key) -> Contents {
    CHECKED.fetch_add(1, Ordering::Relaxed);
    match block {
        [first, .., last]
            if first.load(Ordering::Relaxed) != key.0 || last.load(Ordering::Relaxed) != !key.0 =>
        {
            CORRUPTED.fetch_add(1, Ordering::Relaxed);
            Contents::Corrupted
        }
        _ => Contents::Intact,
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

/// The finaliser of SplitMix64: every input bit affects every output bit.
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(STRIDE);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}
