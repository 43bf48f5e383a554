//! Evacuates an isolated range: migrates its movable blocks, and tests that the range is free.
//!
//! The number of attempts is bounded. The error has a frame that did not become free, and why.

use crate::base::{
    FrameKind, Geometry, Migrate, MigrateError, Mobility, NotFree, Obstacle, PfnRange, Platform,
};
use crate::buddy::Taken;
use crate::contig::error::ContigError;
use crate::contig::move_block::{Moved, move_block};
use crate::isolation::{FreeRange, IsolatedRange};
use crate::page_allocator::PageAllocator;
use crate::sync::spin_hint;

/// How many times an attempt may be repeated because another call is migrating a block.
const MAX_WAITS: u32 = 10_000;

/// The number of attempts of a contiguous allocation or an offline operation.
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
    /// Sets how many times the whole range is tried, at least once. Default: 5, as in Linux.
    #[must_use]
    pub const fn attempts(self, attempts: u32) -> Self {
        Self { attempts: if attempts == 0 { 1 } else { attempts } }
    }
}

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
) -> Result<(), ContigError> {
    let mut isolated = IsolatedRange::new(allocator, range)?;
    evacuate(allocator, &mut isolated, migrate, options, stats)?.take(Taken::Contig);
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
        let refused = migrate_blocks(allocator, isolated, migrate, &mut stats.migrated_pages)?;
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
            let reason = match (not_free.reason, refused) {
                (Obstacle::NotMigrated(_), Some(error)) => Obstacle::NotMigrated(error),
                (reason, _) => reason,
            };
            return Err(ContigError::Busy { pfn: not_free.pfn, reason, attempts });
        }
    }
    // Tested again, because a borrow that is returned cannot start inside the loop.
    isolated.test().map_err(|NotFree { pfn, reason }| ContigError::Busy {
        pfn,
        reason,
        attempts: options.attempts,
    })
}

/// Tries to migrate every movable block of the range, once. Returns the last error of [`Migrate`].
fn migrate_blocks<'m, P: Platform, G: Geometry>(
    allocator: &PageAllocator<'m, P, G>,
    isolated: &IsolatedRange<'_, 'm, P, G>,
    migrate: &impl Migrate,
    migrated_pages: &mut usize,
) -> Result<Option<MigrateError>, ContigError> {
    let range = isolated.range();
    let mut refused = None;
    let mut pfn = range.start();
    while pfn < range.end() {
        // No lock is held, so that blocks may change. The test finds blocks that this walk misses.
        let Some((head, state)) = allocator.desc().frames.head_of(pfn, G::MAX_ORDER) else {
            pfn = pfn.up(1);
            continue;
        };
        if state.is(FrameKind::Allocated) && state.mobility() == Mobility::Movable {
            match move_block(allocator, head, state, migrate) {
                Moved::Migrated => {
                    *migrated_pages += state.order().pages();
                    isolated.migrated(state.order().pages());
                }
                Moved::Refused(error) => refused = Some(error),
                Moved::NoTarget(error) => return Err(ContigError::NoMemory { pfn, error }),
                Moved::Freed | Moved::AlreadyMoving => {}
            }
        }
        pfn = state.order().block(head).end();
    }
    Ok(refused)
}
