//! Draining: a CPU's cached blocks go back to the buddy, at the wish of any CPU.
//!
//! No inter-processor interrupt is needed: the drainer takes the other CPU's pcplist lock
//! (`__drain_all_pages` since Linux v6.2 does the same).
//!
//! **What holds when a drain of a zone returns:** every block that was on one of its pcplists when the drain
//! began has been given back or taken by its CPU since; and no block whose pageblock was isolated before the
//! drain began is on a pcplist, nor will one be until the isolation is undone. [`pcp`](crate::pcp) has the
//! argument. Blocks of other pageblocks may be cached again at once.

use super::{ListId, PcpLists, PcpSlot};
use crate::free_list::End;
use crate::geometry::Geometry;
use crate::mem_map::MemMap;
use crate::zone::Zone;

/// Blocks given back in one hold of the zone's lock while draining, so that a drain never masks interrupts
/// for long.
const DRAIN_BATCH: usize = 64;

impl<G: Geometry> Zone<'_, G> {
    /// Gives back about `batch` pages: the coldest of list `first`, then of others. The zone's lock is taken
    /// under the pcplist's.
    pub(crate) fn spill(&self, mem: &MemMap<'_, G>, lists: &mut PcpLists<G>, first: ListId, batch: usize) {
        let keep = lists.pages().saturating_sub(batch);
        self.locked(|inner| {
            while lists.pages() > keep {
                let Some((id, pfn)) = lists.pop_coldest(&mem.frames, Some(first)) else {
                    break;
                };
                inner.buddy.free_cached(mem, pfn, id);
            }
        });
    }

    /// Empties one CPU's lists, a bounded number of blocks in each lock hold. `mask` runs its argument with
    /// interrupts masked.
    pub(crate) fn drain(&self, mem: &MemMap<'_, G>, slot: &PcpSlot<G>, mask: impl Fn(&mut dyn FnMut())) {
        for id in ListId::all::<G>() {
            // What a busy CPU caches from now on is not ours to chase. Its pushes go to the front, we pop
            // from the back: counting is enough to have had all that was there.
            let mut left = usize::MAX;
            while left > 0 {
                mask(&mut || {
                    let mut lists = slot.lock();
                    left = left.min(lists.len(id));
                    if left == 0 {
                        return;
                    }
                    self.locked(|inner| {
                        for _ in 0..DRAIN_BATCH.min(left) {
                            if let Some(pfn) = lists.pop(&mem.frames, id, End::Back) {
                                inner.buddy.free_cached(mem, pfn, id);
                            }
                        }
                    });
                    left = left.saturating_sub(DRAIN_BATCH);
                });
            }
        }
    }
}
