//! The exchange: batches of cached pages that go from the pcplists of one CPU to those of another.
//!
//! Where one CPU allocates and another frees, the lists of the first are always empty and those of
//! the second always full. A spill puts its batch into the exchange, as long as that has room, and
//! a refill takes a batch from there before it asks the zone: the pages are neither merged nor
//! split. (The depot of Bonwick's magazines, 2001.) Only single pages are exchanged. A spill uses
//! the exchange only if another CPU was the last to refill a list of that kind, and if the pages
//! are not of pageblocks that are local to the CPU that spills them: what the same CPU would take
//! back goes to the zone, where its next refill gets pages of its fullest pageblock. Otherwise two
//! CPUs that allocate and free equally would give each other their pages, and then write frame
//! states in the same cache lines.
//!
//! The exchange is one more [`CpuLists`], which belongs to no CPU. What is on its lists is cached:
//! it is in no free count, it is part of the bound on cached pages, and drains, audits and requests
//! that cannot wait find it there. It is used by its lock alone in every mode, which is tried once:
//! a batch that does not get it goes to the zone, or comes from there.
//!
//! # Why no page hides from a drain in the exchange
//!
//! A drain revokes the access to *all* lists, the exchange included, and waits until no CPU has
//! access to its own; only then it empties the first list. A batch is moved by a CPU that has
//! access to its own lists from before the batch leaves one list until it is on the other. So when
//! the drain empties the lists, each batch is on a list, and none moves until it is done. If a CPU
//! took a batch first and got access to its lists then, a drain in between would find the batch
//! nowhere. A loom model checks this, and fails if the batch is taken first.
//!
//! A page changes its state with its list: *cached, by the exchange*, then *cached, by the CPU that
//! took it*. A stale entry is dropped when its list is left, as elsewhere.

use crate::base::{Geometry, Masked, Order, Platform};
use crate::page_allocator::allocator::PageAllocator;
use crate::pcp::{CpuLists, ListId};
use crate::records::FrameIndex;
use crate::sync::Ordering;

/// The blocks of a batch that are looked at, to see from whose pageblocks it is.
const SAMPLES: usize = 2;

impl<'m, P: Platform, G: Geometry> PageAllocator<'m, P, G> {
    /// The CPU that was the last to refill a list of this kind, as the state of the pages on its
    /// lists; 0 if none has.
    pub(crate) fn refilled_by(&self, id: ListId) -> u32 {
        self.refilled_by[id.slot()].load(Ordering::Relaxed)
    }

    /// Notes that the CPU that has these lists refills this one.
    fn note_refill(&self, id: ListId, lists: &CpuLists<'m>) {
        let number = lists.cached_state(Order::ZERO).to_bits();
        // Written only when it changes, so that CPUs share the cache line.
        if self.refilled_by(id) != number {
            self.refilled_by[id.slot()].store(number, Ordering::Relaxed);
        }
    }

    /// Whether another CPU than the one that has these lists was the last to refill such a list.
    fn is_wanted_by_another(&self, id: ListId, lists: &CpuLists<'m>) -> bool {
        let last = self.refilled_by(id);
        last != 0 && last != lists.cached_state(Order::ZERO).to_bits()
    }

    /// Whether the oldest blocks of a list are not of pageblocks that are local to this CPU, as far
    /// as a few of them show.
    fn are_of_others(&self, lists: &CpuLists<'m>, id: ListId, count: usize) -> bool {
        let cpu = lists.reserved(id).cpu();
        lists.samples(id, count, SAMPLES).all(|index| {
            let summary = self.desc().pageblocks.summary_of(index);
            summary.is_some_and(|summary| summary.local().number() != cpu.number())
        })
    }

    /// Moves a batch of the oldest blocks of a list to the exchange. Returns false if no other CPU
    /// wants it, or the exchange has no room for it or is in use. Needs access to the lists.
    pub(super) fn give_batch(&self, lists: &CpuLists<'m>, id: ListId) -> bool {
        let (exchange, batch) = (self.exchange(), lists.batch(id));
        if !self.is_wanted_by_another(id, lists) || !self.are_of_others(lists, id, batch) {
            return false;
        }
        let room = || exchange.limit(id).saturating_sub(exchange.len(id)) >= batch;
        if !room() {
            return false;
        }
        let _masked = Masked::new(self.platform());
        let Some(locked) = exchange.access.try_lock().filter(|lock| !lock.is_revoked()) else {
            return false;
        };
        if !room() {
            return false;
        }
        exchange.open(id);
        self.move_blocks(lists, exchange, id, lists.coldest(id, batch));
        drop(locked);
        lists.remove_coldest(id, batch);
        true
    }

    /// Moves up to a batch of the newest blocks of the exchange to a list. Returns false if there
    /// are none, or the exchange is in use. Needs access to the lists.
    pub(super) fn take_batch(&self, lists: &CpuLists<'m>, id: ListId) -> bool {
        let exchange = self.exchange();
        if exchange.limit(id) == 0 {
            return false;
        }
        self.note_refill(id, lists);
        if exchange.len(id) == 0 {
            return false;
        }
        let _masked = Masked::new(self.platform());
        let Some(_locked) = exchange.access.try_lock().filter(|lock| !lock.is_revoked()) else {
            return false;
        };
        let room = lists.limit(id).saturating_sub(lists.len(id));
        let batch = lists.batch(id).min(room).min(exchange.len(id));
        if batch == 0 {
            return false;
        }
        lists.open(id);
        self.move_blocks(exchange, lists, id, exchange.newest(id, batch));
        exchange.remove_newest_blocks(id, batch);
        self.events.exchanges.add(1);
        true
    }

    /// Pushes blocks that are still on a list of `from` to the same list of `to`, which has room.
    #[inline(never)]
    fn move_blocks(
        &self,
        from: &CpuLists<'m>,
        to: &CpuLists<'m>,
        id: ListId,
        blocks: impl Iterator<Item = FrameIndex>,
    ) {
        let frames = &self.desc().frames;
        let (before, after) = (from.cached_state(id.order()), to.cached_state(id.order()));
        to.push_all(id, blocks.filter(|index| frames.replace(*index, before, after)));
    }
}
