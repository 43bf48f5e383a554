//! Finds a place for a contiguous range and allocates it there (`alloc_contig_pages` in Linux).
//!
//! This is for device buffers that are larger than the largest block, or that must be below an
//! address that the device can reach. Where contiguous memory is needed often, a [CMA
//! area](crate::CmaArea) is faster and fails less often, because all other pages in it are movable.

use crate::base::{Geometry, Migrate, MigrateType, Order, Pageblock, Pfn, PfnRange, Platform, RangeError};
use crate::contig::contig_range::ContigRange;
use crate::contig::error::ContigError;
use crate::contig::evacuate::ContigOptions;
use crate::isolation::{IsolateError, find_unmovable};
use crate::page_allocator::PageAllocator;
use crate::records::Descriptors;

/// Where a contiguous range may be. Default: anywhere.
///
/// ```
/// use pageblock::{ContigPlace, Order, Pfn};
///
/// // A device with 30 address bits whose ring must be at a multiple of 64 KiB.
/// let ring = ContigPlace::default().aligned(Order::new(4)).below(Pfn::containing(1 << 30));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ContigPlace {
    align: Order,
    below: Pfn,
}

impl Default for ContigPlace {
    fn default() -> Self {
        Self { align: Order::ZERO, below: Pfn::new(usize::MAX) }
    }
}

impl ContigPlace {
    /// The range must start at a multiple of 2ⁿ frames, but may be shorter. Default: at any frame.
    #[must_use]
    pub const fn aligned(self, align: Order) -> Self {
        Self { align, ..self }
    }

    /// The range must end at or below this frame, the first that the device cannot reach.
    #[must_use]
    pub const fn below(self, limit: Pfn) -> Self {
        Self { below: limit, ..self }
    }
}

/// Allocates `pages` contiguous frames, as low as possible in the highest zone that has them.
pub(crate) fn alloc_anywhere<'a, 'm, P: Platform, G: Geometry>(
    allocator: &'a PageAllocator<'m, P, G>,
    pages: usize,
    place: ContigPlace,
    migrate: &impl Migrate,
    options: ContigOptions,
) -> Result<ContigRange<'a, 'm, P, G>, ContigError> {
    if pages == 0 {
        let range = PfnRange::with_len(Pfn::new(0), 0);
        return Err(IsolateError::Range(RangeError::Empty { range }).into());
    }
    let mut last = ContigError::NoPlace { pages };
    for zone in allocator.zones().iter().rev().filter(|zone| zone.published().managed() > 0) {
        let window = zone.span().intersection(PfnRange::new(Pfn::new(0), place.below));
        let mut start = place.align.align_up(window.start());
        while window.end().offset_from(start) >= pages {
            let range = PfnRange::with_len(start, pages);
            let obstacle = match first_obstacle(allocator.desc(), range) {
                Some(obstacle) => obstacle,
                None => {
                    match ContigRange::alloc(allocator, range, migrate, options) {
                        Ok(allocated) => return Ok(allocated),
                        Err(error) => last = error,
                    }
                    match last {
                        ContigError::Busy { pfn, .. } => pfn,
                        ContigError::Isolate(IsolateError::Unmovable { pfn, .. }) => pfn,
                        ContigError::Isolate(IsolateError::Overlap { with, .. }) => {
                            Pfn::new(with.end().number() - 1)
                        }
                        // The error does not depend on the place.
                        _ => return Err(last),
                    }
                }
            };
            let next = place.align.align_up(obstacle.max(start).up(1));
            if next <= start {
                break; // the alignment is larger than any address
            }
            start = next;
        }
    }
    Err(last)
}

/// A frame that a contiguous range cannot include now. The next range to try starts above it.
fn first_obstacle<G: Geometry>(desc: &Descriptors<'_, G>, range: PfnRange) -> Option<Pfn> {
    let in_cma_area = Pageblock::covering::<G>(range)
        .filter(|block| desc.pageblocks.state(block.start()).migratetype == MigrateType::Cma)
        .last();
    match in_cma_area {
        Some(block) => Some(Pfn::new(block.range::<G>().end().number() - 1)),
        None => find_unmovable(desc, range).map(|not_free| not_free.pfn),
    }
}
