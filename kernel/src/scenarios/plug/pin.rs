//! A page of the window, or of a DIMM, whose owner refuses to migrate it, so that a refusal is seen
//! in each run.

use heapless::Vec;
use pageblock::{AllocRequest, Order, Pfn, PfnRange};

use crate::space::pages;

/// An owner word that no address space writes, so that migration calls the page pinned.
const OWNER: u64 = 1;
/// Pages to look at: movable requests are served from the window first, but for what is cached.
const TRIES: usize = 512;

/// A pinned page, freed on drop.
#[derive(Debug)]
pub(super) struct Pin(Pfn);

impl Pin {
    /// Pins a page in these frames, if one can be had.
    pub(super) fn within(frames: PfnRange) -> Option<Self> {
        let mut others = Vec::<Pfn, TRIES>::new();
        let found = loop {
            let Ok(pfn) = pages::allocate(AllocRequest::movable().owner(OWNER)) else { break None };
            if frames.contains(pfn) {
                break Some(Self(pfn));
            }
            if let Err(pfn) = others.push(pfn) {
                pages::free(pfn, Order::ZERO);
                break None;
            }
        };
        others.into_iter().for_each(|pfn| pages::free(pfn, Order::ZERO));
        found
    }

    /// The page.
    pub(super) fn pfn(&self) -> Pfn {
        self.0
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        pages::free(self.0, Order::ZERO);
    }
}
