//! Freezes a zone: locks every CPU's pcplists and then the zone, so that nothing in it changes.

use crate::base::{Geometry, Platform};
use crate::page_allocator::{PageAllocator, Revocation};
use crate::pcp::{CpuLists, ListId};
use crate::zone::{Zone, ZoneInner};

/// What the pcplists of a zone hold.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct CachedPages {
    /// Pages by the lengths of the lists.
    pub(super) counted: usize,
    /// Pages of the blocks whose state agrees.
    pub(super) found: usize,
    /// Entries whose block is in another state.
    pub(super) stale: usize,
}

/// Runs `f` while nothing changes in the zone. Needs stack in proportion to the CPUs.
pub(super) fn freeze<'m, R, P: Platform, G: Geometry>(
    allocator: &PageAllocator<'m, P, G>,
    zone: &Zone<G>,
    revocation: &Revocation<'_, 'm, P, G>,
    f: &mut dyn FnMut(&ZoneInner<G>, CachedPages) -> R,
) -> R {
    allocator
        .platform()
        .without_interrupts(|| lock_lists(allocator, zone, revocation.lists(), CachedPages::default(), f))
}

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
