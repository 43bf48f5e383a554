//! Reserves free frames after boot, and adds memory that was a hole or reserved.
//!
//! A range may be in several zones. Each pageblock is changed in a lock hold of its own, so that
//! interrupts are masked for a time that does not grow with the range; all are checked first.

use core::fmt;

use crate::base::{
    FrameKind, FreeKind, Geometry, MemoryUse, MigrateType, NotFree, Order, Pageblock, Pfn, PfnRange,
    Platform, RangeError,
};
use crate::buddy::{Buddy, Change, Taken};
use crate::isolation::obstacle_of;
use crate::page_allocator::PageAllocator;
use crate::records::{Added, Descriptors, FrameState};
use crate::zone::{Zone, ZoneInner};

/// Why frames were not reserved or added. Nothing has changed then.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum HandOverError {
    /// The range is empty, is not in the span of the records, or has a frame to be reserved that is
    /// not managed.
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
    /// A range that is to be movable-only does not consist of whole pageblocks.
    Unaligned {
        /// The range that was given.
        range: PfnRange,
        /// The order of a pageblock.
        pageblock: Order,
    },
    /// A pageblock with frames that are to be added has another use: it is movable-only and has
    /// other managed frames, or it is in a CMA area.
    OtherUse {
        /// The first frame of the range in that pageblock.
        pfn: Pfn,
        /// The type of the pageblock.
        migratetype: MigrateType,
    },
}

impl fmt::Display for HandOverError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Range(error) => error.fmt(f),
            Self::NotFree(error) => error.fmt(f),
            Self::Managed { pfn, kind } => write!(f, "{pfn} is managed already: it is {kind}"),
            Self::Unaligned { range, pageblock } => {
                write!(f, "{range} is not whole pageblocks of {pageblock}, so that it cannot be movable-only")
            }
            Self::OtherUse { pfn, migratetype } => {
                write!(f, "the pageblock of {pfn} has another use: it is {migratetype}")
            }
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
    let zones = allocator.zones_of_span(range)?;
    for (zone, part) in zones.clone() {
        allocator.check_memory(zone, part)?;
    }
    let desc = allocator.desc();
    for (zone, _) in zones.clone() {
        allocator.drain_zone(zone);
    }
    let parts = || zones.clone().flat_map(parts_of::<G>);
    for (zone, part) in parts() {
        allocator.in_zone_to_init(zone, part, |inner| {
            inner.buddy.init_range(desc, part);
            check_free(desc, part)
        })?;
    }
    for (zone, part) in parts() {
        let reserved = allocator.in_zone(zone, |inner| {
            check_free(desc, part)?;
            inner.buddy.carve(desc, part, Taken::Reserved);
            desc.frames.fill(part, FrameState::RESERVED);
            inner.buddy.release_guards_beside(desc, part);
            inner.present -= part.len();
            Ok(())
        });
        if let Err(error) = reserved {
            // Another CPU has allocated a frame since the check.
            for (zone, part) in parts().take_while(|(_, other)| other.start() < part.start()) {
                allocator.in_zone(zone, |inner| add(desc, inner, part));
            }
            return Err(error);
        }
    }
    allocator.recalculate();
    Ok(())
}

/// The parts of a range in a zone, one for each lock hold.
fn parts_of<G: Geometry>((zone, range): (&Zone<G>, PfnRange)) -> impl Iterator<Item = (&Zone<G>, PfnRange)> {
    Pageblock::parts::<G>(range).map(move |part| (zone, part))
}

/// Checks that every frame of `range`, none of which is deferred, is free.
fn check_free<G: Geometry>(desc: &Descriptors<'_, G>, range: PfnRange) -> Result<(), HandOverError> {
    let listed =
        |state: FrameState| state.is(FrameKind::Free) && matches!(state.free_kind(), FreeKind::Listed(_));
    match Buddy::find_not(desc, range, listed) {
        Some((pfn, state)) => Err(HandOverError::NotFree(NotFree { pfn, reason: obstacle_of(state) })),
        None => Ok(()),
    }
}

