//! Evacuates an isolated range: migrates its movable blocks, and tests that the range is free.
//!
//! The number of attempts is bounded. The error has a frame that did not become free, and why.

use crate::base::{
    FrameKind, Geometry, Migrate, MigrateError, MigrateType, Mobility, NotFree, Obstacle, Pageblock, Pfn,
    PfnRange, Platform,
};
use crate::buddy::Taken;
use crate::contig::error::ContigError;
use crate::contig::mark::check_mark;
use crate::contig::move_block::{Moved, move_block};
use crate::contig::options::ContigOptions;
use crate::isolation::{FreeRange, IsolatedRange, Purpose};
use crate::page_allocator::PageAllocator;
use crate::records::FrameState;
use crate::sync::spin_hint;

/// How many times an attempt may be repeated because another call is migrating a block.
const MAX_WAITS: u32 = 10_000;
/// How many times an attempt may be repeated because the host has not acknowledged a block, if the
/// platform can wait for that.
const MAX_REPORT_WAITS: u32 = 16;

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
    let mut isolated = IsolatedRange::new(allocator, range, Purpose::Take)?;
    if taken == Taken::Contig {
        let pageblocks = &allocator.desc().pageblocks;
        let mut types = Pageblock::covering::<G>(range).map(|block| block.start().max(range.start()));
        if let Some(pfn) = types.find(|pfn| pageblocks.state(*pfn).migratetype == MigrateType::MovableOnly) {
            return Err(ContigError::MovableOnly { pfn });
        }
        check_mark(allocator, range, options)?;
    }
    evacuate(allocator, &mut isolated, migrate, options, stats)?.take_for(taken, options.owner, options.site);
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
    let (mut attempts, mut waits, mut report_waits) = (1, 0, 0);
    stats.attempts += 1;
    let mut refused = migrate_all(allocator, isolated, migrate, options, stats)?;
    migrate.yield_now();
    isolated.test_until(|isolated, not_free| {
        // The other migration ends soon, or has ended after its block was passed over.
        let unasked = matches!(not_free.reason, Obstacle::NotMigrated(_)) && refused.is_none();
        if (not_free.reason == Obstacle::Moving || unasked) && waits < MAX_WAITS {
            waits += 1;
            spin_hint();
        } else if not_free.reason == Obstacle::Reporting
            && report_waits < MAX_REPORT_WAITS
            && allocator.platform().wait_for_report()
        {
            report_waits += 1;
        } else if attempts == options.attempts {
            let NotFree { pfn, reason } = match (not_free.reason, refused) {
                (Obstacle::NotMigrated(_), Some((pfn, error))) => {
                    NotFree { pfn, reason: Obstacle::NotMigrated(error) }
                }
                _ => not_free,
            };
            return Err(ContigError::Busy { pfn, reason, attempts });
        } else {
            attempts += 1;
        }
        stats.attempts += 1;
        refused = migrate_all(allocator, isolated, migrate, options, stats)?;
        migrate.yield_now();
        Ok(())
    })
}

/// A block that [`Migrate`] refused: its first frame in the range, and the error.
type Refusal = (Pfn, MigrateError);

/// Asks the owner of every movable block of the range to migrate it, once. Returns the first
/// refusal.
///
/// If the range is one of many that would do, it goes from the highest block down: then a block
/// that is pinned is asked for as often as the range may be tried, and after that ends it, and the
/// next range can start above it. Otherwise it goes from the lowest block up.
fn migrate_all<'m, P: Platform, G: Geometry>(
    allocator: &PageAllocator<'_, P, G>,
    isolated: &IsolatedRange<'_, 'm, P, G>,
    migrate: &impl Migrate,
    options: ContigOptions,
    stats: &mut ContigStats,
) -> Result<Option<Refusal>, ContigError> {
    let (mut rest, down) = (isolated.range(), options.one_of_many);
    let (mut refused, mut pinned) = (None, 0);
    while !rest.is_empty() {
        let (pfn, found) = if down {
            let last = Pfn::new(rest.end().number() - 1);
            (last, allocator.desc().head_from_above(last))
        } else {
            (rest.start(), allocator.desc().frames.head_of(rest.start(), G::MAX_ORDER))
        };
        let mut block = PfnRange::with_len(pfn, 1);
        // No lock is held, so that blocks may change. The test finds blocks that this walk misses.
        if let Some((head, state)) = found {
            block = state.order().block(head);
            let refusal = migrate_block(allocator, isolated, head, state, migrate, options, stats)?;
            if let Some((pfn, error @ MigrateError::Pinned)) = refusal.filter(|_| down) {
                pinned += 1;
                if pinned == options.attempts {
                    let reason = Obstacle::NotMigrated(error);
                    return Err(ContigError::Busy { pfn, reason, attempts: pinned });
                }
                migrate.yield_now();
                continue;
            }
            (refused, pinned) = (refused.or(refusal), 0);
        }
        rest = if down {
            PfnRange::new(rest.start(), block.start())
        } else {
            PfnRange::new(block.end(), rest.end())
        };
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
