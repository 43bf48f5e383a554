//! Evacuates an isolated range: migrates its movable blocks, and tests that the range is free.
//!
//! The number of attempts is bounded. The error has a frame that did not become free, and why.

use crate::base::{
    FrameKind, Geometry, Migrate, MigrateError, Mobility, NotFree, Obstacle, Pfn, PfnRange, Platform,
};
use crate::buddy::Taken;
use crate::contig::error::ContigError;
use crate::contig::mark::check_mark;
use crate::contig::move_block::{Moved, move_block};
use crate::contig::options::ContigOptions;
use crate::isolation::{FreeRange, IsolatedRange};
use crate::page_allocator::PageAllocator;
use crate::records::FrameState;
use crate::sync::spin_hint;

/// How many times an attempt may be repeated because another call is migrating a block.
const MAX_WAITS: u32 = 10_000;

/// The work that a contiguous allocation or an offline operation took.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ContigStats {
    /// Pages that were migrated.
    pub migrated_pages: usize,
    /// How many times the whole range was tried.
    pub attempts: u32,
}

/// Isolates `range`, evacuates it, and takes it for a contiguous allocation.
pub(crate) fn take<P: Platform, G: Geometry>(
    allocator: &PageAllocator<'_, P, G>,
    range: PfnRange,
    migrate: &impl Migrate,
    options: ContigOptions,
    stats: &mut ContigStats,
    taken: Taken,
) -> Result<(), ContigError> {
    let mut isolated = IsolatedRange::new(allocator, range)?;
    if taken == Taken::Contig {
        check_mark(allocator, range, options)?;
    }
    evacuate(allocator, &mut isolated, migrate, options, stats)?.take_for(taken, options.owner);
    Ok(())
}

/// Migrates every movable block out of an isolated range, and tests the range.
pub(crate) fn evacuate<'i, 'a, 'm, P: Platform, G: Geometry>(
    allocator: &PageAllocator<'m, P, G>,
    isolated: &'i mut IsolatedRange<'a, 'm, P, G>,
    migrate: &impl Migrate,
    options: ContigOptions,
    stats: &mut ContigStats,
) -> Result<FreeRange<'i, 'a, 'm, P, G>, ContigError> {
    migrate.yield_now();
    let (mut attempts, mut waits) = (0, 0);
    loop {
        attempts += 1;
        stats.attempts += 1;
        let refused = if options.one_of_many {
            migrate_from_top(allocator, isolated, migrate, options, stats)?
        } else {
            migrate_from_bottom(allocator, isolated, migrate, options, stats)?
        };
        migrate.yield_now();
        let not_free = match isolated.test() {
            Ok(_free) => break,
            Err(not_free) => not_free,
        };
        if not_free.reason == Obstacle::Moving && waits < MAX_WAITS {
            // The other migration ends soon.
            waits += 1;
            attempts -= 1;
            spin_hint();
        } else if attempts == options.attempts {
            let NotFree { pfn, reason } = match (not_free.reason, refused) {
                (Obstacle::NotMigrated(_), Some((pfn, error))) => {
                    NotFree { pfn, reason: Obstacle::NotMigrated(error) }
                }
                _ => not_free,
            };
            return Err(ContigError::Busy { pfn, reason, attempts });
        }
    }
    // Tested again, because a borrow that is returned cannot start inside the loop.
    isolated.test().map_err(|NotFree { pfn, reason }| ContigError::Busy {
        pfn,
        reason,
        attempts: options.attempts,
    })
}

/// A block that [`Migrate`] refused: its first frame in the range, and the error.
type Refusal = (Pfn, MigrateError);

/// Tries to migrate every movable block of the range, once, in ascending order. Returns the first
/// refusal.
fn migrate_from_bottom<'m, P: Platform, G: Geometry>(
    allocator: &PageAllocator<'_, P, G>,
    isolated: &IsolatedRange<'_, 'm, P, G>,
    migrate: &impl Migrate,
    options: ContigOptions,
    stats: &mut ContigStats,
) -> Result<Option<Refusal>, ContigError> {
    let range = isolated.range();
    let mut refused = None;
    let mut pfn = range.start();
    while pfn < range.end() {
        // No lock is held, so that blocks may change. The test finds blocks that this walk misses.
        let Some((head, state)) = allocator.desc().frames.head_of(pfn, G::MAX_ORDER) else {
            pfn = pfn.up(1);
            continue;
        };
        let refusal = migrate_block(allocator, isolated, head, state, migrate, options, stats)?;
        refused = refused.or(refusal);
        pfn = state.order().block(head).end();
    }
    Ok(refused)
}

/// Asks the owner of every movable block of the range to migrate it, once, in descending order. A
/// block that is pinned is asked for as often as the range may be tried, and then ends it.
/// Otherwise returns the first refusal, which is that of the highest block.
fn migrate_from_top<'m, P: Platform, G: Geometry>(
    allocator: &PageAllocator<'_, P, G>,
    isolated: &IsolatedRange<'_, 'm, P, G>,
    migrate: &impl Migrate,
    options: ContigOptions,
    stats: &mut ContigStats,
) -> Result<Option<Refusal>, ContigError> {
    let range = isolated.range();
    let (mut refused, mut pinned) = (None, 0);
    let mut end = range.end();
    while end > range.start() {
        let pfn = Pfn::new(end.number() - 1);
        let Some((head, state)) = allocator.desc().frames.head_of(pfn, G::MAX_ORDER) else {
            end = pfn;
            continue;
        };
        let refusal = migrate_block(allocator, isolated, head, state, migrate, options, stats)?;
        if let Some((pfn, error @ MigrateError::Pinned)) = refusal {
            pinned += 1;
            if pinned == options.attempts {
                let reason = Obstacle::NotMigrated(error);
                return Err(ContigError::Busy { pfn, reason, attempts: pinned });
            }
            migrate.yield_now();
            continue;
        }
        (refused, pinned) = (refused.or(refusal), 0);
        end = head;
    }
    Ok(refused)
}

/// Asks the owner of the block to migrate it, if it is movable. Returns the refusal.
fn migrate_block<'m, P: Platform, G: Geometry>(
    allocator: &PageAllocator<'_, P, G>,
    isolated: &IsolatedRange<'_, 'm, P, G>,
    head: Pfn,
    state: FrameState,
    migrate: &impl Migrate,
    options: ContigOptions,
    stats: &mut ContigStats,
) -> Result<Option<Refusal>, ContigError> {
    if !state.is(FrameKind::Allocated) || state.mobility() != Mobility::Movable {
        return Ok(None);
    }
    let pfn = head.max(isolated.range().start());
    match move_block(allocator, head, state, migrate, options.depth) {
        Moved::Migrated => {
            stats.migrated_pages += state.order().pages();
            isolated.migrated(state.order().pages());
        }
        Moved::Refused(error) => return Ok(Some((pfn, error))),
        Moved::NoTarget(error) => return Err(ContigError::NoMemory { pfn, error }),
        Moved::Freed | Moved::AlreadyMoving => {}
    }
    Ok(None)
}
