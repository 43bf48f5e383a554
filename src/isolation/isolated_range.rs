//! The isolation protocol: isolate a range, test that it is free, take it.
//!
//! Each step needs the result of the one before:
//!
//! 1. [`PageAllocator::isolate`] returns an [`IsolatedRange`]. All pageblocks that overlap the
//!    range are isolated and drained from the pcplists. Dropping the value undoes that.
//! 2. [`IsolatedRange::test`] checks that every frame of the range is free and isolated, and
//!    returns a [`FreeRange`], which borrows the isolation.
//! 3. Only a [`FreeRange`] can be taken: as a contiguous allocation, or offline.
//!
//! The frames of a [`FreeRange`] stay free: no block is allocated from isolated lists, and a second
//! isolation of any of these frames is refused.
//!
//! Ranges need not consist of whole pageblocks. A pageblock stays isolated as long as any isolated
//! range overlaps it, so that isolations of disjoint ranges in one pageblock are independent (in
//! Linux the second one gets `-EBUSY`).
//!
//! Each pageblock is isolated in a lock hold of its own. The protocol is that of
//! `start_isolate_page_range`, `test_pages_isolated` and `undo_isolate_page_range`.

use core::fmt;

use crate::base::{FreeKind, Geometry, MigrateType, NotFree, Pageblock, PfnRange, Platform, X86_64};
use crate::buddy::{Buddy, Taken};
use crate::instruments::{Faults, YieldPoint};
use crate::isolation::error::IsolateError;
use crate::isolation::ledger::Ledger;
use crate::isolation::obstacle::{find_unmovable, obstacle_of};
use crate::page_allocator::PageAllocator;
use crate::records::Isolation;
use crate::zone::Zone;

/// An isolated range. Dropping it undoes the isolation.
///
/// The drop takes the zone lock once for each pageblock: any CPU, not from interrupt handlers.
#[must_use = "dropping this undoes the isolation"]
pub struct IsolatedRange<'a, 'm, P: Platform, G: Geometry = X86_64> {
    allocator: &'a PageAllocator<'m, P, G>,
    range: PfnRange,
    ledger: Ledger,
}

/// Shows that every frame of an isolated range is free, and stays free while this exists.
#[must_use = "the range is free and isolated: take it, or drop this"]
pub struct FreeRange<'i, 'a, 'm, P: Platform, G: Geometry = X86_64> {
    isolated: &'i IsolatedRange<'a, 'm, P, G>,
}

impl<'a, 'm, P: Platform, G: Geometry> IsolatedRange<'a, 'm, P, G> {
    /// Isolates `range`: marks its frames, isolates its pageblocks, and drains them from the
    /// pcplists.
    pub(crate) fn new(allocator: &'a PageAllocator<'m, P, G>, range: PfnRange) -> Result<Self, IsolateError> {
        let isolated = Self::try_new(allocator, range);
        let events = allocator.events();
        let event = if isolated.is_ok() { &events.isolations } else { &events.refused_isolations };
        event.add(1);
        isolated
    }

    fn try_new(allocator: &'a PageAllocator<'m, P, G>, range: PfnRange) -> Result<Self, IsolateError> {
        let zone = allocator.zone_of_range(range)?;
        let desc = allocator.desc();
        let ledger = allocator.in_zone(zone, |inner| {
            if let Some(pfn) = desc.isolated.first_in(range) {
                let with = desc.isolated.run_around(pfn, zone.span());
                return Err(IsolateError::Overlap { range, with });
            }
            desc.isolated.add(range);
            Ok(Ledger::open(inner))
        })?;
        // From here on its drop undoes what has been done.
        let isolated = Self { allocator, range, ledger };
        for pageblock in Pageblock::covering::<G>(range) {
            let frames = pageblock.range::<G>();
            allocator.in_zone(zone, |inner| {
                inner.buddy.init_range(desc, frames);
                if let Some(NotFree { pfn, reason }) = find_unmovable(desc, frames.intersection(range)) {
                    return Err(IsolateError::Unmovable { pfn, reason });
                }
                let state = desc.pageblocks.state(pageblock.start());
                let isolated_again = desc.faults.is_on(Faults::MOVED_MEANS_FOUND);
                if state.isolation == Isolation::None || isolated_again {
                    isolated.ledger.isolating(inner, desc, pageblock, |inner| {
                        inner.buddy.retype(desc, pageblock, state.with_isolation(Isolation::Isolated));
                    });
                }
                Ok(())
            })?;
        }
        desc.faults.reached(YieldPoint::IsolatedNotDrained);
        isolated.ledger.finish(allocator, zone, range);
        allocator.drain_pageblocks(zone, range);
        Ok(isolated)
    }

    /// The isolated frames.
    #[must_use]
    pub fn range(&self) -> PfnRange {
        self.range
    }

