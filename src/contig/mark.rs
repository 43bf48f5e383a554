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

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::isolated_beside;
    use crate::base::{AllocRequest, Order, PfnRange};
    use crate::page_allocator::Tuning;
    use crate::page_allocator::testing::{Bare, machine};

    #[test]
    fn every_free_page_beside_a_range_in_its_pageblocks_comes_back() {
        let (machine, order) = (machine(Bare, 16 << 20, Tuning::default()), Order::new(10));
        let start = machine.alloc_pages(AllocRequest::movable().order(order)).unwrap();
        machine.split_pages(start, order, Order::ZERO).unwrap();
        // In both pageblocks every third page, and, from the middle on, all: blocks of many orders.
        for page in (0..1024).filter(|page| page % 3 == 0 || page % 512 > 200) {
            machine.free_pages(start.up(page), Order::ZERO).unwrap();
        }
        machine.drain_all();
        let is_free = |page: &usize| page.is_multiple_of(3) || page % 512 > 200;
        for (from, to) in [(0, 1), (511, 512), (3, 500), (100, 600), (511, 513), (0, 1024), (700, 1024)] {
            let range = PfnRange::new(start.up(from), start.up(to));
            let isolated = machine.isolate(range).unwrap();
            let pageblocks = from / 512 * 512..to.next_multiple_of(512);
            let beside = pageblocks.filter(|page| !(from..to).contains(page)).filter(is_free).count();
            let found = machine.in_zone(&machine.zones()[2], |_| isolated_beside(machine.desc(), range));
            assert_eq!(found, beside, "{from} to {to}");
            drop(isolated);
        }
    }
}
