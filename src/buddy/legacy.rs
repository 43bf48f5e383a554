//! The accounting code of old kernels, for the faults.
//!
//! The mistakes of 2014 have a common cause. Counting was left to the caller: a freed block was
//! counted by the type that the caller had read for its pageblock, and the buddies that it merged
//! with were assumed to be counted likewise. If that type was out of date, pages changed lists
//! without being counted. Without the feature `faults` no code calls this.

use crate::base::{FrameKind, FreeKind, Geometry, Pageblock, Pfn};
use crate::buddy::counters::{Change, Pool};
use crate::buddy::free_block::FreeBlock;
use crate::buddy::lists::Buddy;
use crate::instruments::Faults;
use crate::records::{Descriptors, FrameState, Isolation, PageblockState};

impl<G: Geometry> Buddy<G> {
    /// `__free_one_page` of v3.15: merges the block, inserts the result into the list of kind
    /// `list`, and counts only the pages of the block itself, as `counted`.
    pub(super) fn merge_legacy(
        &mut self,
        desc: &Descriptors<'_, G>,
        mut block: FreeBlock,
        list: FreeKind,
        counted: FreeKind,
    ) {
        self.counters.account(Pool::List(counted), Change::Join, block.order.pages());
        while block.order < G::MAX_ORDER {
            let (order, buddy) = (block.order, block.order.buddy(block.pfn));
            let state = desc.frames.state(buddy);
            let joins = state.order() == order
                && matches!(state.kind(), FrameKind::Free | FrameKind::Guard)
                && (order < G::PAGEBLOCK_ORDER || Self::merges_legacy(desc, list, buddy));
            if !joins {
                break;
            }
            if state.is(FrameKind::Guard) {
                self.counters.account(Pool::Guard, Change::Leave, order.pages());
                self.counters.account(Pool::List(counted), Change::Join, order.pages());
            } else {
                let _merged = self.remove(desc, buddy);
                // Undoes the count of `remove`: the old code did not count a change of lists here.
                self.counters.account(Pool::List(state.free_kind()), Change::Join, order.pages());
            }
            let (low, high) = if buddy < block.pfn { (buddy, block.pfn) } else { (block.pfn, buddy) };
            desc.frames.set_state(high, FrameState::TAIL);
            block = FreeBlock::new(low, order.up());
        }
        self.insert_uncounted(desc, block, list);
    }

    /// Whether the old code merged a block for `list` with this buddy, above the pageblock order.
    fn merges_legacy(desc: &Descriptors<'_, G>, list: FreeKind, buddy: Pfn) -> bool {
        if desc.faults.is_on(Faults::MERGE_ACROSS) {
            return true;
        }
        if desc.faults.is_on(Faults::FREED_BLOCK_ONLY) {
            return list != FreeKind::Isolated;
        }
        list == desc.kind(buddy)
    }

    /// Counts pages that are on the list that `to` names already as if they were moved (patch 9).
    pub(super) fn count_found_as_moved(
        &mut self,
        desc: &Descriptors<'_, G>,
        pageblock: Pageblock,
        to: PageblockState,
    ) {
        let change = match to.isolation {
            Isolation::Isolated => Change::Leave,
            Isolation::None => Change::Join,
            Isolation::Isolating => return,
        };
        let mut pfn = pageblock.start();
        while pfn < pageblock.range::<G>().end() {
            let state = desc.frames.state(pfn);
            if state.is(FrameKind::Free) && state.free_kind() == to.free_kind() {
                self.counters.account(Pool::List(FreeKind::Listed(to.migratetype)), change, state.pages());
            }
            pfn = pfn.up(state.pages());
        }
    }

    /// `expand` before v6.10: inserts the upper half of a split block into the list of the whole
    /// block, although it may be in another pageblock.
    pub(super) fn insert_with_lower_half(&mut self, desc: &Descriptors<'_, G>, low: Pfn, high: FreeBlock) {
        let (kind, pages) = (desc.kind(low), high.order.pages());
        self.insert_uncounted(desc, high, kind);
        self.counters.account(Pool::List(kind), Change::Join, pages);
    }

    /// Undoes the isolation of a block that spans pageblocks, but clears the first flag only.
    /// Returns false if no such block starts at this pageblock.
    pub(crate) fn undo_first_block_only(&mut self, desc: &Descriptors<'_, G>, pageblock: Pageblock) -> bool {
        let state = desc.frames.state(pageblock.start());
        let spans = state.is(FrameKind::Free)
            && state.free_kind() == FreeKind::Isolated
            && state.order() > G::PAGEBLOCK_ORDER;
        if !spans {
            return false;
        }
        let whole = self.remove(desc, pageblock.start());
        let open = desc.pageblocks.state(pageblock.start()).with_isolation(Isolation::None);
        desc.pageblocks.set_state(pageblock, open);
        self.insert(desc, whole);
        true
    }

    pub(super) fn gather_misfiled(&mut self, desc: &Descriptors<'_, G>, pageblock: Pageblock) {
        let mut pfn = pageblock.start();
        while pfn < pageblock.range::<G>().end() {
            let state = desc.frames.state(pfn);
            if state.is(FrameKind::Free) && state.is_misfiled() {
                let misfiled = self.remove(desc, pfn);
                self.insert(desc, misfiled);
            }
            pfn = pfn.up(state.pages());
        }
    }
}
