//! Reserves free frames after boot, and adds memory that was a hole or reserved.

use core::fmt;

use crate::base::{FrameKind, FreeKind, Geometry, NotFree, Pfn, PfnRange, Platform, RangeError};
use crate::buddy::{Buddy, Taken};
use crate::isolation::obstacle_of;
use crate::page_allocator::PageAllocator;
use crate::records::FrameState;

/// Why frames were not reserved or added. Nothing has changed then.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum HandOverError {
    /// The range is empty, not in one zone, or has a frame that is not valid for the operation.
    Range(RangeError),
    /// A frame that is to be reserved is not free.
    NotFree(NotFree),
    /// A frame that is to be added is managed already.
    Managed {
        /// The first such frame.
        pfn: Pfn,
        /// The kind of that frame.
        kind: FrameKind,
    },
}

impl fmt::Display for HandOverError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Range(error) => error.fmt(f),
            Self::NotFree(error) => error.fmt(f),
            Self::Managed { pfn, kind } => write!(f, "{pfn} is managed already: it is {kind}"),
        }
    }
}

impl core::error::Error for HandOverError {}

impl From<RangeError> for HandOverError {
    fn from(error: RangeError) -> Self {
        Self::Range(error)
    }
}

pub(crate) fn reserve<P: Platform, G: Geometry>(
    allocator: &PageAllocator<'_, P, G>,
    range: PfnRange,
) -> Result<(), HandOverError> {
    let zone = allocator.zone_of_range(range)?;
    let desc = allocator.desc();
    allocator.drain_zone(zone);
    allocator.in_zone(zone, |inner| {
        inner.buddy.init_range(desc, range);
        let listed = |kind| matches!(kind, FreeKind::Listed(_));
        if let Some((pfn, state)) = Buddy::find_not_free(desc, range, listed) {
            return Err(HandOverError::NotFree(NotFree { pfn, reason: obstacle_of(state) }));
        }
        inner.buddy.carve(desc, range, Taken::Reserved);
        desc.frames.fill(range, FrameState::RESERVED);
        inner.buddy.release_guards_beside(desc, range);
        inner.present -= range.len();
        Ok(())
    })?;
    allocator.recalculate();
    Ok(())
}

pub(crate) fn add_memory<P: Platform, G: Geometry>(
    allocator: &PageAllocator<'_, P, G>,
    range: PfnRange,
) -> Result<(), HandOverError> {
    let zone = allocator.zone_of_span(range)?;
    let desc = allocator.desc();
    allocator.in_zone(zone, |inner| {
        for pfn in range.iter() {
            let kind = desc.frames.state(pfn).kind();
            if !matches!(kind, FrameKind::Hole | FrameKind::Reserved) {
                return Err(HandOverError::Managed { pfn, kind });
            }
        }
        inner.present += range.len();
        desc.poison.fill(range);
        desc.frames.fill(range, FrameState::TAIL);
        inner.buddy.add(desc, range);
        Ok(())
    })?;
    allocator.recalculate();
    Ok(())
}
