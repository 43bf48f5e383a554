//! Contiguous allocation: any number of frames at a given place, by moving away whoever is there.
//!
//! `alloc_contig_range`: isolate the range, ask the owners of its movable pages to move, test, take. Lengths and
//! alignments are free, not powers of two nor whole pageblocks; the number of attempts is bounded; a failure says
//! which frame was in the way and why. Neighbours: [`isolate`](crate::isolate) and
//! [`migrate`](crate::migrate) below, [`cma`](crate::cma) above, which chooses the place.

use core::fmt;
use core::mem;

use crate::buddy::{FreeBlock, Taken};
use crate::error::{BlockReason, ContigError, FreeError, RangeError};
use crate::frame::state::{FrameKind, FrameState};
use crate::geometry::Geometry;
use crate::isolate::{FreeRange, IsolatedRange, NotFree};
use crate::migrate::{Migrate, MigrateError, Moved};
use crate::migratetype::Mobility;
use crate::order::aligned_blocks;
use crate::page_allocator::PageAllocator;
use crate::pageblock::Pageblock;
use crate::pfn::PfnRange;
use crate::platform::Platform;
use crate::sync::spin_hint;
use crate::zone::ZoneInner;

/// How often a range is gone over again because someone else is moving a block of it just then, without that counting as an attempt.
const MAX_WAITS: u32 = 10_000;

/// How hard to try.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ContigOptions {
    attempts: u32,
}

impl Default for ContigOptions {
    fn default() -> Self {
        Self { attempts: 5 }
    }
}

impl ContigOptions {
    /// Go over the range at most this often (at least once). Default: 5, as in `__alloc_contig_migrate_range`.
    #[must_use]
    pub const fn attempts(self, attempts: u32) -> Self {
        Self { attempts: if attempts == 0 { 1 } else { attempts } }
    }
}

/// A contiguous allocation. Dropping it frees the range, in any context.
#[must_use = "dropping this frees the range"]
pub struct ContigRange<'a, 'm, P: Platform, G: Geometry> {
    allocator: &'a PageAllocator<'m, P, G>,
    range: PfnRange,
}

/// What a contiguous allocation took.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ContigStats {
    /// Pages that were moved out of the range.
    pub migrated_pages: usize,
    /// How often the range was gone over.
    pub attempts: u32,
}

impl<'m, P: Platform, G: Geometry> PageAllocator<'m, P, G> {
    /// Allocates exactly the frames of `range`. Their former owners are asked to move by `migrate`.
    ///
    /// Any CPU, several at a time; not from interrupt handlers. Takes time in proportion to the pages that have
    /// to move.
    ///
    /// # Errors
    ///
    /// See [`ContigError`]. The range is as before then, but for pages that have moved.
    pub fn alloc_contig(
        &self,
        range: PfnRange,
        migrate: &impl Migrate,
        options: ContigOptions,
    ) -> Result<ContigRange<'_, 'm, P, G>, ContigError> {
        let mut stats = ContigStats::default();
        self.take_contig(range, migrate, options, &mut stats)?;
        Ok(ContigRange::taken(self, range))
    }

    pub(crate) fn take_contig(
        &self,
        range: PfnRange,
        migrate: &impl Migrate,
        options: ContigOptions,
        stats: &mut ContigStats,
    ) -> Result<(), ContigError> {
        let mut isolated = self.isolate(range)?;
        self.empty(&mut isolated, migrate, options, stats)?.take(Taken::Contig);
        Ok(())
    }

