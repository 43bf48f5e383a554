//! The allocated blocks: an iterator that walks the frames in bounded lock holds.
//!
//! A walk of all frames in one lock hold, as [`verify`](crate::PageAllocator::verify) does it, is
//! exact but stops every CPU. The iterator locks a zone for the frames of at most one pageblock,
//! and copies what it finds to a small buffer of its own. No lock is held while its user works, so
//! that the user may call the allocator.

use core::fmt;

use crate::base::{FrameKind, Geometry, Mobility, Order, Pageblock, Pfn, PfnRange, Platform, Site, X86_64};
use crate::page_allocator::PageAllocator;
use crate::records::{Found, FrameState, Migration};
use crate::zone::ZoneInner;

/// How an allocated block is in use.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum AllocatedState {
    /// By its owner: a block of [`alloc_pages`](crate::PageAllocator::alloc_pages) or of a handle.
    InUse,
    /// By its owner, while it is being migrated: as the source, or as the target.
    Migrating,
    /// As a part of a contiguous allocation.
    Contig,
    /// As a part of a contiguous allocation from a CMA area.
    Cma,
}

impl fmt::Display for AllocatedState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::InUse => "in use",
            Self::Migrating => "migrating",
            Self::Contig => "contiguous",
            Self::Cma => "of a CMA area",
        })
    }
}

/// An allocated block, as
/// [`PageAllocator::allocated_blocks`](crate::PageAllocator::allocated_blocks) finds it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct AllocatedBlock {
    /// The first frame.
    pub pfn: Pfn,
    /// The order. A contiguous allocation consists of one or more blocks.
    pub order: Order,
    /// The mobility of the request; `None` for a contiguous allocation, which has none.
    pub mobility: Option<Mobility>,
    /// The owner word; 0 if it has none.
    pub owner: u64,
    /// How it is in use.
    pub state: AllocatedState,
    /// Where in the source it was allocated; unknown without the feature `page_owner`.
    pub site: Site,
}

impl AllocatedBlock {
    /// The frames of the block.
    #[must_use]
    pub const fn range(&self) -> PfnRange {
        self.order.block(self.pfn)
    }

    /// The number of frames of the block.
    #[must_use]
    pub const fn pages(&self) -> usize {
        self.order.pages()
    }
}

impl fmt::Display for AllocatedBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}, {}", self.pfn, self.order, self.state)?;
        if let Some(mobility) = self.mobility {
            write!(f, ", {mobility}")?;
        }
        write!(f, ", owner {:#x}", self.owner)?;
        self.site.location().map_or(Ok(()), |location| write!(f, ", allocated at {location}"))
    }
}

/// The most blocks that are copied in one lock hold.
const BATCH: usize = 32;

/// An iterator over the allocated blocks, in ascending order.
///
/// See [`PageAllocator::allocated_blocks`](crate::PageAllocator::allocated_blocks).
pub struct AllocatedBlocks<'a, 'm, P: Platform, G: Geometry = X86_64> {
    allocator: &'a PageAllocator<'m, P, G>,
    /// The index of the zone that is walked.
    zone: usize,
    /// Frames below this have been walked.
    next: Pfn,
    batch: [Option<AllocatedBlock>; BATCH],
    /// The blocks of the batch that have been returned.
    returned: usize,
}

impl<'a, 'm, P: Platform, G: Geometry> AllocatedBlocks<'a, 'm, P, G> {
    pub(crate) fn new(allocator: &'a PageAllocator<'m, P, G>) -> Self {
        Self { allocator, zone: 0, next: Pfn::new(0), batch: [None; BATCH], returned: BATCH }
    }

    /// Walks on in one lock hold. Returns false at the end of memory.
    fn walk(&mut self) -> bool {
        let Some(zone) = self.allocator.zones().get(self.zone) else {
            return false;
        };
        let extents = self.allocator.desc().frames.extents();
        let rest = PfnRange::new(self.next, Pfn::new(usize::MAX)).intersection(zone.addresses());
        let Some(run) = extents.runs(rest).next() else {
            self.zone += 1;
            return true;
        };
        self.batch = [None; BATCH];
        self.returned = 0;
        let (allocator, batch) = (self.allocator, &mut self.batch);
        self.next = allocator.in_zone(zone, |inner| walk_part(allocator, inner, run, batch));
        true
    }
}

impl<P: Platform, G: Geometry> Iterator for AllocatedBlocks<'_, '_, P, G> {
    type Item = AllocatedBlock;

    fn next(&mut self) -> Option<AllocatedBlock> {
        loop {
            if let Some(block) = self.batch.get(self.returned).copied().flatten() {
                self.returned += 1;
                return Some(block);
            }
            if !self.walk() {
                return None;
            }
        }
    }
}

impl<P: Platform, G: Geometry> fmt::Debug for AllocatedBlocks<'_, '_, P, G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AllocatedBlocks").field("next", &self.next).finish_non_exhaustive()
    }
}

/// Copies the allocated blocks from the start of `run`, whose frames have records, up to the end of
/// the pageblock or of the batch.
/// Returns the first frame that was not walked.
fn walk_part<P: Platform, G: Geometry>(
    allocator: &PageAllocator<'_, P, G>,
    inner: &ZoneInner<G>,
    run: PfnRange,
    batch: &mut [Option<AllocatedBlock>],
) -> Pfn {
    let frames = &allocator.desc().frames;
    let end = Pageblock::of::<G>(run.start()).range::<G>().end().min(run.end());
    let mut blocks = frames.blocks(PfnRange::new(run.start(), end), G::MAX_ORDER);
    let (mut walked, mut batch) = (end, batch.iter_mut());
    while let Some(Found { pfn, block }) = blocks.next() {
        match block {
            None => {
                let deferred = inner.buddy.deferred().containing(pfn);
                walked = deferred.map_or(pfn.up(1), PfnRange::end);
                blocks.skip_to(walked);
            }
            Some((head, state)) => {
                walked = state.order().block(head).end();
                // If the head is below, the block was allocated or merged since the last lock hold,
                // and its lower frames have been walked.
                if head == pfn
                    && let Some(block) = describe(allocator, pfn, state)
                {
                    let Some(place) = batch.next() else {
                        return pfn;
                    };
                    *place = Some(block);
                }
            }
        }
    }
    walked
}

/// The block at `pfn`, which is a head in this state; `None` if it is not allocated.
fn describe<P: Platform, G: Geometry>(
    allocator: &PageAllocator<'_, P, G>,
    pfn: Pfn,
    state: FrameState,
) -> Option<AllocatedBlock> {
    let (use_of, mobility) = match state.kind() {
        FrameKind::Allocated if state.migration() == Migration::None => {
            (AllocatedState::InUse, Some(state.mobility()))
        }
        FrameKind::Allocated => (AllocatedState::Migrating, Some(state.mobility())),
        FrameKind::Contig if state.is_of_area() => (AllocatedState::Cma, None),
        FrameKind::Contig => (AllocatedState::Contig, None),
        _ => return None,
    };
    let (owner, site) = (allocator.desc().frames.owner(pfn), allocator.desc().site(pfn));
    Some(AllocatedBlock { pfn, order: state.order(), mobility, owner, state: use_of, site })
}
