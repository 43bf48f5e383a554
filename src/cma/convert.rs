//! Gives the pageblocks of a new area the migratetype CMA.
//!
//! No block of a pageblock that is free as a whole is on a pcplist, and a lock hold suffices to
//! change its type. If all are, and movable as memory is at boot, no pageblock is isolated, and the
//! time grows with the free blocks of the range and not with its frames. Otherwise the range is
//! isolated, which returns what is cached to the zone.
//!
//! A pageblock gets into one area at most, although others convert at the same time: each changes
//! the type of a pageblock in a lock hold in which it has neither the type CMA nor is isolated, or
//! while it has isolated it itself and after it has seen that the type was another.

use crate::base::{FreeKind, Geometry, MigrateType, Pageblock, Pfn, PfnRange, Platform};
use crate::cma::error::CmaError;
use crate::isolation::{IsolatedRange, Purpose};
use crate::page_allocator::PageAllocator;
use crate::records::Descriptors;

/// The most free blocks that are converted in one lock hold, so that interrupts are not masked for
/// long.
const BLOCKS: usize = 4;

/// Checks that a pageblock can become part of an area.
fn check_type<G: Geometry>(desc: &Descriptors<'_, G>, pfn: Pfn) -> Result<(), CmaError> {
    match desc.pageblocks.state(pfn).migratetype {
        MigrateType::Cma => Err(CmaError::Taken { pfn }),
        MigrateType::MovableOnly => Err(CmaError::MovableOnly { pfn }),
        _ => Ok(()),
    }
}

/// Converts the pageblocks of `range`, if all are movable, free as a whole and not isolated.
/// Returns false, and nothing has changed, if one is not.
pub(super) fn convert_free<P: Platform, G: Geometry>(
    allocator: &PageAllocator<'_, P, G>,
    range: PfnRange,
) -> Result<bool, CmaError> {
    let zone = allocator.zone_of_range(range).map_err(|error| CmaError::Isolate(error.into()))?;
    let (desc, mut next) = (allocator.desc(), range.start());
    let mut step = Ok(true);
    while next < range.end() && step == Ok(true) {
        step = allocator.in_zone_to_init(zone, PfnRange::with_len(next, 1), |inner| {
            for _ in 0..BLOCKS {
                if next == range.end() {
                    break;
                }
                check_type(desc, next)?;
                if desc.kind(next) != FreeKind::Listed(MigrateType::Movable) {
                    return Ok(false);
                }
                inner.buddy.take_back_at(desc, next);
                let rest = PfnRange::new(next, range.end());
                match inner.buddy.retype_free(desc, rest, MigrateType::Cma) {
                    Some(end) => next = end,
                    None => return Ok(false),
                }
            }
            Ok(true)
        });
    }
    if step != Ok(true) {
        for pageblock in Pageblock::covering::<G>(PfnRange::new(range.start(), next)) {
            allocator.in_zone(zone, |inner| {
                let state = desc.pageblocks.state(pageblock.start());
                inner.buddy.retype(desc, pageblock, state.with_type(MigrateType::Movable));
            });
        }
    }
    step
}

/// Converts the pageblocks of `range`, all of whose frames must be free or cached.
pub(super) fn convert_isolated<P: Platform, G: Geometry>(
    allocator: &PageAllocator<'_, P, G>,
    range: PfnRange,
) -> Result<(), CmaError> {
    let mut isolated = IsolatedRange::new(allocator, range, Purpose::Take).map_err(CmaError::Isolate)?;
    for block in Pageblock::covering::<G>(range) {
        check_type(allocator.desc(), block.start())?;
    }
    let free = isolated.test().map_err(CmaError::NotFree)?;
    free.set_type(MigrateType::Cma);
    Ok(())
}
