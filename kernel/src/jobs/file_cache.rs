//! A bounded cache of "file" pages: reclaimable memory that is dropped when memory is short.
//!
//! Direct-mapped: page *n* of the files can only be in slot *n* mod capacity, so a slot needs one
//! small lock and the cache none. Every hit is checked against what the file should contain.
//! Neighbours: [`job`](super::job) reads, everybody who runs out of memory calls [`shrink`].

use core::sync::atomic::{AtomicUsize, Ordering};

use pageblock::{AllocError, AllocRequest, Order, Pfn};

use crate::space::contents::Key;
use crate::space::frame::words;
use crate::space::lock::Lock;
use crate::space::pages;

/// The most pages that the cache holds (32 MiB).
const CAPACITY: usize = 8192;

/// How many different pages there are to read: more than the cache holds.
pub(crate) const FILE_PAGES: u32 = 4 * CAPACITY as u32;

/// The owner in the keys of file contents; no address space has this number.
const FILES: u64 = u64::MAX;

#[derive(Clone, Copy, Debug)]
struct Cached {
    page: u32,
    pfn: Pfn,
}

static SLOTS: [Lock<Option<Cached>>; CAPACITY] = [const { Lock::new(None) }; CAPACITY];
static HAND: AtomicUsize = AtomicUsize::new(0);

/// Reads a page of the files: from the cache, or from "disk" into a reclaimable page.
pub(crate) fn read(page: u32) -> Result<(), AllocError> {
    let key = Key::new(FILES, u64::from(page), 0);
    let mut slot = SLOTS[page as usize % CAPACITY].lock();
    match *slot {
        Some(cached) if cached.page == page => {
            // Counted and reported by the check itself.
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

/// Drops up to `wanted` pages and says how many it dropped. Skips what is being read.
pub(crate) fn shrink(wanted: usize) -> usize {
    let mut dropped = 0;
    for _ in 0..CAPACITY {
        if dropped == wanted {
            break;
        }
        let hand = HAND.fetch_add(1, Ordering::Relaxed) % CAPACITY;
        let Some(cached) = SLOTS[hand].try_lock().and_then(|mut slot| slot.take()) else { continue };
        pages::free(cached.pfn, Order::ZERO);
        dropped += 1;
    }
    dropped
}
