//! The watermark of a contiguous allocation: the free pages that its zone must keep.

use crate::base::{Depth, FrameKind, FreeKind, Geometry, Pageblock, Pfn, PfnRange, Platform};
use crate::contig::error::ContigError;
use crate::contig::options::ContigOptions;
use crate::page_allocator::PageAllocator;
use crate::records::Descriptors;

/// Checks that the zone of `range`, which is isolated, keeps as many free pages as it must. The
/// pages of the range have left the free count, so that what is allocated from here on, for pages
/// that migrate out of it, is checked with them taken.
pub(super) fn check_mark<P: Platform, G: Geometry>(
    allocator: &PageAllocator<'_, P, G>,
    range: PfnRange,
    options: ContigOptions,
) -> Result<(), ContigError> {
    let zone = allocator.zone_of(range.start());
    let (depth, highest) = (options.depth, options.highest_zone.unwrap_or(zone.kind()));
    let check = || {
        allocator.in_zone(zone, |inner| {
            let returning = isolated_beside(allocator.desc(), range);
            inner.below_floor(depth, highest, returning)
        })
    };
    let mut below = check();
    if below.is_some() && depth != Depth::Atomic {
        // What is on pcplists is not counted as free.
        allocator.drain_all();
        below = check();
    }
    match below {
        None => Ok(()),
        Some((left, floor)) => Err(ContigError::BelowMark { zone: zone.kind(), left, floor }),
    }
}

/// The free pages that are isolated with `range` because they are in its first or last pageblock,
/// and that are free pages again when the isolation ends: not those of a pageblock that another
/// isolation keeps isolated. The zone must be locked.
fn isolated_beside<G: Geometry>(desc: &Descriptors<'_, G>, range: PfnRange) -> usize {
    let (first, last) = (range.start(), Pfn::new(range.end().number() - 1));
    let (first, last) = (Pageblock::of::<G>(first), Pageblock::of::<G>(last));
    let ends = [first, last].into_iter().take(if first == last { 1 } else { 2 });
    let mut pages = 0;
    for pageblock in ends.filter(|end| desc.pageblocks.state(end.start()).migratetype.is_ordinary()) {
        let frames = pageblock.range::<G>();
        if desc.isolated.count(frames) > frames.intersection(range).len() {
            continue;
        }
        let mut pfn = frames.start();
        while pfn < frames.end() {
            let state = desc.frames.state(pfn);
            let block = PfnRange::with_len(pfn, state.pages());
            if state.is(FrameKind::Free) && state.free_kind() == FreeKind::Isolated {
                pages += block.len() - block.intersection(range).len();
            }
            pfn = block.end();
        }
    }
    pages
}
