//! Drains: a CPU frees the blocks on the pcplists of all CPUs to the zones.
//!
//! A drain revokes the access of every CPU to its pcplists, waits until no owner has access,
//! empties the lists with their locks held, and lets the owners resume
//! ([`biased_lock`](crate::pcp)). Owners that call the allocator meanwhile use the zones.
//! (`__drain_all_pages` of Linux takes the lock of the other CPU's lists, since v6.2, so that every
//! call of the fast path must take it too.)
//!
//! **When a drain of a zone returns**, every block that was on one of its pcplists when the drain
//! began has been freed to the zone or allocated. CPUs may have cached other blocks since.
//!
//! **CPUs that have used no list** since the last drain of all lists are passed over. Their lists
//! are *closed*: the fast path cannot push to them, and the slow path of a free or a refill, which
//! has access, sets a mark of the CPU when it opens one. The mark is read after the revocation,
//! when no owner has access, so that it is not out of date.
//!
//! **When a drain of pageblocks returns** that were isolated before it began, none of their blocks
//! is on a pcplist, and none will be until the isolation is undone. [`pcp`](crate::pcp) has the
//! argument. Blocks of other pageblocks stay on the lists, so that the CPUs need not refill them.

use core::ops::Range;

use crate::base::{Geometry, Masked, PfnRange, Platform, TraceEvent};
use crate::page_allocator::allocator::PageAllocator;
use crate::pcp::{CpuLists, ListId};
use crate::records::FrameIndex;
use crate::sync::model_has_failed;
use crate::zone::{Zone, ZoneInner};

/// The most blocks that are freed in one lock hold, so that interrupts are not masked for long: a
/// block may merge once for each order.
const DRAIN_BATCH: usize = 8;
/// The most blocks of a list that are looked at in one lock hold, likewise.
const DRAIN_LOOKS: usize = 512;

/// While this exists no owner has access to its lists: allocations and frees use the zones.
#[derive(Debug)]
pub(crate) struct Revocation<'a, 'm, P: Platform, G: Geometry>(&'a PageAllocator<'m, P, G>);

impl<'m, P: Platform, G: Geometry> Revocation<'_, 'm, P, G> {
    pub(crate) fn lists(&self) -> &'m [CpuLists<'m>] {
        self.0.all_lists()
    }
}

/// The lists that may have a block: those that were used since they were last drained. Exact,
/// because no owner has access.
fn used<'a, 'm, P: Platform, G: Geometry>(
    revocation: &'a Revocation<'_, 'm, P, G>,
) -> impl Iterator<Item = &'m CpuLists<'m>> + use<'a, 'm, P, G> {
    revocation.lists().iter().filter(|lists| lists.are_in_use())
}

impl<P: Platform, G: Geometry> Drop for Revocation<'_, '_, P, G> {
    fn drop(&mut self) {
        if model_has_failed() {
            return;
        }
        for lists in self.lists() {
            let _masked = Masked::new(self.0.platform());
            lists.access.resume();
        }
    }
}

impl<'m, P: Platform, G: Geometry> PageAllocator<'m, P, G> {
    /// Revokes the access of every CPU to its lists, and waits until none has access. Not from
    /// interrupt handlers, because the code that they interrupted may have access.
    pub(crate) fn revoke_lists(&self) -> Revocation<'_, 'm, P, G> {
        for lists in self.all_lists() {
            let _masked = Masked::new(self.platform());
            lists.access.revoke();
        }
        let revocation = Revocation(self);
        if P::PCP_ACCESS.is_owner_only() {
            self.platform().barrier_on_every_cpu();
            for lists in self.lists() {
                lists.access.wait_for_owner();
            }
        }
        revocation
    }

    /// Frees the blocks of a zone that are on the pcplists of any CPU.
    pub(crate) fn drain_zone(&self, zone: &Zone<G>) {
        self.events.drains.add(1);
        self.empty_lists(zone, &self.revoke_lists());
    }

    /// Frees the blocks of the pageblocks that overlap `range` that are on the pcplists of any CPU.
    pub(crate) fn drain_pageblocks(&self, zone: &Zone<G>, range: PfnRange) {
        self.events.drains.add(1);
        let order = G::PAGEBLOCK_ORDER;
        let pageblocks = PfnRange::new(order.align_down(range.start()), order.align_up(range.end()));
        let revocation = self.revoke_lists();
        for part in self.desc().frames.extents().parts(pageblocks) {
            let first = part.first().number();
            let indices = first..first + part.frames().len() as u32;
            for lists in used(&revocation) {
                for id in ListId::of_zone::<G>(zone.kind()) {
                    self.remove_from_list(zone, lists, id, &indices);
                }
            }
        }
    }

