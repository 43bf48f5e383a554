//! Contiguous ranges anywhere: finds the place that [`contig`](crate::contig) needs to be told.
//!
//! For buffers of devices that are larger than the largest block, or that the device must reach: so many frames, at an
//! alignment, below an address. `alloc_contig_pages`. Where contiguous memory is needed often, a
//! [CMA area](crate::CmaArea) finds it faster and more surely: its neighbours can always be asked to move.

use crate::contig::{ContigOptions, ContigRange, ContigStats};
use crate::error::{ContigError, IsolateError, RangeError};
use crate::geometry::Geometry;
use crate::migrate::Migrate;
use crate::migratetype::MigrateType;
use crate::order::Order;
use crate::page_allocator::PageAllocator;
use crate::pageblock::Pageblock;
use crate::pfn::{Pfn, PfnRange};
use crate::platform::Platform;

/// Where a contiguous range may lie. The default is anywhere.
///
/// ```
/// use pageblock::{ContigPlace, Order, Pfn};
///
/// // A device with 30 address bits that wants its ring at a multiple of 64 KiB.
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
    /// The range starts at a multiple of 2ⁿ frames. It may be shorter than that. Default: at any frame.
    #[must_use]
    pub const fn aligned(self, align: Order) -> Self {
        Self { align, ..self }
    }

    /// Every frame of the range lies below this one, which is the first that the device cannot reach. Default: any frame.
    #[must_use]
    pub const fn below(self, limit: Pfn) -> Self {
        Self { below: limit, ..self }
    }
}

impl<'m, P: Platform, G: Geometry> PageAllocator<'m, P, G> {
    /// Allocates `pages` frames in a row, wherever `place` allows: in the highest zone that has such a range, at its
    /// lowest address there. Movable pages in the way are moved by `migrate`; CMA areas are left to their users.
    ///
    /// Any CPU, several at a time; not from interrupt handlers. Takes time in proportion to the frames that it looks at, in the
    /// worst case all below the limit. No more than a pageblock's frames are looked at with a lock held.
    ///
    /// # Errors
    ///
    /// [`ContigError::NoPlace`] if no range of that length is free of unmovable pages; else the error of the
    /// last range that was tried.
    pub fn alloc_contig_pages(
        &self,
        pages: usize,
        place: ContigPlace,
        migrate: &impl Migrate,
        options: ContigOptions,
    ) -> Result<ContigRange<'_, 'm, P, G>, ContigError> {
        if pages == 0 {
            let range = PfnRange::with_len(Pfn::new(0), 0);
            return Err(IsolateError::Range(RangeError::Empty { range }).into());
        }
        let mut last = ContigError::NoPlace { pages };
        for zone in self.zones().iter().rev().filter(|zone| zone.published().managed() > 0) {
            let window = zone.span().intersection(PfnRange::new(Pfn::new(0), place.below));
            let mut start = place.align.align_up(window.start());
            while window.end().above(start) >= pages {
                let range = PfnRange::with_len(start, pages);
                let next = match self.first_obstacle(range) {
                    Some(obstacle) => obstacle,
                    None => {
                        let mut stats = ContigStats::default();
                        match self.take_contig(range, migrate, options, &mut stats) {
                            Ok(()) => return Ok(ContigRange::taken(self, range)),
                            Err(error) => last = error,
                        }
                        match last {
                            ContigError::Busy { pfn, .. } => pfn,
                            ContigError::Isolate(IsolateError::Unmovable { pfn, .. }) => pfn,
                            ContigError::Isolate(IsolateError::Overlap { with, .. }) => {
                                Pfn::new(with.end().number() - 1)
                            }
                            // Elsewhere it would be no better.
                            _ => return Err(last),
                        }
                    }
                };
                let next = place.align.align_up(next.max(start).up(1));
                if next <= start {
                    break; // an alignment beyond any address
                }
                start = next;
            }
        }
        Err(last)
    }

    /// A frame that a contiguous range cannot include as things are: the next range to look at starts above it.
    fn first_obstacle(&self, range: PfnRange) -> Option<Pfn> {
        let of_an_area = Pageblock::covering::<G>(range)
            .filter(|block| self.mem().blocks.state(block.start()).migratetype == MigrateType::Cma)
            .last();
        match of_an_area {
            Some(block) => Some(Pfn::new(block.frames::<G>().end().number() - 1)),
            None => self.find_unmovable(range).map(|blocked| blocked.pfn),
        }
    }
}
