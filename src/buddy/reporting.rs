//! The blocks that are being reported to the host: a batch that is off the free lists.
//!
//! Free page reporting tells the host of free memory, so that it can use it for something else
//! (`mm/page_reporting.c` of Linux). A batch goes through these steps, each of which is one lock
//! hold for each block:
//!
//! ```text
//!            take            hand over               acknowledged
//!    Free  -------->  ready  --------->  handed over -----------> Free, reported
//!     ^                 |                     |
//!     |    taken back   |                     | refused
//!     '-----------------'---------------------'
//! ```
//!
//! - A block that is *ready* is known to nobody but the allocator. Whoever needs it takes it back.
//! - A block that is *handed over* has been told to the host, which may discard its contents at any
//!   time until it acknowledges. Only the acknowledgement or the refusal returns it.
//!
//! Both kinds are on a list of their own here, and it is one lock hold that moves a block from the
//! first to the second. So no block can be taken back and handed over.
//!
//! There is one batch of a zone at a time, so that the blocks on these lists belong to it.

use crate::base::{FrameKind, FreeKind, Geometry, MigrateType, Order, Pfn};
use crate::buddy::counters::{Change, Pool};
use crate::buddy::free_block::FreeBlock;
use crate::buddy::lists::Buddy;
use crate::buddy::report_batch::Reporting;
use crate::instruments::Faults;
use crate::records::{Descriptors, FrameState};

/// The types whose free blocks are reported. The atomic reserve is not: it is for requests that
/// cannot wait, and the first access to memory that the host has taken back waits for the host.
const TYPES: [MigrateType; 5] = [
    MigrateType::Movable,
    MigrateType::Unmovable,
    MigrateType::Reclaimable,
    MigrateType::Cma,
    MigrateType::MovableOnly,
];

impl<G: Geometry> Buddy<G> {
    pub(crate) fn reporting(&self) -> &Reporting {
        &self.reporting
    }

    /// Begins a batch. The caller has checked that there is none.
    pub(crate) fn open_batch(&mut self) {
        debug_assert!(!self.reporting.open, "there is a batch of this zone");
        self.reporting.open = true;
    }

    /// Ends the batch, unless there are blocks that are handed over. Returns their number.
    pub(crate) fn close_batch(&mut self) -> usize {
        debug_assert_eq!(self.reporting.ready.len(), 0, "blocks that are ready are put back first");
        let left = self.reporting.handed_over.len();
        self.reporting.open = left > 0;
        left
    }

    /// Takes one block of at least `least` off its list, the largest that is not reported and whose
    /// type and pages `may_take`. Returns false if there is none. Blocks that are not reported are
    /// in front of all others of their list, so that this looks at one block of each list.
    pub(crate) fn take_for_report(
        &mut self,
        desc: &Descriptors<'_, G>,
        least: Order,
        may_take: impl Fn(MigrateType, usize) -> bool,
    ) -> bool {
        let found = least.max(G::PAGEBLOCK_ORDER).up_to(G::MAX_ORDER).rev().find_map(|order| {
            TYPES.into_iter().filter(|migratetype| may_take(*migratetype, order.pages())).find_map(
                |migratetype| {
                    let kind = FreeKind::Listed(migratetype);
                    let first = self.areas[order.index()].lists[kind.index()].first(&desc.frames)?;
                    (!desc.frames.state(first).is_reported()).then_some((first, order))
                },
            )
        });
        let Some((pfn, order)) = found else {
            return false;
        };
        // The block goes on the list of the batch.
        let _taken = self.remove(desc, pfn);
        desc.frames.set_state(pfn, FrameState::reporting(order));
        self.reporting.ready.push_back(&desc.frames, pfn);
        self.reporting.taken = self.reporting.taken.wrapping_add(1);
        self.counters.account(Pool::Reporting, Change::Join, order.pages());
        true
    }

    /// Hands the next block over: the host may discard its contents from now on.
    pub(crate) fn hand_over(&mut self, desc: &Descriptors<'_, G>) -> Option<(Pfn, Order)> {
        let pfn = self.reporting.ready.first(&desc.frames)?;
        let order = desc.frames.state(pfn).order();
        if desc.faults.is_on(Faults::REPORTED_BEFORE_ACKNOWLEDGED) {
            self.take_from_batch(desc, pfn, false);
            return Some((pfn, order));
        }
        self.reporting.ready.remove(&desc.frames, pfn);
        desc.frames.set_state(pfn, FrameState::handed_over(order));
        self.reporting.handed_over.push_back(&desc.frames, pfn);
        Some((pfn, order))
    }

    /// Returns one block that is handed over, which the host has acknowledged or refused. Returns
    /// its pages.
    pub(crate) fn end_report(&mut self, desc: &Descriptors<'_, G>, acknowledged: bool) -> Option<usize> {
        let pfn = self.reporting.handed_over.first(&desc.frames)?;
        let pages = self.take_from_batch(desc, pfn, acknowledged);
        let events = &mut self.events;
        let event = if acknowledged { &mut events.report_pages } else { &mut events.report_fail_pages };
        *event += pages as u64;
        Some(pages)
    }

    /// Returns one block that is ready. Returns its pages.
    pub(crate) fn take_back_one(&mut self, desc: &Descriptors<'_, G>) -> Option<usize> {
        let pfn = self.reporting.ready.first(&desc.frames)?;
        Some(self.take_from_batch(desc, pfn, false))
    }

