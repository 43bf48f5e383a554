//! The pageblocks of the machine: an iterator that looks at one in each lock hold.

use core::fmt;

use crate::base::{FrameKind, Geometry, MigrateType, Pageblock, Pfn, PfnRange, Platform, X86_64};
use crate::page_allocator::PageAllocator;
use crate::records::{Found, FrameState, Isolation};
use crate::zone::ZoneInner;

/// A pageblock, as [`PageAllocator::pageblocks`](crate::PageAllocator::pageblocks) finds it. All of
/// it is of one moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct PageblockInfo {
    /// Its frames.
    pub range: PfnRange,
    /// Its migratetype, which it has also while it is isolated.
    pub migratetype: MigrateType,
    /// Whether it is isolated: its free pages are then isolated pages, and not counted as free.
    pub isolated: bool,
    /// Its frames of memory that the allocator was given; the others are holes or reserved.
    pub present: usize,
    /// Its pages on free lists, isolated ones included.
    pub free: usize,
    /// Its pages on pcplists.
    pub cached: usize,
    /// Its allocated pages, those of contiguous allocations included.
    pub allocated: usize,
    /// Its pages that are being reported to the host.
    pub reporting: usize,
}

/// An iterator over the pageblocks that have memory, in ascending order.
///
/// See [`PageAllocator::pageblocks`](crate::PageAllocator::pageblocks).
pub struct Pageblocks<'a, 'm, P: Platform, G: Geometry = X86_64> {
    allocator: &'a PageAllocator<'m, P, G>,
    next: Pfn,
}

impl<'a, 'm, P: Platform, G: Geometry> Pageblocks<'a, 'm, P, G> {
    pub(crate) fn new(allocator: &'a PageAllocator<'m, P, G>) -> Self {
        Self { allocator, next: Pfn::new(0) }
    }
}

impl<P: Platform, G: Geometry> Iterator for Pageblocks<'_, '_, P, G> {
    type Item = PageblockInfo;

    fn next(&mut self) -> Option<PageblockInfo> {
        let extents = self.allocator.desc().frames.extents();
        while let Some(run) = extents.runs(PfnRange::new(self.next, Pfn::new(usize::MAX))).next() {
            let pageblock = Pageblock::of::<G>(run.start());
            self.next = pageblock.range::<G>().end();
            let zone = self.allocator.zone_of(pageblock.start());
            let info = self.allocator.in_zone(zone, |inner| look_at(self.allocator, inner, pageblock));
            if info.present > 0 {
                return Some(info);
            }
        }
        None
    }
}

impl<P: Platform, G: Geometry> fmt::Debug for Pageblocks<'_, '_, P, G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pageblocks").field("next", &self.next).finish_non_exhaustive()
    }
}

/// Walks the blocks of a pageblock. The zone is locked, so that no block is split or merged.
fn look_at<P: Platform, G: Geometry>(
    allocator: &PageAllocator<'_, P, G>,
    inner: &ZoneInner<G>,
    pageblock: Pageblock,
) -> PageblockInfo {
    let desc = allocator.desc();
    let (range, state) = (pageblock.range::<G>(), desc.pageblocks.state(pageblock.start()));
    let mut info = PageblockInfo {
        range,
        migratetype: state.migratetype,
        isolated: state.isolation != Isolation::None,
        present: 0,
        free: 0,
        cached: 0,
        allocated: 0,
        reporting: 0,
    };
    let mut pages = [0; FrameState::KINDS];
    let mut blocks = desc.frames.blocks(range, G::MAX_ORDER);
    loop {
        // All but the first block are as large as they are here.
        blocks.pass_over(|state| {
            let known = state.is_head();
            pages[state.kind_number()] += if known { state.pages_of_head() } else { 0 };
            known
        });
        let Some(Found { pfn, block }) = blocks.next() else { break };
        // The block may be larger than the pageblock. A frame in no block is deferred, that is,
        // free, or no memory.
        let (end, state) = match block {
            Some((head, state)) => (state.order().block(head).end(), state),
            None => match inner.buddy.deferred().containing(pfn) {
                Some(deferred) => (deferred.end(), FrameState::free(G::MAX_ORDER, desc.kind(pfn))),
                None => (pfn.up(1), FrameState::HOLE),
            },
        };
        pages[state.kind_number()] += end.min(range.end()).offset_from(pfn);
        if block.is_none() {
            blocks.skip_to(end);
        }
    }
    for (number, pages) in pages.into_iter().enumerate() {
        let kind = FrameState::from_bits(number as u32).kind();
        info.present += if kind == FrameKind::Hole { 0 } else { pages };
        match kind {
            FrameKind::Free => info.free += pages,
            FrameKind::Cached => info.cached += pages,
            FrameKind::Allocated | FrameKind::Contig => info.allocated += pages,
            FrameKind::Reporting => info.reporting += pages,
            _ => {}
        }
    }
    info
}