    /// Frees the blocks of a list that have these indices. Looks at a part of the list, from its
    /// newest blocks on, in each lock hold.
    fn remove_from_list(&self, zone: &Zone<G>, lists: &CpuLists<'m>, id: ListId, indices: &Range<u32>) {
        let mut rest = lists.len(id);
        while rest > 0 {
            let _masked = Masked::new(self.platform());
            let _locked = lists.access.lock();
            let mut batch = [FrameIndex::NONE; DRAIN_BATCH];
            let wanted = |index: FrameIndex| indices.contains(&index.number());
            let removed;
            (removed, rest) = lists.remove_if(id, rest, DRAIN_LOOKS, &mut batch, wanted);
            if removed > 0 {
                let batch = batch.get(..removed).unwrap_or(&[]);
                self.in_zone_masked(zone, |inner| {
                    let pages = self.return_to_buddy(inner, lists, id, batch.iter().copied());
                    inner.buddy.events_mut().drain_pages += pages;
                });
            }
        }
    }

    /// Frees the blocks on the pcplists of all CPUs to their zones.
    ///
    /// When it returns, every block that was on a pcplist when it was called has been freed or
    /// allocated. Other CPUs may have cached other blocks since. Any CPU; not from interrupt
    /// handlers, because it may wait for the code that they interrupted.
    pub fn drain_all(&self) {
        self.events.drains.add(1);
        let revocation = self.revoke_lists();
        for zone in self.zones() {
            self.empty_lists(zone, &revocation);
        }
        for lists in used(&revocation) {
            let _masked = Masked::new(self.platform());
            let _locked = lists.access.lock();
            lists.close_if_empty();
        }
    }

    /// As [`drain_all`](Self::drain_all), for a request that found no memory, unless no CPU has
    /// used its lists since the last drain. Returns false then. That is read without a lock: a
    /// block that another CPU is caching at the moment is one that it may cache after a drain, too.
    pub(super) fn drain_used(&self) -> bool {
        let used = self.all_lists().iter().any(CpuLists::are_in_use);
        if used {
            self.drain_all();
        }
        used
    }

    /// Frees all blocks on the pcplists of a zone, a bounded number in each lock hold.
    fn empty_lists(&self, zone: &Zone<G>, revocation: &Revocation<'_, 'm, P, G>) {
        for lists in used(revocation) {
            for id in ListId::of_zone::<G>(zone.kind()) {
                while lists.len(id) > 0 {
                    let _masked = Masked::new(self.platform());
                    let _locked = lists.access.lock();
                    self.in_zone_masked(zone, |inner| {
                        let pages = self.return_to_buddy(inner, lists, id, lists.newest(id, DRAIN_BATCH));
                        inner.buddy.events_mut().drain_pages += pages;
                    });
                    lists.remove_newest_blocks(id, DRAIN_BATCH);
                }
            }
        }
    }

    /// Frees the blocks that the pcplists hold above their limits, a batch in each lock hold.
    pub(super) fn trim_lists(&self, revocation: &Revocation<'_, 'm, P, G>) {
        for zone in self.zones() {
            for lists in revocation.lists() {
                for id in ListId::of_zone::<G>(zone.kind()) {
                    while lists.len(id) > lists.limit(id) {
                        let _masked = Masked::new(self.platform());
                        let _locked = lists.access.lock();
                        self.spill(zone, lists, id);
                    }
                }
            }
        }
    }

    /// Frees blocks that leave a pcplist, in a spill or a drain, to the zone. Drops stale entries.
    /// Returns the number of pages.
    #[inline]
    pub(super) fn return_to_buddy(
        &self,
        inner: &mut ZoneInner<G>,
        lists: &CpuLists<'_>,
        id: ListId,
        entries: impl Iterator<Item = FrameIndex> + Clone,
    ) -> u64 {
        let (desc, order, mobility) = (self.desc(), id.order(), id.mobility());
        let blocks = inner.buddy.free_batch(desc, order, mobility, lists.cached_state(order), entries);
        desc.trace.emit(|| TraceEvent::PcpReturn { order, mobility, blocks });
        (blocks * order.pages()) as u64
    }
}
