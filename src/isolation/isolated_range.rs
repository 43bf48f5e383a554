//! The isolation protocol: isolate a range, test that it is free, take it.
//!
//! Each step needs the one before:
//!
//! 1. [`PageAllocator::isolate`] returns an [`IsolatedRange`]. Every pageblock that the range
//!    touches is isolated, and its pages are drained from the pcplists. Dropping the value undoes
//!    that.
//! 2. [`IsolatedRange::test`] checks whether every frame of the range is free and isolated, and
//!    then returns a [`FreeRange`]: the proof, which borrows the isolation.
//! 3. Only a [`FreeRange`] can be taken: as a contiguous allocation, or offline.
//!
//! The proof stays true while it exists: no block is ever allocated from isolated lists, and a
//! second isolation of any frame of the range is refused.
//!
//! Ranges need not end at pageblocks. A pageblock stays isolated while any isolated range touches
//! it, so that isolators of disjoint ranges in one pageblock do not disturb each other (in Linux
//! the second gets `-EBUSY`; W3 in its list of open problems).
//!
//! Each pageblock is switched in a lock hold of its own, which visits at most its frames. The
//! protocol is that of `start_isolate_page_range`, `test_pages_isolated` and
//! `undo_isolate_page_range`.

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

/// An isolated range. Dropping it undoes the isolation, a pageblock at a time: any CPU, not from
/// interrupt handlers.
#[must_use = "dropping this undoes the isolation"]
pub struct IsolatedRange<'a, 'm, P: Platform, G: Geometry = X86_64> {
    allocator: &'a PageAllocator<'m, P, G>,
    range: PfnRange,
    ledger: Ledger,
}

/// Proof that every frame of an isolated range is free, and that no other code can take one.
#[must_use = "the range is free and isolated: take it, or drop this to let go"]
pub struct FreeRange<'i, 'a, 'm, P: Platform, G: Geometry = X86_64> {
    isolated: &'i IsolatedRange<'a, 'm, P, G>,
}

impl<'a, 'm, P: Platform, G: Geometry> IsolatedRange<'a, 'm, P, G> {
    /// Isolates `range`: marks its frames, switches its pageblocks, and drains them from the pcplists.
    pub(crate) fn new(allocator: &'a PageAllocator<'m, P, G>, range: PfnRange) -> Result<Self, IsolateError> {
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
        // From here on dropping this undoes what has been done.
        let isolated = Self { allocator, range, ledger };
        for pageblock in Pageblock::covering::<G>(range) {
            let frames = pageblock.range::<G>();
            allocator.in_zone(zone, |inner| {
                inner.buddy.init_range(desc, frames);
                if let Some(NotFree { pfn, reason }) = find_unmovable(desc, frames.intersection(range)) {
                    return Err(IsolateError::Unmovable { pfn, reason });
                }
                let state = desc.pageblocks.state(pageblock.start());
                let switched_again = desc.faults.is_on(Faults::MOVED_MEANS_FOUND);
                if state.isolation == Isolation::None || switched_again {
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

    /// The frames that are isolated.
    #[must_use]
    pub fn range(&self) -> PfnRange {
        self.range
    }

    /// Reports to the ledger that `pages` pages of the range were freed by migration.
    pub(crate) fn migrated(&self, pages: usize) {
        self.ledger.migrated(self.allocator, self.zone(), pages);
    }

    fn zone(&self) -> &'a Zone<G> {
        self.allocator.zone_of(self.range.start())
    }

    /// Drains the range's pageblocks from the pcplists again. Not needed for correctness: pages of
    /// the range are not cached while it is isolated. Any CPU; not from interrupt handlers.
    pub fn drain(&self) {
        self.allocator.drain_pageblocks(self.zone(), self.range);
    }

    /// Tests whether every frame of the range is free and on an isolated list.
    ///
    /// Any CPU; not from interrupt handlers: takes the zone's lock once for each pageblock of the
    /// range, for the time of a walk of its frames.
    ///
    /// # Errors
    ///
    /// [`NotFree`] with the first frame that is not.
    pub fn test(&mut self) -> Result<FreeRange<'_, 'a, 'm, P, G>, NotFree> {
        let desc = self.allocator.desc();
        let isolated = |kind| kind == FreeKind::Isolated;
        // A lock hold for each pageblock is enough: frames that were free and isolated stay so.
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
    /// The frames that are free and isolated.
    #[must_use]
    pub fn range(&self) -> PfnRange {
        self.isolated.range
    }

    /// Takes the whole range off the free lists.
    pub(crate) fn take(self, taken: Taken) {
        let (allocator, range) = (self.isolated.allocator, self.isolated.range);
        for pageblock in Pageblock::covering::<G>(range) {
            let part = pageblock.range::<G>().intersection(range);
            allocator.in_zone(self.isolated.zone(), |inner| {
                inner.buddy.carve(allocator.desc(), part, taken);
                self.isolated.ledger.taken(inner, part.len());
            });
        }
    }

    /// Gives every pageblock of the range, which must be whole pageblocks, another type, which
    /// stays when the isolation is undone.
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
