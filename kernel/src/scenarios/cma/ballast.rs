//! Memory that a large machine has in use without anybody working on it.
//!
//! To fill gigabytes with checked contents would make the run measure the filling. Free memory beyond
//! what the jobs can work on is therefore taken in the largest blocks, to the same 70 %, and left
//! alone: the allocator gets as short of memory as on a small machine, in every zone.

use heapless::Vec;
use pageblock::{AllocRequest, Geometry, Order, Pfn, X86_64, ZoneKind};

use crate::space::pages;

/// Enough for 16 GiB.
const BLOCKS: usize = 4096;

/// Blocks of unmovable memory, freed on drop.
pub(super) struct Ballast {
    blocks: Vec<Pfn, BLOCKS>,
}

impl Ballast {
    const ORDER: Order = X86_64::MAX_ORDER;

    /// Takes 70 % of what `free` is above `worked` pages.
    pub(super) fn load(free: usize, worked: usize) -> Self {
        let mut ballast = Self { blocks: Vec::new() };
        let wanted = free.saturating_sub(worked) / 10 * 7 / Self::ORDER.pages();
        for number in 0..wanted.min(BLOCKS) {
            // From the upper zones in turn, so that none of them is left empty or full.
            let highest = if number % 2 == 0 { ZoneKind::Normal } else { ZoneKind::Dma32 };
            let request = AllocRequest::unmovable().order(Self::ORDER).highest_zone(highest);
            match pages::allocate(request) {
                Ok(pfn) => ballast.blocks.push(pfn).expect("no more blocks than wanted"),
                Err(_) => break,
            }
        }
        ballast
    }
}

impl Drop for Ballast {
    fn drop(&mut self) {
        for pfn in &self.blocks {
            pages::free(*pfn, Self::ORDER);
        }
    }
}