    /// Records in the ledger that migration has freed `pages` pages of the range.
    pub(crate) fn migrated(&self, pages: usize) {
        self.ledger.migrated(self.allocator, self.zone(), pages);
    }

    fn zone(&self) -> &'a Zone<G> {
        self.allocator.zone_of(self.range.start())
    }

    /// Drains the pageblocks of the range again. Any CPU; not from interrupt handlers.
    ///
    /// This is not needed for correctness, because pages of isolated pageblocks are not cached.
    pub fn drain(&self) {
        self.allocator.drain_pageblocks(self.zone(), self.range);
    }

    /// Tests whether every frame of the range is free and on an isolated list.
    ///
    /// Any CPU; not from interrupt handlers. Takes the zone lock once for each pageblock of the
    /// range, for the time of a walk of its frames.
    ///
    /// # Errors
    ///
    /// [`NotFree`] with the first frame that is not free and isolated.
    pub fn test(&mut self) -> Result<FreeRange<'_, 'a, 'm, P, G>, NotFree> {
        let desc = self.allocator.desc();
        let isolated = |kind| kind == FreeKind::Isolated;
        // One lock hold for each pageblock is enough: frames that are free and isolated stay so.
        for pageblock in Pageblock::covering::<G>(self.range) {
            let part = pageblock.range::<G>().intersection(self.range);
            let not_free =
                self.allocator.in_zone(self.zone(), |_| Buddy::<G>::find_not_free(desc, part, isolated));
            if let Some((pfn, state)) = not_free {
                return Err(NotFree { pfn, reason: obstacle_of(state) });
            }
        }
        self.ledger.tested(self.allocator, self.zone(), self.range.len());
        Ok(FreeRange { isolated: self })
    }
}

impl<P: Platform, G: Geometry> Drop for IsolatedRange<'_, '_, P, G> {
    fn drop(&mut self) {
        let desc = self.allocator.desc();
        self.allocator.in_zone(self.zone(), |_| desc.isolated.remove(self.range));
        for pageblock in Pageblock::covering::<G>(self.range) {
            self.allocator.in_zone(self.zone(), |inner| {
                let state = desc.pageblocks.state(pageblock.start());
                let needed = desc.isolated.first_in(pageblock.range::<G>()).is_some();
                if state.isolation != Isolation::None && !needed {
                    if desc.faults.is_on(Faults::FIRST_BLOCK_ONLY)
                        && inner.buddy.undo_first_block_only(desc, pageblock)
                    {
                        return;
                    }
                    self.ledger.undoing(inner, desc, pageblock, |inner| {
                        inner.buddy.retype(desc, pageblock, state.with_isolation(Isolation::None));
                    });
                }
            });
            desc.faults.reached(YieldPoint::UndoBetweenBlocks);
        }
        self.ledger.close(self.allocator, self.zone());
    }
}

impl<P: Platform, G: Geometry> fmt::Debug for IsolatedRange<'_, '_, P, G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("IsolatedRange").field(&self.range).finish()
    }
}

impl<P: Platform, G: Geometry> fmt::Debug for FreeRange<'_, '_, '_, P, G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FreeRange").field(&self.isolated.range).finish()
    }
}

impl<'m, P: Platform, G: Geometry> FreeRange<'_, '_, 'm, P, G> {
    /// The frames of the range.
    #[must_use]
    pub fn range(&self) -> PfnRange {
        self.isolated.range
    }

    pub(crate) fn take(self, taken: Taken) {
        self.take_for(taken, 0);
    }

    /// As [`take`](Self::take), for a contiguous allocation with this owner word.
    pub(crate) fn take_for(self, taken: Taken, owner: u64) {
        let (allocator, range) = (self.isolated.allocator, self.isolated.range);
        for pageblock in Pageblock::covering::<G>(range) {
            let part = pageblock.range::<G>().intersection(range);
            allocator.in_zone(self.isolated.zone(), |inner| {
                inner.buddy.carve(allocator.desc(), part, taken);
                if matches!(taken, Taken::Contig | Taken::Cma) {
                    inner.buddy.events_mut().contig_alloc_pages += part.len() as u64;
                }
                if owner != 0 {
                    allocator.desc().frames.set_owner_of_range(part, owner);
                }
                self.isolated.ledger.taken(inner, part.len());
            });
        }
    }

    /// Gives the pageblocks of the range, which must be whole, another migratetype.
    pub(crate) fn set_type(&self, migratetype: MigrateType) {
        let allocator = self.isolated.allocator;
        for pageblock in Pageblock::covering::<G>(self.isolated.range) {
            allocator.in_zone(self.isolated.zone(), |inner| {
                let state = allocator.desc().pageblocks.state(pageblock.start());
                inner.buddy.retype(allocator.desc(), pageblock, state.with_type(migratetype));
            });
        }
    }
}
