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
//! Each pageblock is marked and isolated in a lock hold of its own, so that interrupts are masked
//! for a time that does not grow with the range. All isolations go up: of two that overlap, the one
//! that marks the first frame of both gets past the other, so that never both are refused because
//! of each other. One that is refused undoes what it has isolated. The protocol is that of
//! `start_isolate_page_range`, `test_pages_isolated` and `undo_isolate_page_range`.

use core::fmt;

use crate::base::{
    FrameKind, FreeKind, Geometry, MigrateType, NotFree, Pageblock, PfnRange, Platform, Site, TraceEvent,
    X86_64,
};
use crate::buddy::{Buddy, Taken};
use crate::instruments::{Faults, YieldPoint};
use crate::isolation::error::IsolateError;
use crate::isolation::ledger::Ledger;
use crate::isolation::obstacle::{find_unmovable, obstacle_of};
use crate::page_allocator::PageAllocator;
use crate::records::{FrameState, Isolation};
use crate::zone::{Zone, ZoneInner};

/// What a range is isolated for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Purpose {
    /// The caller decides later. A bad frame in the range does not become free.
    Any,
    /// To allocate it: a bad frame is refused.
    Take,
    /// To take it offline: a bad frame goes with it.
    Offline,
    /// To retire a frame of it: nothing is refused.
    Retire,
}

/// An isolated range. Dropping it undoes the isolation.
///
/// The drop takes the zone lock once for each pageblock: any CPU, not from interrupt handlers.
#[must_use = "dropping this undoes the isolation"]
pub struct IsolatedRange<'a, 'm, P: Platform, G: Geometry = X86_64> {
    allocator: &'a PageAllocator<'m, P, G>,
    range: PfnRange,
    purpose: Purpose,
    ledger: Ledger,
}

/// Shows that every frame of an isolated range is free, and stays free while this exists. Of one
/// that goes offline, frames may be bad instead.
#[must_use = "the range is free and isolated: take it, or drop this"]
pub struct FreeRange<'i, 'a, 'm, P: Platform, G: Geometry = X86_64> {
    isolated: &'i IsolatedRange<'a, 'm, P, G>,
}

impl<'a, 'm, P: Platform, G: Geometry> IsolatedRange<'a, 'm, P, G> {
    /// Isolates `range`: marks its frames, isolates its pageblocks, and drains them from the
    /// pcplists.
    pub(crate) fn new(
        allocator: &'a PageAllocator<'m, P, G>,
        range: PfnRange,
        purpose: Purpose,
    ) -> Result<Self, IsolateError> {
        let isolated = Self::try_new(allocator, range, purpose);
        let events = allocator.events();
        let event = if isolated.is_ok() { &events.isolations } else { &events.refused_isolations };
        event.add(1);
        isolated
    }

    fn try_new(
        allocator: &'a PageAllocator<'m, P, G>,
        range: PfnRange,
        purpose: Purpose,
    ) -> Result<Self, IsolateError> {
        let zone = allocator.zone_of_range(range)?;
        let desc = allocator.desc();
        let overlap = |pfn| {
            let with = desc.isolated.run_around(pfn, zone.addresses());
            IsolateError::Overlap { range, with }
        };
        // Without the lock, so that most overlaps are found before anything changes.
        if let Some(pfn) = desc.isolated.first_in(range) {
            return Err(overlap(pfn));
        }
        // It grows with each pageblock. From here on its drop undoes what has been done.
        let nothing = PfnRange::with_len(range.start(), 0);
        let mut isolated = Self { allocator, range: nothing, purpose, ledger: Ledger::default() };
        for pageblock in Pageblock::covering::<G>(range) {
            let part = pageblock.range::<G>().intersection(range);
            let held = allocator.in_zone_to_init(zone, part, |inner| {
                if part.start() == range.start() {
                    isolated.ledger = Ledger::open(inner);
                }
                let held = desc.isolated.first_in(part);
                if held.is_none() {
                    inner.buddy.init_range(desc, pageblock.range::<G>());
                    desc.isolated.add(part);
                    isolated.range = PfnRange::new(range.start(), part.end());
                    isolated.add(inner, pageblock)?;
                }
                Ok::<_, IsolateError>(held)
            })?;
            if let Some(pfn) = held {
                return Err(overlap(pfn));
            }
        }
        desc.faults.reached(YieldPoint::IsolatedNotDrained);
        isolated.ledger.finish(allocator, zone, range);
        allocator.drain_pageblocks(zone, range);
        Ok(isolated)
    }

