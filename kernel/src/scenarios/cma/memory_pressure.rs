//! Memory pressure on a large machine, by allocating memory that is not written.
//!
//! Jobs that filled gigabytes with checked contents would spend the run on filling. So 70 % of the
//! free memory beyond what the jobs use is allocated in blocks of the largest order and left alone.
//! The allocator then gets as short of memory as on a small machine, in every zone.

use pageblock::{AllocRequest, Geometry, X86_64, ZoneKind};

use crate::jobs::block_list::BlockList;

/// Allocates 70 % of the `free` pages above `used_by_jobs`, until the value is dropped.
pub(super) fn apply(free: usize, used_by_jobs: usize) -> BlockList {
    let mut list = BlockList::new(X86_64::MAX_ORDER);
    let blocks = free.saturating_sub(used_by_jobs) / 10 * 7 / X86_64::MAX_ORDER.pages();
    for number in 0..blocks {
        // From both upper zones in turn, so that neither of them stays full or becomes empty.
        let highest = if number % 2 == 0 { ZoneKind::Normal } else { ZoneKind::Dma32 };
        if !list.grow(AllocRequest::unmovable().highest_zone(highest)) {
            break;
        }
    }
    list
}
