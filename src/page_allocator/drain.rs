//! Drains: any CPU returns the cached blocks of all CPUs to the buddy.
//!
//! A drain revokes every owner's access to its lists, makes sure that no owner has access, empties
//! the lists under their locks and lets the owners resume ([`biased_lock`](crate::pcp)). Owners
//! that call the allocator meanwhile use the zones. (`__drain_all_pages` of Linux takes the other
//! CPU's lock since v6.2, for which every call of the fast path pays.)
//!
//! **When a drain of a zone returns**, every block that was on one of its pcplists when the drain
//! began has been returned to the buddy, or was allocated. Blocks may be cached again at
//! once.
//!
//! **When a drain of pageblocks returns** that were isolated before it began, no block of them is
//! on a pcplist, nor will one be until the isolation is undone. [`pcp`](crate::pcp) has the
//! argument. Blocks of other pageblocks stay on the lists: to remove them would help nobody, and
//! each CPU would have to refill its lists.

use crate::base::{Geometry, PfnRange, Platform};
use crate::page_allocator::allocator::PageAllocator;
use crate::pcp::{CpuLists, ListId};
use crate::records::FrameIndex;
use crate::sync::model_has_failed;
use crate::zone::{Zone, ZoneInner};

/// Blocks returned in one hold of the zone's lock, so that a drain never masks interrupts for long.
const DRAIN_BATCH: usize = 64;

/// No owner has access to its CPU's lists until this is dropped. Allocations and frees use the
/// zones.
#[derive(Debug)]
pub(crate) struct Revocation<'a, 'm, P: Platform, G: Geometry>(&'a PageAllocator<'m, P, G>);

impl<'m, P: Platform, G: Geometry> Revocation<'_, 'm, P, G> {
    pub(crate) fn lists(&self) -> &'m [CpuLists<'m>] {
        self.0.lists()
    }
}

impl<P: Platform, G: Geometry> Drop for Revocation<'_, '_, P, G> {
    fn drop(&mut self) {
        if model_has_failed() {
            return;
        }
        for lists in self.lists() {
            self.0.platform().without_interrupts(|| lists.access.resume());
        }
    }
}

impl<'m, P: Platform, G: Geometry> PageAllocator<'m, P, G> {
    /// Revokes the access of every CPU to its lists. Not from interrupt handlers: the code that
    /// they interrupted may have access.
    pub(crate) fn revoke_lists(&self) -> Revocation<'_, 'm, P, G> {
        for lists in self.lists() {
            self.platform().without_interrupts(|| lists.access.revoke());
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

    /// Returns what the pcplists of every CPU hold of a zone to the buddy.
    pub(crate) fn drain_zone(&self, zone: &Zone<G>) {
        self.empty_lists(zone, &self.revoke_lists());
    }

    /// Returns what the pcplists of every CPU hold of the pageblocks that `range` touches.
    pub(crate) fn drain_pageblocks(&self, zone: &Zone<G>, range: PfnRange) {
        let order = G::PAGEBLOCK_ORDER;
        let pageblocks = PfnRange::new(order.align_down(range.start()), order.align_up(range.end()));
        let wanted = |index| pageblocks.contains(self.desc().frames.pfn(index));
        let revocation = self.revoke_lists();
        for lists in revocation.lists() {
            for id in ListId::of_zone::<G>(zone.kind()) {
                let mut removed = DRAIN_BATCH;
                while removed == DRAIN_BATCH && lists.len(id) > 0 {
                    removed = self.platform().without_interrupts(|| {
                        let _locked = lists.access.lock();
                        let mut batch = [FrameIndex::NONE; DRAIN_BATCH];
                        let removed = lists.remove_if(id, &mut batch, wanted);
                        if removed > 0 {
                            let batch = batch.into_iter().take(removed);
                            zone.locked(|inner| self.return_to_buddy(inner, lists, id, batch));
                        }
                        removed
                    });
                }
            }
        }
    }

    /// Returns the blocks on the pcplists of every CPU to the free lists.
    ///
    /// When this returns, every block that was on a pcplist when it was called has been returned or
    /// allocated. Other CPUs may have cached new ones. Any CPU; not from interrupt handlers,
    /// because it takes time and may wait for the code that they interrupted.
    pub fn drain_all(&self) {
        let revocation = self.revoke_lists();
        for zone in self.zones() {
            self.empty_lists(zone, &revocation);
        }
    }

    /// Returns everything on the lists of a zone, a bounded number of blocks in each lock hold.
    fn empty_lists(&self, zone: &Zone<G>, revocation: &Revocation<'_, 'm, P, G>) {
        for lists in revocation.lists() {
            for id in ListId::of_zone::<G>(zone.kind()) {
                while lists.len(id) > 0 {
                    self.platform().without_interrupts(|| {
                        let _locked = lists.access.lock();
                        zone.locked(|inner| {
                            let popped = core::iter::from_fn(|| lists.pop(id)).take(DRAIN_BATCH);
                            self.return_to_buddy(inner, lists, id, popped);
                        });
                    });
                }
            }
        }
    }

    /// Returns what the pcplists hold above their limits, a batch in each lock hold.
    pub(super) fn trim_lists(&self, revocation: &Revocation<'_, 'm, P, G>) {
        for zone in self.zones() {
            for lists in revocation.lists() {
                for id in ListId::of_zone::<G>(zone.kind()) {
                    while lists.len(id) > lists.limit(id) {
                        self.platform().without_interrupts(|| {
                            let _locked = lists.access.lock();
                            self.spill(zone, lists, id);
                        });
                    }
                }
            }
        }
    }

    /// Frees blocks that have left, or are leaving, a CPU's list. Stale entries are dropped.
    #[inline]
    pub(super) fn return_to_buddy(
        &self,
        inner: &mut ZoneInner<G>,
        lists: &CpuLists<'_>,
        id: ListId,
        entries: impl Iterator<Item = FrameIndex>,
    ) {
        let desc = self.desc();
        let cached = lists.cached_state(id.order());
        let blocks = entries.filter(|index| desc.frames.state_at(*index) == cached);
        inner.buddy.free_batch(desc, id.order(), id.mobility(), blocks);
    }
}
