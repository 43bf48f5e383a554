//! Draining: a CPU's cached blocks go back to the buddy, at the wish of any CPU.
//!
//! The drainer shuts the lists of every CPU, makes sure that no owner is inside, empties them under their locks and opens them again
//! ([`gate`](super::gate)). Owners that come meanwhile go to the zone. (`__drain_all_pages` has taken the other CPU's lock since
//! Linux v6.2, which its fast path pays for.)
//!
//! **What holds when a drain of a zone returns:** every block that was on one of its pcplists when the drain
//! began has been given back or taken by its CPU since. Blocks may be cached again at once.
//!
//! **What holds when a drain of pageblocks returns** that were isolated before it began: no block of them is on a pcplist, nor
//! will one be until the isolation is undone. [`pcp`](crate::pcp) has the argument. What the lists hold of other
//! pageblocks stays there: nobody is helped by taking it away, and each CPU would have to fill its lists anew.

use super::{CpuLists, ListId};
use crate::frame::FrameIndex;
use crate::geometry::Geometry;
use crate::mem_map::MemMap;
use crate::page_allocator::PageAllocator;
use crate::pfn::PfnRange;
use crate::platform::Platform;
use crate::sync::model_has_failed;
use crate::zone::{Zone, ZoneInner};

/// Blocks given back in one hold of the zone's lock while draining, so that a drain never masks interrupts
/// for long.
const DRAIN_BATCH: usize = 64;

/// Every CPU's lists are shut, and their owners outside, until this is dropped. Allocations and frees go on by way of the zones.
#[derive(Debug)]
pub(crate) struct Shut<'a, 'm, P: Platform, G: Geometry>(&'a PageAllocator<'m, P, G>);

impl<'m, P: Platform, G: Geometry> Shut<'_, 'm, P, G> {
    /// Whose lists they are does not matter to those who look.
    pub(crate) fn lists(&self) -> &'m [CpuLists<'m>] {
        self.0.lists()
    }
}

impl<P: Platform, G: Geometry> Drop for Shut<'_, '_, P, G> {
    fn drop(&mut self) {
        if model_has_failed() {
            return;
        }
        for lists in self.lists() {
            self.0.platform().without_interrupts(|| lists.gate.let_in());
        }
    }
}

impl<'m, P: Platform, G: Geometry> PageAllocator<'m, P, G> {
    /// Shuts the lists of every CPU. Not from interrupt handlers: an owner may be what they interrupted.
    pub(crate) fn shut_lists(&self) -> Shut<'_, 'm, P, G> {
        for lists in self.lists() {
            self.platform().without_interrupts(|| lists.gate.shut_out());
        }
        let shut = Shut(self);
        if P::PCP_ACCESS.is_owner_only() {
            self.platform().barrier_on_every_cpu();
            for lists in self.lists() {
                lists.gate.wait_for_owner();
            }
        }
        shut
    }

    /// Gives back what the pcplists of every CPU hold for a zone.
    pub(crate) fn drain_zone(&self, zone: &Zone<G>) {
        self.empty_lists(zone, &self.shut_lists());
    }

    /// Gives back what the pcplists of every CPU hold of the pageblocks that `range` touches.
    pub(crate) fn drain_pageblocks(&self, zone: &Zone<G>, range: PfnRange) {
        let order = G::PAGEBLOCK_ORDER;
        let blocks = PfnRange::new(order.align_down(range.start()), order.align_up(range.end()));
        let there = |index| blocks.contains(self.mem().frames.pfn(index));
        let shut = self.shut_lists();
        for lists in shut.lists() {
            for id in ListId::of_zone::<G>(zone.kind()) {
                let mut taken = DRAIN_BATCH;
                while taken == DRAIN_BATCH && lists.len(id) > 0 {
                    taken = self.platform().without_interrupts(|| {
                        let _locked = lists.gate.lock();
                        let mut batch = [FrameIndex::NONE; DRAIN_BATCH];
                        let taken = lists.extract(id, &mut batch, there);
                        if taken > 0 {
                            let batch = batch.into_iter().take(taken);
                            zone.locked(|inner| inner.take_back(self.mem(), lists, id, batch));
                        }
                        taken
                    });
                }
            }
        }
    }

    /// Gives the blocks on the pcplists of every CPU back to the free lists.
    ///
    /// When this returns, every block that was on a pcplist when it was called has been given back or allocated. Other
    /// CPUs may have cached new ones. Any CPU; not from interrupt handlers, because it takes time and may wait for what they interrupted.
    pub fn drain_all(&self) {
        let shut = self.shut_lists();
        for zone in self.zones() {
            self.empty_lists(zone, &shut);
        }
    }

    /// A bounded number of blocks in each lock hold.
    fn empty_lists(&self, zone: &Zone<G>, shut: &Shut<'_, 'm, P, G>) {
        for lists in shut.lists() {
            for id in ListId::of_zone::<G>(zone.kind()) {
                while lists.len(id) > 0 {
                    self.platform().without_interrupts(|| {
                        let _locked = lists.gate.lock();
                        zone.locked(|inner| {
                            let taken = core::iter::from_fn(|| lists.take(id)).take(DRAIN_BATCH);
                            inner.take_back(self.mem(), lists, id, taken);
                        });
                    });
                }
            }
        }
    }
}

impl<G: Geometry> ZoneInner<G> {
    /// Files blocks that have left, or are leaving, a CPU's list.
    #[inline]
    pub(crate) fn take_back(
        &mut self,
        mem: &MemMap<'_, G>,
        lists: &CpuLists<'_>,
        id: ListId,
        taken: impl Iterator<Item = FrameIndex>,
    ) {
        let cached = lists.cached(id.order());
        let ours = taken.filter(|link| mem.frames.state_at(*link) == cached);
        self.buddy.free_cached(mem, id, ours);
    }
}
