//! Finds a place for a contiguous range and allocates it there (`alloc_contig_pages` in Linux).
//!
//! This is for device buffers that are larger than the largest block, or that must be below an
//! address that the device can reach. Where contiguous memory is needed often, a [CMA
//! area](crate::CmaArea) is faster and fails less often, because all other pages in it are movable.

use crate::base::{Geometry, Migrate, Order, PAGE_SIZE, Pfn, PfnRange, Platform, RangeError, ZoneKind};
use crate::contig::contig_range::ContigRange;
use crate::contig::error::ContigError;
use crate::contig::options::ContigOptions;
use crate::contig::survey::{Survey, behind};
use crate::isolation::IsolateError;
use crate::page_allocator::PageAllocator;

/// Where a contiguous range may be. [`Default`] is [`anywhere`](Self::anywhere).
///
/// For a buffer whose size, alignment and limit are in bytes there is one call,
/// [`PageAllocator::alloc_dma`].
///
/// ```
/// use pageblock::{ContigPlace, Order, Pfn};
///
/// // A device with 30 address bits whose ring must be at a multiple of 64 KiB.
/// let ring = ContigPlace::anywhere().aligned(Order::new(4)).below(Pfn::containing(1 << 30));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ContigPlace {
    align: Order,
    below: Pfn,
}

impl Default for ContigPlace {
    fn default() -> Self {
        Self::anywhere()
    }
}

impl ContigPlace {
    /// At any frame, of any zone.
    #[must_use]
    pub const fn anywhere() -> Self {
        Self { align: Order::ZERO, below: Pfn::new(usize::MAX) }
    }

    /// The place of a buffer that must end at or below the physical address `below` and start at a
    /// multiple of `align` bytes, a power of two.
    pub(crate) const fn of_bytes(below: u64, align: u64) -> Result<Self, ContigError> {
        if !align.is_power_of_two() {
            return Err(ContigError::BadAlignment { bytes: align });
        }
        let align = Order::covering(align.div_ceil(PAGE_SIZE) as usize);
        Ok(Self { align, below: Pfn::containing(below) })
    }

    /// The range must start at a multiple of 2ⁿ frames, but may be shorter. Default: at any frame.
    /// Above order 40 the allocation fails with
    /// [`ContigError::AlignTooLarge`](crate::ContigError::AlignTooLarge).
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
    if place.align > Order::MAX_ALIGN {
        return Err(ContigError::AlignTooLarge { align: place.align, max: Order::MAX_ALIGN });
    }
    let highest = ZoneKind::of::<G>(Pfn::new(place.below.number().saturating_sub(1)));
    let options = options.one_of_many().highest_zone(highest);
    let mut last = ContigError::NoPlace { pages };
    for zone in allocator.zones().iter().rev().filter(|zone| zone.published().managed() > 0) {
        let below = zone.addresses().intersection(PfnRange::new(Pfn::new(0), place.below));
        let mut survey = Survey::new(allocator, zone, true);
        'zone: for window in allocator.desc().frames.extents().runs(below) {
            let mut start = place.align.align_up(window.start());
            while window.end().offset_from(start) >= pages {
                let range = PfnRange::with_len(start, pages);
                let next = match survey.last_obstacle(range) {
                    Some(blocked) => blocked.frames.end(),
                    None => {
                        last = match ContigRange::alloc(allocator, range, migrate, options) {
                            Ok(allocated) => return Ok(allocated),
                            Err(error) => error,
                        };
                        match (behind(allocator, &last), last) {
                            (Some(next), _) => next,
                            // A place in a lower zone may help.
                            (None, ContigError::BelowMark { .. }) => break 'zone,
                            (None, _) => return Err(last),
                        }
                    }
                };
                start = place.align.align_up(next.max(start.up(1)));
            }
        }
    }
    Err(last)
}
