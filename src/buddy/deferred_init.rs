//! Deferred initialisation: frame records are written when free memory is first used.
//!
//! To write all records at boot would take time in proportion to memory. Instead a zone keeps a few
//! ranges of *deferred* frames: whole largest blocks, in movable pageblocks, whose records are
//! still zero. Their pages are counted as free from the start. One largest block is initialised and
//! inserted into the lists when these have no block that is large enough. Code that examines given
//! frames initialises them first. (`CONFIG_DEFERRED_STRUCT_PAGE_INIT` in Linux, here on demand.)
//!
//! A deferred frame is a [`FrameState::TAIL`](crate::records::FrameState::TAIL) of no block. In the
//! invariants it is on the list of movable blocks of the largest order.

use crate::base::{Checked, Geometry, Order, Pfn, PfnRange, aligned_blocks};
use crate::buddy::counters::{Change, Pool};
use crate::buddy::deferred_ranges::{DeferredRanges, KIND};
use crate::buddy::free_block::FreeBlock;
use crate::buddy::lists::Buddy;
use crate::records::Descriptors;

/// The most blocks that are initialised in one lock hold beside those that are wanted.
const PIECE: usize = 2;

impl<G: Geometry> Buddy<G> {
    /// Deferred memory consists of whole blocks of this order: a largest block or a pageblock.
    const DEFERRED_ORDER: Order = Checked::<G>::UNIT;

    /// As [`add`](Self::add), for memory whose records are zero: defers what it can.
    pub(crate) fn add_deferred(&mut self, desc: &Descriptors<'_, G>, range: PfnRange) {
        let order = Self::DEFERRED_ORDER;
        let whole = PfnRange::new(order.align_up(range.start()), order.align_down(range.end()));
        if whole.is_empty() || !self.deferred.add(whole) {
            return self.add(desc, range);
        }
        self.counters.account(Pool::List(KIND), Change::Join, whole.len());
        self.add(desc, PfnRange::new(range.start(), whole.start()));
        self.add(desc, PfnRange::new(whole.end(), range.end()));
    }

    /// Initialises the lowest block of a deferred range. Returns false if no memory is deferred.
    #[cold]
    pub(super) fn init_one(&mut self, desc: &Descriptors<'_, G>) -> bool {
        let Some(entry) = self.deferred.ranges_mut().iter_mut().find(|range| !range.is_empty()) else {
            return false;
        };
        let block = Self::DEFERRED_ORDER.block(entry.start());
        *entry = PfnRange::new(block.end(), entry.end());
        self.insert_deferred(desc, block);
        true
    }

    /// Takes a largest block that a deferred range begins with, as a block that is on no list.
    pub(super) fn take_deferred(
        &mut self,
        desc: &Descriptors<'_, G>,
        start: Pfn,
        order: Order,
    ) -> Option<FreeBlock> {
        if order < Self::DEFERRED_ORDER {
            return None;
        }
        let entry = self
            .deferred
            .ranges_mut()
            .iter_mut()
            .find(|range| range.start() == start && !range.is_empty())?;
        *entry = PfnRange::new(start.up(order.pages()), entry.end());
        self.deferred.pages -= order.pages();
        self.counters.account(Pool::List(KIND), Change::Leave, order.pages());
        desc.write_range(order.block(start));
        Some(FreeBlock::new(start, order))
    }

    /// Whether [`init_range`](Self::init_range) initialises the blocks of `range` alone, which is
    /// within a largest block or a pageblock.
    ///
    /// If that would leave a deferred range in two pieces and there is no free entry for the
    /// second, initialises a few blocks of the nearer end of that range. So a caller that tries
    /// again in one lock hold after the other does not mask interrupts for long.
    pub(crate) fn is_ready_to_init(&mut self, desc: &Descriptors<'_, G>, range: PfnRange) -> bool {
        if self.deferred.pages == 0 || self.deferred.has_free_entry() {
            return true;
        }
        let order = Self::DEFERRED_ORDER;
        let wanted = PfnRange::new(order.align_down(range.start()), order.align_up(range.end()));
        let splits = |entry: &&mut PfnRange| entry.start() < wanted.start() && wanted.end() < entry.end();
        let Some(entry) = self.deferred.ranges_mut().iter_mut().find(splits) else {
            return true;
        };
        let (start, end, pages) = (entry.start(), entry.end(), PIECE * order.pages());
        let (below, above) = (wanted.start().offset_from(start), end.offset_from(wanted.end()));
        let (taken, rest) = if below < above {
            let border = start.up(pages.min(below));
            (PfnRange::new(start, border), PfnRange::new(border, end))
        } else {
            let border = Pfn::new(end.number() - pages.min(above));
            (PfnRange::new(border, end), PfnRange::new(start, border))
        };
        *entry = rest;
        self.insert_deferred(desc, taken);
        false
    }

