//! The handle of a contiguous allocation, and how contiguous allocations are freed.

use core::{fmt, mem};

use crate::base::{
    FrameKind, Geometry, Migrate, Pageblock, PfnRange, Platform, RangeError, TraceEvent, X86_64,
    aligned_blocks,
};
use crate::buddy::{FreeBlock, Taken};
use crate::contig::error::ContigError;
use crate::contig::evacuate::{ContigStats, take};
use crate::contig::options::ContigOptions;
use crate::page_allocator::{FreeError, PageAllocator};
use crate::records::{Descriptors, FrameState};
use crate::zone::ZoneInner;

/// A contiguous range of frames that is freed when this is dropped, in any context.
#[must_use = "dropping this frees the range"]
pub struct ContigRange<'a, 'm, P: Platform, G: Geometry = X86_64> {
    allocator: &'a PageAllocator<'m, P, G>,
    range: PfnRange,
}

impl<'a, 'm, P: Platform, G: Geometry> ContigRange<'a, 'm, P, G> {
    pub(crate) fn alloc(
        allocator: &'a PageAllocator<'m, P, G>,
        range: PfnRange,
        migrate: &impl Migrate,
        options: ContigOptions,
    ) -> Result<Self, ContigError> {
        take(allocator, range, migrate, options, &mut ContigStats::default(), Taken::Contig)?;
        Ok(Self { allocator, range })
    }

    /// The frames of the range.
    #[must_use]
    pub fn range(&self) -> PfnRange {
        self.range
    }

    /// The physical address of the first byte.
    #[must_use]
    pub fn start_address(&self) -> u64 {
        self.range.start_address()
    }

    /// Ends the handle. The caller must free the frames with [`PageAllocator::free_range`] or
    /// [`PageAllocator::free_contig`].
    #[must_use = "the caller must free the range"]
    pub fn into_raw(self) -> PfnRange {
        let range = self.range;
        mem::forget(self);
        range
    }
}

/// Frees a contiguous allocation or a part of one. `of_area`: whether a CMA area frees it.
pub(crate) fn free_contig<P: Platform, G: Geometry>(
    allocator: &PageAllocator<'_, P, G>,
    range: PfnRange,
    of_area: bool,
) -> Result<(), FreeError> {
    free_unless_refused(allocator, range, of_area).map_err(|error| allocator.count_refused(error))
}

fn free_unless_refused<P: Platform, G: Geometry>(
    allocator: &PageAllocator<'_, P, G>,
    range: PfnRange,
    of_area: bool,
) -> Result<(), FreeError> {
    let desc = allocator.desc();
    let zone = allocator.zone_of_span(range).map_err(|error| match error {
        RangeError::Foreign { pfn } => FreeError::Foreign { pfn },
        _ => FreeError::BadRange { range },
    })?;
    // The whole range is checked before any of it is freed. No lock is needed for that, because the
    // caller owns the range. If it does not, because another CPU frees the range now, the check of
    // each part in its lock hold finds that.
    check_contig(desc, range, of_area)?;
    for part in Pageblock::parts::<G>(range) {
        allocator.in_zone(zone, |inner| {
            check_contig(desc, part, of_area)?;
            desc.trace.emit(|| TraceEvent::ContigFree { range: part });
            free_part(desc, inner, part);
            inner.buddy.events_mut().contig_free_pages += part.len() as u64;
            Ok(())
        })?;
    }
    Ok(())
}

/// Checks that every frame of `range` is part of a contiguous allocation: all of them of CMA areas,
/// or none.
fn check_contig<G: Geometry>(
    desc: &Descriptors<'_, G>,
    range: PfnRange,
    of_area: bool,
) -> Result<(), FreeError> {
    for found in desc.frames.blocks(range, G::MAX_ORDER) {
        let (pfn, (_, state)) = (found.pfn, found.head(&desc.frames));
        if !state.is(FrameKind::Contig) {
            return Err(FreeError::NotContig { pfn, kind: state.kind() });
        }
        if state.is_pinned() {
            return Err(FreeError::Pinned { pfn });
        }
        if state.is_of_area() && !of_area {
            return Err(FreeError::OfCmaArea { pfn });
        }
        if !state.is_of_area() && of_area {
            return Err(FreeError::Contig { pfn });
        }
    }
    Ok(())
}

/// Frees the frames of `range`, all of which are part of contiguous allocations. The frames of
/// their blocks that are outside `range` stay allocated, as new blocks with the same owner word
/// and site.
fn free_part<G: Geometry>(desc: &Descriptors<'_, G>, inner: &mut ZoneInner<G>, range: PfnRange) {
    let mut pfn = range.start();
    while pfn < range.end()
        && let Some((head, state)) = desc.frames.head_of(pfn, G::MAX_ORDER)
    {
        let block = state.order().block(head);
        let (owner, site) = (desc.frames.owner(head), desc.site(head));
        desc.sites.mark_old(desc.frames.index_of(head));
        let below = PfnRange::new(block.start(), range.start());
        let above = PfnRange::new(range.end().max(block.start()), block.end());
        for (pfn, order) in [below, above].into_iter().flat_map(|rest| aligned_blocks(rest, G::MAX_ORDER)) {
            let rest = if state.is_of_area() {
                FrameState::contig_of_area(order)
            } else {
                FrameState::contig(order)
            };
            let rest = if state.has_bad() { desc.frames.with_marks(pfn, rest) } else { rest };
            let index = desc.frames.index_of(pfn);
            desc.sites.set(index, site);
            desc.frames.set_allocated(index, rest, owner);
        }
        let freed = block.intersection(range);
        if state.has_bad() {
            if freed.contains(head) {
                desc.frames.set_state(head, state.as_tail());
            }
            inner.buddy.free_except_bad(desc, freed);
        } else {
            desc.poison.fill(freed);
            for (pfn, order) in aligned_blocks(freed, G::MAX_ORDER) {
                desc.frames.set_state(pfn, FrameState::TAIL);
                inner.buddy.free(desc, FreeBlock::from_owner(pfn, order));
            }
        }
        pfn = block.end();
    }
}

impl<P: Platform, G: Geometry> Drop for ContigRange<'_, '_, P, G> {
    fn drop(&mut self) {
        self.allocator.log_refused_free(self.range.start(), free_contig(self.allocator, self.range, false));
    }
}

impl<P: Platform, G: Geometry> fmt::Debug for ContigRange<'_, '_, P, G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ContigRange").field(&self.range).finish()
    }
}
