//! Isolation: free pages of a range leave the free count, freed pages of it do not come back to it.
//!
//! A typed protocol in three steps, each of which needs the one before:
//!
//! 1. [`PageAllocator::isolate`] gives an [`IsolatedRange`]. Every pageblock that the range touches is isolated and
//!    its pages are drained from the pcplists. Dropping the value undoes it.
//! 2. [`IsolatedRange::test`] looks whether every frame of the range is free and isolated. If so it gives a
//!    [`FreeRange`]: the proof, which borrows the isolation.
//! 3. Only a [`FreeRange`] can be taken: as a contiguous allocation, or offline.
//!
//! The proof stays true for as long as it exists: nothing is ever allocated from isolated lists, and the
//! [`Registry`] refuses a second isolation of any frame of the range.
//!
//! Ranges need not end at pageblocks. A pageblock stays isolated as long as any registered range touches it, so
//! that isolators of disjoint ranges in one pageblock do not disturb each other (Linux gives the second
//! `-EBUSY`; W3 in its list of open ends).
//!
//! Each pageblock is switched in a lock hold of its own, which visits at most its frames. The protocol is
//! `start_isolate_page_range`, `test_pages_isolated`, `undo_isolate_page_range`.
//!
//! Neighbours: [`buddy::retype`](crate::buddy) moves the pages, [`contig`](crate::contig) and
//! [`cma`](crate::cma) are the users.

use core::fmt;

use crate::buddy::{Blocked, Buddy, Taken};
use crate::designs::Ledger;
use crate::error::{BlockReason, IsolateError};
use crate::faults::{fault, when_fault, yield_point};
use crate::frame::state::{FrameKind, FrameState, Migration};
use crate::geometry::Geometry;
use crate::migrate::MigrateError;
use crate::migratetype::{FreeKind, MigrateType, Mobility};
use crate::page_allocator::PageAllocator;
use crate::pageblock::{Isolation, Pageblock};
use crate::pfn::{Pfn, PfnRange};
use crate::platform::Platform;
use crate::zone::Zone;

/// The ranges of a zone that are isolated now. Behind the zone's lock.
#[derive(Debug)]
pub(crate) struct Registry {
    /// An empty range is a free place.
    ranges: [PfnRange; Self::LIMIT],
}

impl Registry {
    /// Isolations at a time in one zone. Each costs 16 bytes and one comparison per undone pageblock.
    pub(crate) const LIMIT: usize = 32;

    pub(crate) fn new() -> Self {
        Self { ranges: [PfnRange::new(Pfn::new(0), Pfn::new(0)); Self::LIMIT] }
    }

    fn add(&mut self, range: PfnRange) -> Result<(), IsolateError> {
        if let Some(with) = self.ranges.iter().find(|other| other.overlaps(range)) {
            return Err(IsolateError::Overlap { range, with: *with });
        }
        let place = self.ranges.iter_mut().find(|place| place.is_empty());
        *place.ok_or(IsolateError::TooMany { limit: Self::LIMIT })? = range;
        Ok(())
    }

    fn remove(&mut self, range: PfnRange) {
        for place in &mut self.ranges {
            if *place == range {
                *place = PfnRange::new(range.start(), range.start());
            }
        }
    }

    pub(crate) fn touches(&self, frames: PfnRange) -> bool {
        self.ranges.iter().any(|range| range.overlaps(frames))
    }
}

/// An isolated range. Dropping it undoes the isolation, a pageblock at a time: any CPU, not from interrupt handlers.
#[must_use = "dropping this undoes the isolation"]
pub struct IsolatedRange<'a, 'm, P: Platform, G: Geometry> {
    allocator: &'a PageAllocator<'m, P, G>,
    range: PfnRange,
    /// Empty without the `designs` feature.
    pub(crate) ledger: Ledger,
}

/// Proof that every frame of an isolated range is free, and that nobody else can take it.
#[must_use = "the range is free and isolated: take it, or drop this to let go"]
pub struct FreeRange<'i, 'a, 'm, P: Platform, G: Geometry> {
    isolated: &'i IsolatedRange<'a, 'm, P, G>,
}

/// What keeps an isolated range from being free.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotFree {
    /// The first frame that is not.
    pub pfn: Pfn,
    /// Why not.
    pub reason: BlockReason,
}

impl core::error::Error for NotFree {}

impl fmt::Display for NotFree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is not free: {}", self.pfn, self.reason)
    }
}