    /// Initialises the deferred blocks that overlap `range`. If a deferred range falls into two
    /// pieces and there is no free entry for the second, that is initialised too: see
    /// [`is_ready_to_init`](Self::is_ready_to_init).
    pub(crate) fn init_range(&mut self, desc: &Descriptors<'_, G>, range: PfnRange) {
        if self.deferred.pages == 0 {
            return;
        }
        let order = Self::DEFERRED_ORDER;
        let wanted = PfnRange::new(order.align_down(range.start()), order.align_up(range.end()));
        if !self.deferred.ranges().iter().any(|entry| entry.overlaps(wanted)) {
            return;
        }
        for index in 0..DeferredRanges::COUNT {
            let Some(entry) =
                self.deferred.ranges_mut().get_mut(index).filter(|entry| entry.overlaps(wanted))
            else {
                continue;
            };
            let (was, taken) = (*entry, entry.intersection(wanted));
            let below = PfnRange::new(was.start(), taken.start());
            let above = PfnRange::new(taken.end(), was.end());
            let (longer, shorter) = if below.len() < above.len() { (above, below) } else { (below, above) };
            *entry = longer;
            self.insert_deferred(desc, taken);
            self.deferred.pages -= shorter.len();
            if !self.deferred.add(shorter) {
                self.deferred.pages += shorter.len();
                self.insert_deferred(desc, shorter);
            }
        }
    }

    /// Inserts frames that are no longer in a deferred range. Their pages are counted already.
    fn insert_deferred(&mut self, desc: &Descriptors<'_, G>, range: PfnRange) {
        self.deferred.pages -= range.len();
        desc.write_range(range);
        for (pfn, order) in aligned_blocks(range, G::MAX_ORDER) {
            self.insert_uncounted(desc, FreeBlock::new(pfn, order), KIND);
        }
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::PIECE;
    use crate::base::{Order, Pfn, PfnRange};
    use crate::buddy::deferred_ranges::DeferredRanges;
    use crate::page_allocator::testing::{Bare, machine};
    use crate::page_allocator::{PageAllocator, Tuning};

    const UNIT: usize = 1024;

    /// A machine of 1 GiB whose table of deferred ranges is full, and a frame from which on memory
    /// is deferred.
    fn full_table() -> (PageAllocator<'static, Bare>, Pfn) {
        let machine = machine(Bare, 1 << 30, Tuning::default());
        let entries = || deferred(&machine).ranges().iter().filter(|range| !range.is_empty()).count();
        let mut at = machine.span().start();
        while entries() < DeferredRanges::COUNT {
            at = at.up(3 * UNIT);
            drop(machine.isolate(PfnRange::with_len(at, 5)).unwrap());
        }
        (machine, at.up(UNIT))
    }

    fn deferred(machine: &PageAllocator<'static, Bare>) -> DeferredRanges {
        machine.in_zone(&machine.zones()[2], |inner| inner.buddy.deferred().clone())
    }

    #[test]
    fn a_piece_without_a_free_entry_is_initialised_and_counted_as_such() {
        let (machine, start) = full_table();
        let before = deferred(&machine);
        // Ten blocks from the start: these are the shorter piece.
        let wanted = PfnRange::with_len(start.up(10 * UNIT), UNIT);
        machine.in_zone(&machine.zones()[2], |inner| inner.buddy.init_range(machine.desc(), wanted));
        let after = deferred(&machine);
        assert_eq!(before.pages() - after.pages(), 11 * UNIT);
        assert_eq!(after.pages(), after.ranges().iter().map(|range| range.len()).sum());
        machine.verify().unwrap();
        assert!(machine.audit().is_exact());
    }

    #[test]
    fn a_split_without_a_free_entry_initialises_the_nearer_end_in_bounded_steps() {
        // What is wanted is nearer to the lower end of the range, or to the upper one.
        for (from_start, nearer) in [(true, 40 * UNIT), (false, 20 * UNIT)] {
            let (machine, start) = full_table();
            let (desc, deferred) = (machine.desc(), || deferred(&machine));
            let rest = deferred().containing(start).unwrap();
            let block = if from_start { nearer } else { rest.len() - UNIT - nearer };
            let wanted = PfnRange::with_len(rest.start().up(block + 100), 7);
            let before = deferred().pages();
            let mut steps = 0;
            loop {
                let pages = deferred().pages();
                let is_ready =
                    machine.in_zone(&machine.zones()[2], |inner| inner.buddy.is_ready_to_init(desc, wanted));
                assert!(pages - deferred().pages() <= PIECE * UNIT, "in one lock hold");
                machine.verify().unwrap();
                if is_ready {
                    break;
                }
                steps += 1;
            }
            assert_eq!((steps, before - deferred().pages()), (nearer / UNIT / PIECE, nearer));
            let isolated = machine.isolate(wanted).unwrap();
            assert_eq!(before - deferred().pages(), nearer + UNIT, "only the block that is wanted");
            drop(isolated);
            machine.verify().unwrap();
            assert_eq!(machine.free_count(), Order::new(18).pages());
        }
    }
}