pub(crate) fn add_memory<P: Platform, G: Geometry>(
    allocator: &PageAllocator<'_, P, G>,
    range: PfnRange,
    memory_use: MemoryUse,
) -> Result<(), HandOverError> {
    let order = G::PAGEBLOCK_ORDER;
    let whole = order.is_aligned(range.start()) && order.is_aligned(range.end());
    if memory_use == MemoryUse::MovableOnly && !whole {
        return Err(HandOverError::Unaligned { range, pageblock: order });
    }
    let desc = allocator.desc();
    // So that nothing removes the records of the range meanwhile.
    let _lock = desc.frames.extents().added().map(Added::lock);
    let zones = allocator.zones_of_span(range)?;
    for (zone, part) in zones.clone().flat_map(parts_of::<G>) {
        allocator.in_zone(zone, |_| check_addable(desc, part, memory_use))?;
    }
    // Under the lock that is held, no other call adds memory, so that what was checked holds.
    for (zone, part) in zones.flat_map(parts_of::<G>) {
        allocator.in_zone(zone, |inner| {
            set_use(desc, inner, part, memory_use);
            add(desc, inner, part);
        });
    }
    allocator.recalculate();
    Ok(())
}

/// Checks that no frame of `range` is managed, and that its pageblocks can have this use.
fn check_addable<G: Geometry>(
    desc: &Descriptors<'_, G>,
    range: PfnRange,
    memory_use: MemoryUse,
) -> Result<(), HandOverError> {
    if let Some(pfn) = desc.frames.first_where(range, |state| !state.is_no_memory()) {
        return Err(HandOverError::Managed { pfn, kind: desc.frames.state(pfn).kind() });
    }
    for pageblock in Pageblock::covering::<G>(range) {
        let migratetype = desc.pageblocks.state(pageblock.start()).migratetype;
        let has_other_use = match (migratetype, memory_use) {
            (MigrateType::Cma, MemoryUse::MovableOnly) => true,
            (MigrateType::MovableOnly, MemoryUse::Ordinary) => !is_new(desc, pageblock),
            _ => false,
        };
        if has_other_use {
            let pfn = pageblock.start().max(range.start());
            return Err(HandOverError::OtherUse { pfn, migratetype });
        }
    }
    Ok(())
}

/// Whether no frame of the pageblock is managed or offline.
fn is_new<G: Geometry>(desc: &Descriptors<'_, G>, pageblock: Pageblock) -> bool {
    desc.frames.first_where(pageblock.range::<G>(), |state| !state.is_no_memory()).is_none()
}

/// Gives the pageblocks of `range`, none of whose frames is managed yet, the type for this use.
fn set_use<G: Geometry>(
    desc: &Descriptors<'_, G>,
    inner: &mut ZoneInner<G>,
    range: PfnRange,
    memory_use: MemoryUse,
) {
    for pageblock in Pageblock::covering::<G>(range) {
        let state = desc.pageblocks.state(pageblock.start());
        let migratetype = match (memory_use, state.migratetype) {
            (MemoryUse::MovableOnly, _) => MigrateType::MovableOnly,
            (MemoryUse::Ordinary, MigrateType::MovableOnly) => MigrateType::Movable,
            (MemoryUse::Ordinary, other) => other,
        };
        if migratetype != state.migratetype {
            inner.buddy.retype(desc, pageblock, state.with_type(migratetype));
        }
    }
}

/// Adds the frames of `range` to the zone, all of them free.
fn add<G: Geometry>(desc: &Descriptors<'_, G>, inner: &mut ZoneInner<G>, range: PfnRange) {
    inner.present += range.len();
    desc.poison.fill(range);
    desc.frames.fill(range, FrameState::TAIL);
    inner.buddy.add(desc, range);
    inner.buddy.count_movable_only(desc, range, Change::Join);
}