    /// Returns every block that is ready, for a request that found none. Returns whether there was
    /// one.
    pub(crate) fn take_back(&mut self, desc: &Descriptors<'_, G>) -> bool {
        let mut pages = 0;
        while let Some(taken) = self.take_back_one(desc) {
            pages += taken;
        }
        self.events.report_recall_pages += pages as u64;
        pages > 0
    }

    /// Returns the block that includes `pfn`, if it is ready.
    pub(crate) fn take_back_at(&mut self, desc: &Descriptors<'_, G>, pfn: Pfn) {
        if let Some((head, state)) = desc.frames.head_of(pfn, G::MAX_ORDER)
            && state.is(FrameKind::Reporting)
            && !state.is_reported()
        {
            let pages = self.take_from_batch(desc, head, false);
            self.events.report_recall_pages += pages as u64;
        }
    }

    /// Frees a block of the batch, on the lists that its pageblocks name now. Bad frames of it are
    /// retired. Returns its pages.
    fn take_from_batch(&mut self, desc: &Descriptors<'_, G>, pfn: Pfn, reported: bool) -> usize {
        let state = desc.frames.state(pfn);
        debug_assert!(state.is(FrameKind::Reporting), "{pfn} is {state:?}");
        let batch = &mut self.reporting;
        let list = if state.is_reported() { &mut batch.handed_over } else { &mut batch.ready };
        list.remove(&desc.frames, pfn);
        let block = FreeBlock { pfn, order: state.order(), reported };
        let pages = block.order.pages();
        self.counters.account(Pool::Reporting, Change::Leave, pages);
        desc.frames.set_state(pfn, state.as_tail());
        if state.has_bad() {
            self.free_except_bad(desc, block.range());
        } else {
            self.free(desc, block);
        }
        pages
    }

    /// Calls `visit` with each block of the batch, in the order of its lists. Returns the number of
    /// damaged lists.
    pub(crate) fn walk_batch(&self, desc: &Descriptors<'_, G>, mut visit: impl FnMut(Order, Pfn)) -> usize {
        let (batch, mut damaged) = (&self.reporting, 0);
        for (list, handed_over) in [(&batch.ready, false), (&batch.handed_over, true)] {
            let mut found = 0;
            for pfn in list.iter(&desc.frames) {
                let state = desc.frames.state(pfn);
                let sound = state.is(FrameKind::Reporting) && state.is_reported() == handed_over;
                damaged += usize::from(!sound);
                visit(state.order(), pfn);
                found += 1;
            }
            damaged += usize::from(found != list.len() || found != 0 && !batch.open);
        }
        damaged
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use crate::base::{Geometry, Mobility, Order, X86_64};
    use crate::buddy::lists::Buddy;
    use crate::page_allocator::Tuning;
    use crate::page_allocator::testing::{Bare, machine};
    use crate::records::{Descriptors, FrameState};

    const LARGEST: Order = X86_64::MAX_ORDER;

    /// Calls `f` with a zone of two largest blocks, of which `blocks` are in a batch.
    fn with_batch(blocks: usize, f: impl FnOnce(&mut Buddy<X86_64>, &Descriptors<'_, X86_64>)) {
        let machine = machine(Bare, 8 << 20, Tuning::default());
        let desc = machine.desc();
        machine.in_zone(&machine.zones()[2], |inner| {
            inner.buddy.init_range(desc, machine.span());
            inner.buddy.open_batch();
            assert!((0..blocks).all(|_| inner.buddy.take_for_report(desc, LARGEST, |_, _| true)));
            f(&mut inner.buddy, desc);
        });
    }

    #[test]
    fn a_request_is_told_whether_blocks_were_taken_back() {
        with_batch(1, |buddy, desc| {
            assert!(buddy.take_back(desc));
            assert!(!buddy.take_back(desc), "there is none any more");
            // What has been handed over cannot be taken back.
            assert!(buddy.take_for_report(desc, Order::ZERO, |_, _| true));
            assert!(buddy.hand_over(desc).is_some());
            assert!(!buddy.take_back(desc));
        });
    }

    #[test]
    fn pages_that_an_isolation_takes_back_are_counted() {
        with_batch(1, |buddy, desc| {
            let block = buddy.reporting.ready.first(&desc.frames).unwrap();
            buddy.take_back_at(desc, block.up(700));
            assert_eq!(buddy.events.report_recall_pages, 1024);
            buddy.take_back_at(desc, block.up(700));
            assert_eq!(buddy.events.report_recall_pages, 1024, "it is not in the batch any more");
        });
    }

    #[test]
    fn an_audit_finds_damage_of_each_list_of_a_batch() {
        with_batch(2, |buddy, desc| {
            let (handed_over, _) = buddy.hand_over(desc).unwrap();
            let ready = buddy.reporting.ready.first(&desc.frames).unwrap();
            assert_eq!(buddy.walk_batch(desc, |_, _| ()), 0);
            // The state of the other list, or of no list of a batch.
            desc.frames.set_state(ready, FrameState::handed_over(LARGEST));
            assert_eq!(buddy.walk_batch(desc, |_, _| ()), 1);
            desc.frames.set_state(handed_over, FrameState::allocated(LARGEST, Mobility::Movable));
            assert_eq!(buddy.walk_batch(desc, |_, _| ()), 2);
            desc.frames.set_state(handed_over, FrameState::handed_over(LARGEST));
            desc.frames.set_state(ready, FrameState::reporting(LARGEST));
            // Blocks without a batch.
            buddy.reporting.open = false;
            assert_eq!(buddy.walk_batch(desc, |_, _| ()), 2);
        });
    }
}