    /// Isolates a pageblock, unless a frame of the range in it cannot become free.
    fn add(&self, inner: &mut ZoneInner<G>, pageblock: Pageblock) -> Result<(), IsolateError> {
        let (desc, frames) = (self.allocator.desc(), pageblock.range::<G>());
        inner.buddy.take_back_at(desc, frames.start());
        let spare_bad = self.purpose != Purpose::Take;
        if self.purpose != Purpose::Retire
            && let Some(NotFree { pfn, reason }) =
                find_unmovable(desc, frames.intersection(self.range), spare_bad)
        {
            return Err(IsolateError::Unmovable { pfn, reason });
        }
        let state = desc.pageblocks.state(pageblock.start());
        let isolated_again = desc.faults.is_on(Faults::MOVED_MEANS_FOUND);
        if state.isolation == Isolation::None || isolated_again {
            self.ledger.isolating(inner, desc, pageblock, |inner| {
                inner.buddy.retype(desc, pageblock, state.with_isolation(Isolation::Isolated));
            });
        }
        Ok(())
    }

    /// The isolated frames.
    #[must_use]
    pub fn range(&self) -> PfnRange {
        self.range
    }

    /// Records in the ledger that `pages` free pages of the range were taken.
    pub(crate) fn taken(&self, inner: &mut ZoneInner<G>, pages: usize) {
        self.ledger.taken(inner, pages);
    }

    /// Records in the ledger that migration has freed `pages` pages of the range.
    pub(crate) fn migrated(&self, pages: usize) {
        self.ledger.migrated(self.allocator, self.zone(), pages);
    }

    pub(crate) fn zone(&self) -> &'a Zone<G> {
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
        self.test_until(|_, not_free| Err(not_free))
    }

    /// Tests again and again. After each test that finds a frame that is not free and isolated,
    /// `otherwise` does something about it, or gives up.
    pub(crate) fn test_until<E>(
        &mut self,
        mut otherwise: impl FnMut(&Self, NotFree) -> Result<(), E>,
    ) -> Result<FreeRange<'_, 'a, 'm, P, G>, E> {
        while let Err(not_free) = self.try_test() {
            otherwise(self, not_free)?;
        }
        Ok(FreeRange { isolated: self })
    }

    fn try_test(&self) -> Result<(), NotFree> {
        let desc = self.allocator.desc();
        let (bad_too, mut bad) = (self.purpose == Purpose::Offline, 0);
        let mut wanted = |state: FrameState| match state.kind() {
            FrameKind::Free => state.free_kind() == FreeKind::Isolated,
            FrameKind::HwPoison => {
                bad += 1;
                bad_too
            }
            _ => false,
        };
        // One lock hold for each pageblock is enough: frames that are free and isolated stay so.
        for pageblock in Pageblock::covering::<G>(self.range) {
            let part = pageblock.range::<G>().intersection(self.range);
            let not_free =
                self.allocator.in_zone(self.zone(), |_| Buddy::<G>::find_not(desc, part, &mut wanted));
            if let Some((pfn, state)) = not_free {
                return Err(NotFree { pfn, reason: obstacle_of(state) });
            }
        }
        self.ledger.tested(self.allocator, self.zone(), self.range.len() - bad);
        Ok(())
    }
}

impl<P: Platform, G: Geometry> Drop for IsolatedRange<'_, '_, P, G> {
    fn drop(&mut self) {
        let desc = self.allocator.desc();
        for pageblock in Pageblock::covering::<G>(self.range) {
            self.allocator.in_zone(self.zone(), |inner| {
                let (state, frames) = (desc.pageblocks.state(pageblock.start()), pageblock.range::<G>());
                desc.isolated.remove(frames.intersection(self.range));
                // No other isolation has frames of a pageblock that this one has as a whole.
                let needed = !self.range.covers(frames) && desc.isolated.first_in(frames).is_some();
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
        self.take_for(taken, 0, Site::UNKNOWN);
    }

    /// As [`take`](Self::take), for a contiguous allocation with this owner word and site.
    pub(crate) fn take_for(self, taken: Taken, owner: u64, site: Site) {
        let (allocator, range) = (self.isolated.allocator, self.isolated.range);
        for pageblock in Pageblock::covering::<G>(range) {
            let part = pageblock.range::<G>().intersection(range);
            allocator.in_zone(self.isolated.zone(), |inner| {
                let pages = inner.buddy.carve(allocator.desc(), part, taken);
                if matches!(taken, Taken::Contig | Taken::Cma) {
                    inner.buddy.events_mut().contig_alloc_pages += pages as u64;
                    allocator.desc().check_poison(part);
                    allocator.desc().trace.emit(|| TraceEvent::ContigAlloc { range: part });
                }
                if owner != 0 {
                    allocator.desc().frames.set_owner_of_range(part, owner);
                }
                if site != Site::UNKNOWN {
                    allocator.desc().set_site_of_range(part, site);
                }
                self.isolated.ledger.taken(inner, pages);
            });
        }
        allocator.log_writes_after_free();
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
