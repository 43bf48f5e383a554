//! Finds free pageblocks for a new CMA area.

use crate::base::{FrameKind, FreeKind, Geometry, Pfn, PfnRange, Platform, ZoneKind};
use crate::page_allocator::PageAllocator;
use crate::records::FrameState;

/// The highest run of free pageblocks, of `pages` frames, in one zone at or below `highest_zone`.
/// On failure returns the length of the longest run, in pages. The pageblocks may be allocated
/// before the caller isolates them.
pub(super) fn find_free_run<P: Platform, G: Geometry>(
    allocator: &PageAllocator<'_, P, G>,
    pages: usize,
    highest_zone: ZoneKind,
) -> Result<PfnRange, usize> {
    let mut longest = 0;
    for kind in ZoneKind::ALL[..=highest_zone.index()].iter().rev() {
        let mut left = kind.addresses::<G>();
        // The highest run of frames that have records, then the next lower one.
        while let Some(run) = allocator.desc().frames.extents().runs(left).last() {
            match highest_free(allocator, run, pages) {
                Ok(found) => return Ok(found),
                Err(best) => longest = longest.max(best),
            }
            left = PfnRange::new(left.start(), run.start());
        }
    }
    Err(longest)
}

/// As [`find_free_run`], among the frames of `within`.
fn highest_free<P: Platform, G: Geometry>(
    allocator: &PageAllocator<'_, P, G>,
    within: PfnRange,
    pages: usize,
) -> Result<PfnRange, usize> {
    let mut longest = 0;
    let (mut pfn, mut end) = (within.end(), within.end());
    while pfn > within.start() {
        pfn = Pfn::new(pfn.number() - G::PAGEBLOCK_ORDER.pages());
        if !is_free_pageblock(allocator, pfn) {
            end = pfn;
            continue;
        }
        let run = PfnRange::new(pfn, end);
        longest = longest.max(run.len());
        if run.len() >= pages {
            return Ok(run);
        }
    }
    Err(longest)
}

/// Whether a pageblock is of an ordinary type, not isolated, and all of it free or cached.
fn is_free_pageblock<P: Platform, G: Geometry>(allocator: &PageAllocator<'_, P, G>, start: Pfn) -> bool {
    let desc = allocator.desc();
    match desc.kind(start) {
        FreeKind::Listed(migratetype) if migratetype.is_ordinary() => {}
        FreeKind::Listed(_) | FreeKind::Isolated => return false,
    }
    if allocator.in_zone(allocator.zone_of(start), |inner| inner.buddy.deferred().containing(start).is_some())
    {
        return true;
    }
    let is_free = |state: FrameState| matches!(state.kind(), FrameKind::Free | FrameKind::Cached);
    let mut blocks = desc.frames.blocks(G::PAGEBLOCK_ORDER.block(start), G::MAX_ORDER);
    blocks.all(|found| found.block.is_some_and(|(_, state)| is_free(state)))
}
