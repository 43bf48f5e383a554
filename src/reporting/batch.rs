//! A batch of free page reporting: blocks that are off the free lists while the host is told of
//! them.
//!
//! The blocks are on lists of their zone, and [`buddy::reporting`](crate::buddy) has the states
//! that they go through. The batch itself is the right to move them on: there is one for a zone at
//! a time.

use core::fmt;

use crate::base::{Geometry, PfnRange, Platform, X86_64, ZoneKind};
use crate::page_allocator::PageAllocator;
use crate::reporting::error::ReportError;
use crate::reporting::options::ReportOptions;
use crate::zone::{Zone, ZoneInner};

/// Free blocks of one zone that are off the free lists, so that the host can be told of them.
///
/// 1. [`hand_over`](Self::hand_over) returns one block after the other. The host may discard the
///    contents of a block from then on.
/// 2. When it has acknowledged all of them, [`acknowledged`](Self::acknowledged) puts them back on
///    the free lists, marked as reported. If it will not discard them, [`refused`](Self::refused)
///    puts them back as they were.
///
/// Their pages are not free pages meanwhile, but are counted as being reported
/// ([`ZoneFigures::reporting`](crate::ZoneFigures::reporting)). A block that has not been handed
/// over goes back to the free lists as soon as a request would fail without it, or when its
/// pageblock is isolated. A block that has been handed over stays out until the end of the batch.
///
/// Dropping a batch puts back the blocks that have not been handed over. Those that have stay out
/// for good, with the batch: the host may still discard their contents, at any time. The log says
/// so.
///
/// Each method takes the zone lock once for each block. Any context.
#[must_use = "dropping this puts the blocks back"]
pub struct ReportBatch<'a, 'm, P: Platform, G: Geometry = X86_64> {
    allocator: &'a PageAllocator<'m, P, G>,
    zone: ZoneKind,
}

impl<'a, 'm, P: Platform, G: Geometry> ReportBatch<'a, 'm, P, G> {
    /// Takes a batch from the highest zone that has a block to report. `None` if none has.
    pub(crate) fn take(
        allocator: &'a PageAllocator<'m, P, G>,
        options: ReportOptions,
    ) -> Result<Option<Self>, ReportError> {
        let (order, blocks) = options.checked::<G>()?;
        let desc = allocator.desc();
        if desc.poison.is_on() {
            return Err(ReportError::Poisoned);
        }
        let mut out = None;
        for zone in allocator.zones().iter().rev() {
            let taken = allocator.in_zone(zone, |inner| {
                if inner.buddy.reporting().is_open() {
                    out = out.or(Some(zone.kind()));
                    return false;
                }
                let taken = inner.take_for_report(desc, order);
                if taken {
                    inner.buddy.open_batch();
                }
                taken
            });
            if taken {
                let mut more = 1..blocks;
                while more.next().is_some()
                    && allocator.in_zone(zone, |inner| inner.take_for_report(desc, order))
                {}
                return Ok(Some(Self { allocator, zone: zone.kind() }));
            }
        }
        out.map_or(Ok(None), |zone| Err(ReportError::BatchOut { zone }))
    }

    /// The zone of the blocks.
    #[must_use]
    pub fn zone(&self) -> ZoneKind {
        self.zone
    }

    /// The pages of the batch that are out now, whether they have been handed over or not.
    #[must_use]
    pub fn pages(&self) -> usize {
        self.in_zone(|inner| inner.buddy.counters().reporting())
    }

    /// Hands the next block over. Call it right before the host is told of the block; the host may
    /// discard its contents from now on. `None` if there are no more blocks, or if those that are
    /// left have been taken back.
    pub fn hand_over(&mut self) -> Option<PfnRange> {
        let desc = self.allocator.desc();
        let (pfn, order) = self.in_zone(|inner| inner.buddy.hand_over(desc))?;
        Some(order.block(pfn))
    }

    /// Ends the batch after the host has acknowledged every block that was handed over: it has
    /// discarded their contents, and will not do so again.
    ///
    /// They are free pages again and marked as reported: they are not reported again before they
    /// have been allocated. A block that was not handed over is put back without the mark.
    /// Returns the pages that were handed over.
    pub fn acknowledged(self) -> usize {
        self.end(true)
    }

    /// Ends the batch after the host has refused the blocks that were handed over: it has perhaps
    /// discarded the contents of some, and will not do so from now on.
    ///
    /// All blocks are put back without the mark. Returns the pages that were handed over.
    pub fn refused(self) -> usize {
        self.end(false)
    }

    /// Puts back what was handed over. The drop does the rest.
    fn end(self, acknowledged: bool) -> usize {
        let desc = self.allocator.desc();
        let one = || self.in_zone(|inner| inner.buddy.end_report(desc, acknowledged));
        core::iter::from_fn(one).sum()
    }

    fn in_zone<R>(&self, f: impl FnOnce(&mut ZoneInner<G>) -> R) -> R {
        let zone: &Zone<G> = &self.allocator.zones()[self.zone.index()];
        self.allocator.in_zone(zone, f)
    }
}

impl<P: Platform, G: Geometry> Drop for ReportBatch<'_, '_, P, G> {
    fn drop(&mut self) {
        let desc = self.allocator.desc();
        while self.in_zone(|inner| inner.buddy.take_back_one(desc)).is_some() {}
        let left = self.in_zone(|inner| inner.buddy.close_batch());
        if left > 0 {
            log::error!(
                "the host has not acknowledged {left} blocks of a batch that was dropped: they stay out"
            );
        }
    }
}

impl<P: Platform, G: Geometry> fmt::Debug for ReportBatch<'_, '_, P, G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ReportBatch").field(&self.zone).finish()
    }
}