    /// Moves everybody out of an isolated range.
    pub(crate) fn empty<'i, 'a>(
        &self,
        isolated: &'i mut IsolatedRange<'a, 'm, P, G>,
        migrate: &impl Migrate,
        options: ContigOptions,
        stats: &mut ContigStats,
    ) -> Result<FreeRange<'i, 'a, 'm, P, G>, ContigError> {
        migrate.breathe();
        let (mut attempts, mut waits) = (0, 0);
        loop {
            attempts += 1;
            stats.attempts += 1;
            let refused = self.evacuate(isolated, migrate, &mut stats.migrated_pages)?;
            migrate.breathe();
            let in_the_way = match isolated.test() {
                Ok(_free) => break,
                Err(in_the_way) => in_the_way,
            };
            if in_the_way.reason == BlockReason::Moving && waits < MAX_WAITS {
                // Whoever is moving it will be done soon: no reason to give up on a range that nobody wants to keep.
                waits += 1;
                attempts -= 1;
                spin_hint();
            } else if attempts == options.attempts {
                let reason = match (in_the_way.reason, refused) {
                    (BlockReason::NotMigrated(_), Some(error)) => BlockReason::NotMigrated(error),
                    (reason, _) => reason,
                };
                return Err(ContigError::Busy { pfn: in_the_way.pfn, reason, attempts });
            }
        }
        isolated.test().map_err(|NotFree { pfn, reason }| ContigError::Busy {
            pfn,
            reason,
            attempts: options.attempts,
        })
    }

    /// Goes over the range once and asks every owner of a movable block to move it. Returns the last refusal.
    fn evacuate(
        &self,
        isolated: &IsolatedRange<'_, 'm, P, G>,
        migrate: &impl Migrate,
        migrated: &mut usize,
    ) -> Result<Option<MigrateError>, ContigError> {
        let range = isolated.range();
        let mut refused = None;
        let mut pfn = range.start();
        while pfn < range.end() {
            // No lock is held: blocks come and go. What is missed now is found by the test.
            let Some((head, state)) = self.mem().frames.head_of(pfn, G::MAX_ORDER) else {
                pfn = pfn.up(1);
                continue;
            };
            if state.is(FrameKind::Allocated) && state.mobility() == Mobility::Movable {
                match self.move_block(head, state, migrate) {
                    Moved::Away => {
                        *migrated += state.order().pages();
                        isolated.ledger.migrated(self, isolated.zone(), state.order().pages());
                    }
                    Moved::Refused(error) => refused = Some(error),
                    Moved::NoTarget(error) => return Err(ContigError::NoMemory { pfn, error }),
                    Moved::Nothing | Moved::Elsewhere => {}
                }
            }
            pfn = state.order().block(head).end();
        }
        Ok(refused)
    }

    /// Frees a contiguous allocation, or any part of one: no particular alignment or length is needed.
    ///
    /// Any CPU, and interrupt handlers.
    ///
    /// # Errors
    ///
    /// [`FreeError::BadRange`], [`FreeError::Foreign`], or [`FreeError::NotContig`] with the first frame of the range
    /// that is in no contiguous allocation. Nothing is freed then.
    pub fn free_contig(&self, range: PfnRange) -> Result<(), FreeError> {
        let zone = self.zone_of_span(range).map_err(|error| match error {
            RangeError::Foreign { pfn } => FreeError::Foreign { pfn },
            _ => FreeError::BadRange { range },
        })?;
        // The whole range is looked at before any of it is freed; then a lock hold for each pageblock, because
        // the range is the caller's and stays as it is.
        let parts = || Pageblock::covering::<G>(range).map(|block| block.frames::<G>().intersection(range));
        for part in parts() {
            self.in_zone(zone, |_| self.check_contig(part))?;
        }
        for part in parts() {
            self.in_zone(zone, |inner| {
                self.check_contig(part)?;
                self.put_contig(inner, part);
                Ok(())
            })?;
        }
        Ok(())
    }

    fn check_contig(&self, range: PfnRange) -> Result<(), FreeError> {
        let frames = &self.mem().frames;
        let mut pfn = range.start();
        while pfn < range.end() {
            let (head, state) = frames.head_of(pfn, G::MAX_ORDER).unwrap_or((pfn, frames.state(pfn)));
            if !state.is(FrameKind::Contig) {
                return Err(FreeError::NotContig { pfn, kind: state.kind() });
            }
            pfn = state.order().block(head).end();
        }
        Ok(())
    }

    /// Gives the frames of `range` to the buddy, all of which belong to contiguous allocations. What lies outside stays
    /// with its owner, in blocks of its own.
    fn put_contig(&self, inner: &mut ZoneInner<G>, range: PfnRange) {
        let mem = self.mem();
        let mut pfn = range.start();
        while let Some((head, state)) = mem.frames.head_of(pfn, G::MAX_ORDER).filter(|_| pfn < range.end()) {
            let block = state.order().block(head);
            let below = PfnRange::new(block.start(), range.start());
            let above = PfnRange::new(range.end().max(block.start()), block.end());
            for (pfn, order) in [below, above].into_iter().flat_map(|rest| aligned_blocks(rest, G::MAX_ORDER))
            {
                mem.frames.set_state(pfn, FrameState::contig(order));
            }
            for (pfn, order) in aligned_blocks(block.intersection(range), G::MAX_ORDER) {
                mem.frames.set_state(pfn, FrameState::TAIL);
                inner.buddy.free(mem, FreeBlock::from_owner(pfn, order));
            }
            pfn = block.end();
        }
    }
}

impl<'a, 'm, P: Platform, G: Geometry> ContigRange<'a, 'm, P, G> {
    /// The owner of a range that has just been taken.
    pub(crate) fn taken(allocator: &'a PageAllocator<'m, P, G>, range: PfnRange) -> Self {
        Self { allocator, range }
    }

    /// The frames.
    #[must_use]
    pub fn range(&self) -> PfnRange {
        self.range
    }

    /// Gives up the handle but not the frames: free them with [`PageAllocator::free_contig`].
    #[must_use = "the range is yours to free"]
    pub fn into_raw(self) -> PfnRange {
        let range = self.range;
        mem::forget(self);
        range
    }
}

impl<P: Platform, G: Geometry> Drop for ContigRange<'_, '_, P, G> {
    fn drop(&mut self) {
        self.allocator.refused_free(self.range.start(), self.allocator.free_contig(self.range));
    }
}

impl<P: Platform, G: Geometry> fmt::Debug for ContigRange<'_, '_, P, G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ContigRange").field(&self.range).finish()
    }
}
