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

/// Runs `f` with the zone frozen. Needs stack in proportion to the CPUs.
pub(super) fn freeze<'m, R, P: Platform, G: Geometry>(
    allocator: &PageAllocator<'m, P, G>,
    zone: &Zone<G>,
    revocation: &Revocation<'_, 'm, P, G>,
    f: &mut dyn FnMut(&ZoneInner<G>, CachedPages) -> R,
) -> R {
    let _masked = Masked::new(allocator.platform());
    lock_lists(allocator, zone, revocation.lists(), CachedPages::default(), f)
}

/// Locks the lists of each CPU by recursion, and counts what is on them; then locks the zone.
fn lock_lists<'m, R, P: Platform, G: Geometry>(
    allocator: &PageAllocator<'m, P, G>,
    zone: &Zone<G>,
    all: &[CpuLists<'m>],
    mut cached: CachedPages,
    f: &mut dyn FnMut(&ZoneInner<G>, CachedPages) -> R,
) -> R {
    let Some((lists, rest)) = all.split_first() else {
        return zone.locked(|inner| f(inner, cached));
    };
    let _locked = lists.access.lock();
    cached.counted += lists.pages::<G>(zone.kind());
    for id in ListId::of_zone::<G>(zone.kind()) {
        for index in lists.blocks(id) {
            if allocator.desc().frames.state_at(index) == lists.cached_state(id.order()) {
                cached.found += id.order().pages();
            } else {
                cached.stale += 1;
            }
        }
    }
    lock_lists(allocator, zone, rest, cached, f)
}