impl<'m, P: Platform, G: Geometry> PageAllocator<'m, P, G> {
    /// Isolates `range`: its free pages leave the free count and cannot be allocated, pages freed in it do the same.
    /// Pages of it that are on pcplists are drained. Owned pages stay where they are.
    ///
    /// The range may have any length and alignment but must lie in one zone and hold no hole. While it is isolated,
    /// free pages of the rest of its first and last pageblock cannot be allocated either.
    ///
    /// Any CPU; not from interrupt handlers (it drains, which takes time in proportion to the CPUs).
    ///
    /// # Errors
    ///
    /// See [`IsolateError`]. [`IsolateError::Unmovable`] spares a useless attempt; that no unmovable page was found
    /// is no promise that every page can be moved.
    pub fn isolate(&self, range: PfnRange) -> Result<IsolatedRange<'_, 'm, P, G>, IsolateError> {
        let zone = self.zone_of_range(range)?;
        let ledger = self.in_zone(zone, |inner| inner.isolations.add(range).map(|()| Ledger::open(inner)))?;
        // From here on dropping this undoes what has been done.
        let isolated = IsolatedRange { allocator: self, range, ledger };
        for block in Pageblock::covering::<G>(range) {
            self.in_zone(zone, |inner| {
                inner.buddy.list_all_of(self.mem(), block.frames::<G>());
                if let Some(blocked) = self.find_unmovable(block.frames::<G>().intersection(range)) {
                    return Err(IsolateError::Unmovable { pfn: blocked.pfn, reason: blocked.reason });
                }
                let state = self.mem().blocks.state(block.start());
                if state.isolation == Isolation::Open || fault!(self.mem(), MOVED_MEANS_FOUND) {
                    isolated.ledger.isolating(inner, self.mem(), block, |inner| {
                        inner.buddy.retype(self.mem(), block, state.with_isolation(Isolation::Isolated));
                    });
                }
                Ok(())
            })?;
        }
        yield_point!(self.mem(), IsolatedNotDrained);
        isolated.ledger.finish(self, zone, range);
        self.drain_pageblocks(zone, range);
        Ok(isolated)
    }

    /// The first frame of `range` that nobody can move. Exact only as far as the caller's locks reach.
    pub(crate) fn find_unmovable(&self, range: PfnRange) -> Option<NotFree> {
        let frames = &self.mem().frames;
        let mut pfn = range.start();
        while pfn < range.end() {
            let Some((head, state)) = frames.head_of(pfn, G::MAX_ORDER) else {
                match frames.state(pfn).kind() {
                    kind @ (FrameKind::Hole | FrameKind::Reserved) => {
                        return Some(NotFree { pfn, reason: BlockReason::NotManaged(kind) });
                    }
                    // A block is being cut up or put together just now.
                    _ => {
                        pfn = pfn.up(1);
                        continue;
                    }
                }
            };
            let movable = match state.kind() {
                FrameKind::Allocated => state.mobility() == Mobility::Movable,
                FrameKind::Contig | FrameKind::Offline => false,
                _ => true,
            };
            if !movable {
                return Some(NotFree { pfn, reason: reason_for(state) });
            }
            pfn = state.order().block(head).end();
        }
        None
    }
}

/// Why a frame with this head state is in the way.
pub(crate) fn reason_for(state: FrameState) -> BlockReason {
    match state.kind() {
        FrameKind::Allocated if state.mobility() != Mobility::Movable => {
            BlockReason::Allocated(state.mobility())
        }
        FrameKind::Allocated if state.migration() == Migration::Idle => {
            BlockReason::NotMigrated(MigrateError::Busy)
        }
        FrameKind::Allocated => BlockReason::Moving,
        FrameKind::Contig => BlockReason::Contig,
        FrameKind::Cached | FrameKind::Tail => BlockReason::Cached,
        FrameKind::Guard => BlockReason::Guard,
        #[cfg(feature = "designs")]
        FrameKind::Parked => BlockReason::NotIsolated,
        FrameKind::Free => BlockReason::NotIsolated,
        kind @ (FrameKind::Hole | FrameKind::Reserved | FrameKind::Offline) => BlockReason::NotManaged(kind),
    }
}

impl<'a, 'm, P: Platform, G: Geometry> IsolatedRange<'a, 'm, P, G> {
    /// The frames that are isolated.
    #[must_use]
    pub fn range(&self) -> PfnRange {
        self.range
    }

