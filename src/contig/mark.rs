//! The watermark of a contiguous allocation: the free pages that its zone must keep.

use crate::base::{Depth, FrameKind, FreeKind, Geometry, Order, Pageblock, Pfn, PfnRange, Platform};
use crate::contig::error::ContigError;
use crate::contig::options::ContigOptions;
use crate::page_allocator::PageAllocator;
use crate::records::{Descriptors, Found, FrameState};

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
        // The parts of the pageblock below and above the range.
        let below = PfnRange::new(frames.start(), frames.end().min(range.start()));
        let above = PfnRange::new(frames.start().max(range.end()), frames.end());
        pages += [below, above].into_iter().map(|part| isolated_in(desc, part)).sum::<usize>();
    }
    pages
}

/// The free pages of `range` that are on isolated lists.
fn isolated_in<G: Geometry>(desc: &Descriptors<'_, G>, range: PfnRange) -> usize {
    let isolated = |state: FrameState| state.is(FrameKind::Free) && state.free_kind() == FreeKind::Isolated;
    let (mut pages, mut blocks) = (0, desc.frames.blocks(range, G::MAX_ORDER));
    while let Some(Found { pfn, block }) = blocks.next() {
        let Some((head, state)) = block else { continue };
        if isolated(state) {
            pages += state.order().block(head).end().min(range.end()).offset_from(pfn);
        }
        // Single pages, of which there may be many, in a loop of their own.
        blocks.pass_over(|state| {
            let single = state.is_head() && state.order() == Order::ZERO;
            pages += usize::from(single && isolated(state));
            single
        });
    }
    pages
}
