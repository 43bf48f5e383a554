//! Retires a bad frame (`soft_offline_page` in Linux).
//!
//! The frame is isolated first, whatever it is: no free puts its block onto a pcplist then, so that
//! the state of the block can be changed with the zone locked. A free frame leaves its list. A
//! frame of an allocated block is marked, so that the free of the block retires it, and the block
//! is migrated if it is movable.

use crate::base::{FrameKind, Geometry, Migrate, Mobility, NotFree, Obstacle, Pfn, PfnRange, Platform};
use crate::contig::{ContigOptions, Moved, move_block};
use crate::isolation::{IsolateError, IsolatedRange, Purpose, obstacle_of};
use crate::page_allocator::PageAllocator;
use crate::records::{Descriptors, FrameState};
use crate::sync::spin_hint;
use crate::zone::ZoneInner;

/// What has become of a bad frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SoftOffline {
    /// It is retired.
    Retired,
    /// It is allocated, and is retired when its block is freed: the first frame of the block, and
    /// why the block was not migrated. Or the block is being reported to the host
    /// ([`Obstacle::Reporting`]), and the frame is retired when the host has acknowledged it.
    WhenFreed(NotFree),
}

/// What one look at the frame found.
enum Found {
    Retired,
    /// An allocated block, in which the frame is marked now.
    InUse(Pfn, FrameState),
    /// It changes at this moment.
    Again,
}

/// How often the block is asked for while another call is migrating it.
const MAX_WAITS: u32 = 10_000;
/// How often the frame is looked at if it is in a state that ends at once.
const MAX_LOOKS: u32 = 100;

pub(crate) fn soft_offline_page<P: Platform, G: Geometry>(
    allocator: &PageAllocator<'_, P, G>,
    pfn: Pfn,
    migrate: &impl Migrate,
    options: ContigOptions,
) -> Result<SoftOffline, IsolateError> {
    let isolated = IsolatedRange::new(allocator, PfnRange::with_len(pfn, 1), Purpose::Retire)?;
    let (mut attempts, mut waits, mut looks) = (0, 0, 0);
    loop {
        let found = allocator.in_zone(isolated.zone(), |inner| {
            look_at(allocator.desc(), inner, pfn, |inner| isolated.taken(inner, 1))
        });
        let changing = match found {
            Found::Retired => return Ok(SoftOffline::Retired),
            Found::Again if looks == MAX_LOOKS => {
                return Err(IsolateError::Unmovable { pfn, reason: Obstacle::Cached });
            }
            Found::Again => {
                looks += 1;
                false
            }
            Found::InUse(head, state) => {
                let reason = match try_to_move(allocator, head, state, migrate, options) {
                    Some(reason) => reason,
                    None => continue,
                };
                let changing = reason == Obstacle::Moving && waits < MAX_WAITS;
                attempts += u32::from(!changing);
                if !is_movable(state) || attempts == options.attempts {
                    return Ok(SoftOffline::WhenFreed(NotFree { pfn: head, reason }));
                }
                changing
            }
        };
        migrate.yield_now();
        if changing {
            waits += 1;
            spin_hint();
        }
    }
}

fn is_movable(state: FrameState) -> bool {
    state.is(FrameKind::Allocated) && state.mobility() == Mobility::Movable
}

/// Migrates the block if it is movable. Returns why it was not migrated; `None` if it is no longer
/// what it was.
fn try_to_move<P: Platform, G: Geometry>(
    allocator: &PageAllocator<'_, P, G>,
    head: Pfn,
    state: FrameState,
    migrate: &impl Migrate,
    options: ContigOptions,
) -> Option<Obstacle> {
    if !is_movable(state) {
        return Some(obstacle_of(state));
    }
    match move_block(allocator, head, state, migrate, options.depth) {
        Moved::Migrated | Moved::Freed => None,
        Moved::AlreadyMoving => Some(Obstacle::Moving),
        Moved::Refused(error) => Some(Obstacle::NotMigrated(error)),
        Moved::NoTarget(_) => Some(Obstacle::NoTarget),
    }
}

/// Retires the frame, or marks it. `retired` is called if it was free. The zone is locked.
fn look_at<G: Geometry>(
    desc: &Descriptors<'_, G>,
    inner: &mut ZoneInner<G>,
    pfn: Pfn,
    retired: impl FnOnce(&mut ZoneInner<G>),
) -> Found {
    let Some((head, state)) = desc.frames.head_of(pfn, G::MAX_ORDER) else {
        return Found::Again;
    };
    match state.kind() {
        FrameKind::HwPoison => Found::Retired,
        FrameKind::Free => {
            inner.buddy.retire_free(desc, pfn);
            retired(inner);
            Found::Retired
        }
        FrameKind::Offline => {
            inner.buddy.retire_offline(desc, pfn);
            Found::Retired
        }
        FrameKind::Guard => {
            inner.buddy.release_guard_of(desc, pfn);
            Found::Again
        }
        // One that is being reported is handed over: the isolation has taken back all others.
        FrameKind::Allocated | FrameKind::Contig | FrameKind::Reporting => {
            Found::InUse(head, desc.frames.mark_bad(pfn, head))
        }
        FrameKind::Cached | FrameKind::Parked | FrameKind::Tail | FrameKind::Hole | FrameKind::Reserved => {
            Found::Again
        }
    }
}