    pub(crate) fn zone(&self) -> &'a Zone<G> {
        self.allocator.zone_of(self.range.start())
    }

    /// Drains the range's pageblocks from the pcplists once more. Not needed for correctness: pages of the range do not get
    /// there while it is isolated. Any CPU; not from interrupt handlers.
    pub fn drain(&self) {
        self.allocator.drain_pageblocks(self.zone(), self.range);
    }

    /// Whether every frame of the range is free and on an isolated list.
    ///
    /// Any CPU; not from interrupt handlers: holds the zone's lock for as long as the walk of the range takes.
    ///
    /// # Errors
    ///
    /// Names the first frame that is not.
    pub fn test(&mut self) -> Result<FreeRange<'_, 'a, 'm, P, G>, NotFree> {
        let mem = self.allocator.mem();
        let isolated = |kind| kind == FreeKind::Isolated;
        // A lock hold for each pageblock is enough: what was free and isolated stays so, nobody else can take it.
        for block in Pageblock::covering::<G>(self.range) {
            let part = block.frames::<G>().intersection(self.range);
            let blocked =
                self.allocator.in_zone(self.zone(), |_| Buddy::<G>::find_blocked(mem, part, isolated));
            if let Some(Blocked { pfn, state, .. }) = blocked {
                return Err(NotFree { pfn, reason: reason_for(state) });
            }
        }
        self.ledger.tested(self.allocator, self.zone(), self.range.len());
        Ok(FreeRange { isolated: self })
    }
}

impl<P: Platform, G: Geometry> Drop for IsolatedRange<'_, '_, P, G> {
    fn drop(&mut self) {
        let mem = self.allocator.mem();
        self.allocator.in_zone(self.zone(), |inner| inner.isolations.remove(self.range));
        for block in Pageblock::covering::<G>(self.range) {
            self.allocator.in_zone(self.zone(), |inner| {
                let state = mem.blocks.state(block.start());
                let needed = inner.isolations.touches(block.frames::<G>());
                if state.isolation != Isolation::Open && !needed {
                    when_fault!(mem, FIRST_BLOCK_ONLY => {
                        if inner.buddy.undo_first_block_only(mem, block) {
                            return;
                        }
                    });
                    self.ledger.undoing(inner, mem, block, |inner| {
                        inner.buddy.retype(mem, block, state.with_isolation(Isolation::Open));
                    });
                }
            });
            yield_point!(mem, UndoBetweenBlocks);
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
        for block in Pageblock::covering::<G>(range) {
            let part = block.frames::<G>().intersection(range);
            allocator.in_zone(self.isolated.zone(), |inner| {
                inner.buddy.carve(allocator.mem(), part, taken);
                self.isolated.ledger.taken(inner, part.len());
            });
        }
    }

    /// Gives every pageblock of the range, which must be whole pageblocks, another type. It holds when the
    /// isolation is undone.
    pub(crate) fn set_type(&self, migratetype: MigrateType) {
        let allocator = self.isolated.allocator;
        for block in Pageblock::covering::<G>(self.isolated.range) {
            allocator.in_zone(self.isolated.zone(), |inner| {
                let state = allocator.mem().blocks.state(block.start());
                inner.buddy.retype(allocator.mem(), block, state.with_type(migratetype));
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Registry;
    use crate::error::IsolateError;
    use crate::pfn::{Pfn, PfnRange};

    fn range(start: usize, end: usize) -> PfnRange {
        PfnRange::new(Pfn::new(start), Pfn::new(end))
    }

    #[test]
    fn disjoint_ranges_live_together_and_overlaps_are_refused() {
        let mut registry = Registry::new();
        registry.add(range(10, 20)).unwrap();
        registry.add(range(20, 30)).unwrap();
        let overlap = IsolateError::Overlap { range: range(15, 25), with: range(10, 20) };
        assert_eq!(registry.add(range(15, 25)), Err(overlap));
        registry.remove(range(10, 20));
        assert!(!registry.touches(range(0, 20)) && registry.touches(range(29, 40)));
    }

    #[test]
    fn a_full_registry_says_so() {
        let mut registry = Registry::new();
        for n in 0..Registry::LIMIT {
            registry.add(range(2 * n, 2 * n + 1)).unwrap();
        }
        assert_eq!(registry.add(range(999, 1000)), Err(IsolateError::TooMany { limit: Registry::LIMIT }));
        registry.remove(range(4, 5));
        registry.add(range(999, 1000)).unwrap();
    }
}
