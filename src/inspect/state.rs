//! The state of the allocator in one form: all that the results of later calls depend on.
//!
//! Two states of one machine that have this form in common answer every sequence of calls alike,
//! although their records may differ in what no call reads: the words of frames that are on no
//! linked list and have no owner word, the entries of a pcplist beyond its length, where in its
//! array a pcplist begins, the sites of allocations, and statistics. A search of all states
//! compares this form.

use core::hash::Hasher;

use crate::base::{Geometry, Pageblock, PfnRange, Platform};
use crate::page_allocator::PageAllocator;
use crate::pcp::{CpuLists, ListId};
use crate::zone::Zone;

pub(crate) fn hash_state<P: Platform, G: Geometry>(
    allocator: &PageAllocator<'_, P, G>,
    hasher: &mut impl Hasher,
) {
    hasher.write_u8(u8::from(allocator.desc().poison.is_on()));
    for zone in allocator.zones() {
        hash_zone(allocator, zone, hasher);
        hash_records(allocator, zone, hasher);
        for lists in allocator.all_lists() {
            hash_lists(allocator, lists, zone, hasher);
        }
        for id in ListId::of_zone::<G>(zone.kind()) {
            hasher.write_u32(allocator.refilled_by(id));
        }
    }
}

/// The counters and limits of a zone, and its lists in their order.
fn hash_zone<P: Platform, G: Geometry>(
    allocator: &PageAllocator<'_, P, G>,
    zone: &Zone<G>,
    hasher: &mut impl Hasher,
) {
    allocator.in_zone(zone, |inner| {
        let counters = inner.buddy.counters();
        for count in [
            inner.present,
            inner.marks.min,
            inner.marks.low,
            inner.limits.batch,
            counters.free(),
            counters.free_cma(),
            counters.free_atomic(),
            counters.free_movable_only(),
            inner.buddy.movable_only(),
            counters.isolated(),
            counters.guard(),
            counters.offline(),
            inner.buddy.atomic_pageblocks(),
            counters.reporting(),
            counters.reported(),
            usize::from(inner.buddy.reporting().is_open()),
        ] {
            hasher.write_usize(count);
        }
        // The order of a list, and of the pageblocks of a fullness group, decides what is next.
        let damaged = inner.buddy.walk(allocator.desc(), |order, kind, pfn| {
            hasher.write_u8(order.get());
            hasher.write_u8(kind.index() as u8);
            hasher.write_usize(pfn.number());
        });
        hasher.write_usize(damaged);
        let damaged = inner.buddy.walk_batch(allocator.desc(), |order, pfn| {
            hasher.write_u8(order.get());
            hasher.write_usize(pfn.number());
        });
        hasher.write_usize(damaged);
        for range in inner.buddy.deferred().ranges() {
            hasher.write_usize(range.len());
            if !range.is_empty() {
                hasher.write_usize(range.start().number());
            }
        }
    });
}

/// The records of the frames and pageblocks of a zone.
fn hash_records<P: Platform, G: Geometry>(
    allocator: &PageAllocator<'_, P, G>,
    zone: &Zone<G>,
    hasher: &mut impl Hasher,
) {
    let desc = allocator.desc();
    let runs = || desc.frames.extents().runs(zone.addresses());
    for pageblock in runs().flat_map(Pageblock::covering::<G>) {
        let state = desc.pageblocks.state(pageblock.start());
        hasher.write_u8(state.migratetype as u8);
        hasher.write_u8(state.isolation as u8);
        if let Some(tree) = desc.pageblocks.tree(pageblock.start()) {
            hasher.write_u16(tree.summary.local().to_bits());
        }
    }
    allocator.in_zone(zone, |_| {
        for pfn in runs().flat_map(|run| run.iter()) {
            let state = desc.frames.state(pfn);
            hasher.write_u32(state.to_bits());
            if state.has_owner_word() {
                hasher.write_u64(desc.frames.owner(pfn));
            }
            hasher.write_u8(desc.isolated.count(PfnRange::with_len(pfn, 1)) as u8);
        }
    });
}

/// The pcplists of one CPU for a zone.
fn hash_lists<P: Platform, G: Geometry>(
    allocator: &PageAllocator<'_, P, G>,
    lists: &CpuLists<'_>,
    zone: &Zone<G>,
    hasher: &mut impl Hasher,
) {
    for id in ListId::of_zone::<G>(zone.kind()) {
        lists.reserved(id).pageblocks(allocator.desc()).for_each(|number| hasher.write_u32(number));
        hasher.write_u32(u32::MAX);
        hasher.write_usize(lists.limit(id));
        hasher.write_usize(lists.len(id));
        for index in lists.blocks(id) {
            hasher.write_u32(index.number());
        }
    }
}
