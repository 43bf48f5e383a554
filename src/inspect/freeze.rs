//! Freezes a zone: locks the pcplists of every CPU and then the zone.

use crate::base::{Geometry, Masked, Platform};
use crate::page_allocator::{PageAllocator, Revocation};
use crate::pcp::{CpuLists, ListId};
use crate::zone::{Zone, ZoneInner};

/// The contents of the pcplists of a zone.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct CachedPages {
    /// Pages, by the lengths of the lists.
    pub(super) counted: usize,
    /// Pages, by the entries whose block is in the cached state.
    pub(super) found: usize,
    /// Entries whose block is in another state (stale entries).
    pub(super) stale: usize,
}

/// The CPUs whose lists one level of the recursion locks, so that there are few levels.
const AT_A_TIME: usize = 32;

/// Runs `f` with the zone frozen. Needs stack for a guard for each CPU.
pub(super) fn freeze<'m, R, P: Platform, G: Geometry>(
    allocator: &PageAllocator<'m, P, G>,
    zone: &Zone<G>,
    revocation: &Revocation<'_, 'm, P, G>,
    f: &mut dyn FnMut(&ZoneInner<G>, CachedPages) -> R,
) -> R {
    let _masked = Masked::new(allocator.platform());
    lock_lists(allocator, zone, revocation.lists(), CachedPages::default(), f)
}

/// Locks the lists of some CPUs and counts what is on them, and so on with the others by recursion,
/// because their number is not known when this is compiled; then locks the zone.
fn lock_lists<'m, R, P: Platform, G: Geometry>(
    allocator: &PageAllocator<'m, P, G>,
    zone: &Zone<G>,
    all: &[CpuLists<'m>],
    mut cached: CachedPages,
    f: &mut dyn FnMut(&ZoneInner<G>, CachedPages) -> R,
) -> R {
    if all.is_empty() {
        return allocator.in_zone_masked(zone, |inner| f(inner, cached));
    }
    let (some, others) = all.split_at(all.len().min(AT_A_TIME));
    let mut locked = [const { None }; AT_A_TIME];
    for (place, lists) in locked.iter_mut().zip(some) {
        *place = Some(lists.access.lock());
        count_lists(allocator, zone, lists, &mut cached);
    }
    lock_lists(allocator, zone, others, cached, f)
}

/// Adds what is on the lists of one CPU. Out of line, to keep its variables off the recursion.
#[inline(never)]
fn count_lists<'m, P: Platform, G: Geometry>(
    allocator: &PageAllocator<'m, P, G>,
    zone: &Zone<G>,
    lists: &CpuLists<'m>,
    cached: &mut CachedPages,
) {
    cached.counted += lists.pages::<G>(zone.kind());
    for id in ListId::of_zone::<G>(zone.kind()) {
        for index in lists.blocks(id) {
            if allocator.desc().frames.written_state_at(index) == lists.cached_state(id.order()) {
                cached.found += id.order().pages();
            } else {
                cached.stale += 1;
            }
        }
    }
}
