//! A page cache of simulated files: reclaimable memory that is freed when memory is short.
//!
//! It is direct-mapped: page *n* of the files can only be in slot *n* mod capacity, so each slot
//! has a small lock and the cache as a whole needs none. Every hit compares the page with the
//! contents that it should have. Tasks that find no memory call [`shrink`].

use core::sync::atomic::{AtomicUsize, Ordering};

use pageblock::{AllocError, AllocRequest, Order, Pfn};

use crate::space::contents::Key;
use crate::space::frame::words;
use crate::space::pages;
use crate::sync::Lock;

/// The most pages that the cache holds (32 MiB).
const CAPACITY: usize = 8192;

/// The number of pages of all files: more than the cache can hold.
pub(crate) const FILE_PAGES: u32 = 4 * CAPACITY as u32;

/// The owner in the keys of file pages. No address space has this number.
const FILES: u64 = u64::MAX;

#[derive(Clone, Copy, Debug)]
struct Cached {
    page: u32,
    pfn: Pfn,
}

static SLOTS: [Lock<Option<Cached>>; CAPACITY] = [const { Lock::new(None) }; CAPACITY];
/// The slot at which the next [`shrink`] continues (the clock hand).
static HAND: AtomicUsize = AtomicUsize::new(0);

/// Reads a page of the files: from the cache, or into a newly allocated reclaimable page.
pub(crate) fn read(page: u32) -> Result<(), AllocError> {
    let key = Key::new(FILES, u64::from(page), 0);
    let mut slot = SLOTS[page as usize % CAPACITY].lock();
    match *slot {
        Some(cached) if cached.page == page => {
            // The check counts and reports a mismatch itself.
            let _ = key.check(words(cached.pfn));
        }
        other => {
            let pfn = pages::allocate(AllocRequest::reclaimable())?;
            key.fill(words(pfn));
            *slot = Some(Cached { page, pfn });
            if let Some(evicted) = other {
                pages::free(evicted.pfn, Order::ZERO);
            }
        }
    }
    Ok(())
}

/// Frees up to `wanted` pages and returns how many. Skips pages that are being read.
pub(crate) fn shrink(wanted: usize) -> usize {
    let mut freed = 0;
    for _ in 0..CAPACITY {
        if freed == wanted {
            break;
        }
        let hand = HAND.fetch_add(1, Ordering::Relaxed) % CAPACITY;
        let Some(cached) = SLOTS[hand].try_lock().and_then(|mut slot| slot.take()) else { continue };
        pages::free(cached.pfn, Order::ZERO);
        freed += 1;
    }
    freed
}
