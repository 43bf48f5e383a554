//! Poison: freed pages are filled with a pattern, which is looked for when they are handed out.
//!
//! A page whose pattern has changed was written after it was freed (`page_poison` in Linux). With
//! poison on, the pcplists hold nothing, so that every block goes through its zone: it is filled
//! and looked at there, with the zone locked, and the fast path needs no check.
//!
//! The words are accessed as atomics, because the code that writes a page after it was freed may do
//! so at the same time.

#![expect(unsafe_code, reason = "frames are accessed where the kernel has promised that they are mapped")]

use core::fmt;

use crate::base::{PAGE_SIZE, Pfn, PfnRange, Site};
use crate::sync::{Lock, Ordering, PlainU64};

/// What the bytes of a freed page are (`PAGE_POISON` in Linux).
const BYTE: u8 = 0xaa;
const WORD: u64 = u64::from_ne_bytes([BYTE; 8]);
const WORDS: usize = (PAGE_SIZE / 8) as usize;

/// A page that was written after it was freed. Found when it was handed out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct WriteAfterFree {
    /// The page.
    pub pfn: Pfn,
    /// The first byte that is not as it was left, from the start of the page.
    pub offset: usize,
    /// The value of that byte.
    pub value: u8,
    /// Where the last block was allocated that began at this page, with the feature `page_owner`.
    pub site: Site,
}

impl fmt::Display for WriteAfterFree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pfn, offset, value, site } = self;
        write!(f, "{pfn} was written after it was freed: byte {offset} is {value:#04x}, not {BYTE:#04x}")?;
        site.last_allocated().fmt(f)
    }
}

/// The offset at which physical memory is mapped, if poison is on, and what was found.
#[derive(Debug)]
pub(crate) struct Poison {
    offset: Option<u64>,
    found: PlainU64,
    /// The last page that was found. The lock is held alone or with a zone locked.
    last: Lock<Option<WriteAfterFree>>,
}

impl Poison {
    /// # Safety
    ///
    /// If there is an offset, every byte at physical address `a` of the frames that are filled and
    /// checked must be mapped writable at `offset + a`, and no code may rely on what is in them.
    pub(crate) unsafe fn new(offset: Option<u64>) -> Self {
        Self { offset, found: PlainU64::new(0), last: Lock::new(None) }
    }

    pub(crate) fn is_on(&self) -> bool {
        self.offset.is_some()
    }

    /// How many pages were found.
    pub(crate) fn found(&self) -> u64 {
        self.found.load(Ordering::Relaxed)
    }

    /// The last page that was found. Interrupts must be masked.
    pub(crate) fn last(&self) -> Option<WriteAfterFree> {
        *self.last.lock()
    }

    /// The words of a page. Empty if poison is off.
    fn words(&self, pfn: Pfn) -> &[PlainU64] {
        let Some(offset) = self.offset else {
            return &[];
        };
        let start = offset.wrapping_add(pfn.start_address()) as usize;
        let words = core::ptr::with_exposed_provenance::<PlainU64>(start);
        // SAFETY: `new` has the promise that the page is mapped; any bytes are valid atomics.
        unsafe { core::slice::from_raw_parts(words, WORDS) }
    }

    /// Fills the frames of `range`, which have no owner any more, if poison is on.
    #[inline]
    pub(crate) fn fill(&self, range: PfnRange) {
        if self.is_on() {
            self.fill_all(range);
        }
    }

    #[cold]
    fn fill_all(&self, range: PfnRange) {
        for word in range.iter().flat_map(|pfn| self.words(pfn)) {
            word.store(WORD, Ordering::Relaxed);
        }
    }

    /// Looks at the frames of `range`, which are handed out, if poison is on. Interrupts must be
    /// masked. The caller logs what is found when it holds no lock.
    #[inline]
    pub(crate) fn check(&self, range: PfnRange, site: impl Fn(Pfn) -> Site) {
        if self.is_on() {
            self.check_all(range, site);
        }
    }

    #[cold]
    fn check_all(&self, range: PfnRange, site: impl Fn(Pfn) -> Site) {
        for pfn in range.iter() {
            let changed = self.words(pfn).iter().zip(0..).find_map(|(word, number)| {
                let bytes = word.load(Ordering::Relaxed).to_ne_bytes();
                let at = bytes.iter().position(|byte| *byte != BYTE)?;
                Some((number * 8 + at, bytes[at]))
            });
            if let Some((offset, value)) = changed {
                *self.last.lock() = Some(WriteAfterFree { pfn, offset, value, site: site(pfn) });
                self.found.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}
