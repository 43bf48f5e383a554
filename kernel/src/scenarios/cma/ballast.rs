//! Memory that a large machine has in use without anybody working on it.
//!
//! To fill gigabytes with checked contents would make the run measure the filling. Free memory beyond
//! what the jobs can work on is therefore taken in the largest blocks, to 70 %, and left alone: the
//! allocator gets as short of memory as on a small machine, in every zone. Neighbour:
//! [`hoard`](crate::jobs::hoard).

use pageblock::{AllocRequest, Geometry, X86_64, ZoneKind};

use crate::jobs::hoard::Hoard;

/// Takes 70 % of what `free` is above `worked` pages, until the value is dropped.
pub(super) fn load(free: usize, worked: usize) -> Hoard {
    let mut ballast = Hoard::new(X86_64::MAX_ORDER);
    let blocks = free.saturating_sub(worked) / 10 * 7 / X86_64::MAX_ORDER.pages();
    for number in 0..blocks {
        // From the upper zones in turn, so that none of them is left empty or full.
        let highest = if number % 2 == 0 { ZoneKind::Normal } else { ZoneKind::Dma32 };
        if !ballast.grow(AllocRequest::unmovable().highest_zone(highest)) {
            break;
        }
    }
    ballast
}
