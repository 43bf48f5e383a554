//! Empties an isolated range: asks the owners of its movable blocks to migrate, and tests the
//! range.
//!
//! The number of attempts is bounded, and a failure names the frame in the way and the reason.

use crate::base::{
    FrameKind, Geometry, Migrate, MigrateError, Mobility, NotFree, Obstacle, PfnRange, Platform,
};
use crate::buddy::Taken;
use crate::contig::error::ContigError;
use crate::contig::move_block::{Moved, move_block};
use crate::isolation::{FreeRange, IsolatedRange};
use crate::page_allocator::PageAllocator;
use crate::sync::spin_hint;

/// How often an attempt is repeated, without being counted, because another migration has pinned a
/// block of the range at that moment.
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
    /// Sets how often the whole range is tried (at least once). Default: 5, as in
    /// `__alloc_contig_migrate_range`.
    #[must_use]
    pub const fn attempts(self, attempts: u32) -> Self {
        Self { attempts: if attempts == 0 { 1 } else { attempts } }
    }
}

/// The work that a contiguous allocation took.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ContigStats {
    /// Pages that were migrated out of the range.
    pub migrated_pages: usize,
    /// How often the whole range was tried.
    pub attempts: u32,
}

/// Isolates `range`, empties it and takes it for a contiguous allocation.
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

/// Migrates every movable block out of an isolated range, and tests it.
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
            // The other migration will end soon.
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
    isolated.test().map_err(|NotFree { pfn, reason }| ContigError::Busy {
        pfn,
        reason,
        attempts: options.attempts,
    })
}

/// Asks the owner of every movable block of the range to migrate it, once. Returns the last
/// refusal.
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
        // No lock is held, so that blocks change meanwhile. The test finds what is missed here.
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
