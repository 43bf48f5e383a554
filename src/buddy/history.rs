//! What older kernels did, for the faults that put it back. Compiled with the `faults` feature only.
//!
//! The common root of the 2014 mistakes is that counting was the caller's affair: a freed block was counted by the type that the
//! caller believed its pageblock had, and the buddies that it swallowed were taken to be counted the same. So whenever the
//! belief is wrong, pages change lists uncounted. Neighbour: [`super`], which does it right.

use super::{Buddy, FreeBlock};
use crate::counters::{Change, Pool};
use crate::faults::{Faults, Stale};
use crate::frame::state::{FrameKind, FrameState};
use crate::geometry::Geometry;
use crate::mem_map::MemMap;
use crate::migratetype::FreeKind;
use crate::pageblock::{BlockState, Isolation, Pageblock};
use crate::pfn::Pfn;

impl<G: Geometry> Buddy<G> {
    /// Frees a block to the list of a type that was read when no lock kept it still (patches 4 and 5).
    pub(crate) fn free_stale(&mut self, mem: &MemMap<'_, G>, block: FreeBlock, stale: Stale) {
        self.merge_historically(mem, block, stale.0, stale.0);
    }

    /// `__free_one_page` of v3.15: the block joins the list of `list` with all the buddies it finds, and only its own pages are
    /// counted, as `counted`.
    pub(super) fn merge_historically(
        &mut self,
        mem: &MemMap<'_, G>,
        mut block: FreeBlock,
        list: FreeKind,
        counted: FreeKind,
    ) {
        self.counters.account(Pool::List(counted), Change::Join, block.order.pages());
        while block.order < G::MAX_ORDER {
            let (order, buddy) = (block.order, block.order.buddy(block.pfn));
            let state = mem.frames.state(buddy);
            let joins = state.order() == order
                && matches!(state.kind(), FrameKind::Free | FrameKind::Guard)
                && (order < G::PAGEBLOCK_ORDER || Self::merged_then(mem, list, buddy));
            if !joins {
                break;
            }
            if state.is(FrameKind::Guard) {
                self.counters.account(Pool::Guard, Change::Leave, order.pages());
                self.counters.account(Pool::List(counted), Change::Join, order.pages());
            } else {
                let _joined = self.unfile(mem, buddy);
                // It changes lists, maybe, but history does not count that.
                self.counters.account(Pool::List(state.filed()), Change::Join, order.pages());
            }
            let (low, high) = if buddy < block.pfn { (buddy, block.pfn) } else { (block.pfn, buddy) };
            mem.frames.set_state(high, FrameState::TAIL);
            block = FreeBlock { pfn: low, order: order.up() };
        }
        self.enlist(mem, block, list);
    }

    /// Whether a kernel of that time merged a block of at least a pageblock, on its way to `list`, with this buddy.
    fn merged_then(mem: &MemMap<'_, G>, list: FreeKind, buddy: Pfn) -> bool {
        if mem.faults.is_on(Faults::MERGE_ACROSS) {
            return true;
        }
        if mem.faults.is_on(Faults::FREED_BLOCK_ONLY) {
            return list != FreeKind::Isolated;
        }
        list == mem.kind(buddy)
    }

    /// A pageblock is about to go from one state to another: the pages that are on the new list already are reported as
    /// moved, and so counted once more.
    pub(super) fn count_found_as_moved(&mut self, mem: &MemMap<'_, G>, block: Pageblock, to: BlockState) {
        let change = match to.isolation {
            Isolation::Isolated => Change::Leave,
            Isolation::Open => Change::Join,
            #[cfg(feature = "designs")]
            Isolation::Isolating => return,
        };
        let mut pfn = block.start();
        while pfn < block.frames::<G>().end() {
            let state = mem.frames.state(pfn);
            let pages = if state.kind().is_head() { state.order().pages() } else { 1 };
            if state.is(FrameKind::Free) && state.filed() == to.free_kind() {
                self.counters.account(Pool::List(FreeKind::Listed(to.migratetype)), change, pages);
            }
            pfn = pfn.up(pages);
        }
    }

    /// `expand` of all kernels before v6.10: the upper half of a split block goes to the list that the whole was on, although
    /// it may lie in another pageblock.
    pub(super) fn file_with_its_other_half(&mut self, mem: &MemMap<'_, G>, low: Pfn, high: FreeBlock) {
        let (kind, pages) = (mem.kind(low), high.order.pages());
        self.enlist(mem, high, kind);
        self.counters.account(Pool::List(kind), Change::Join, pages);
    }

    /// Undoes the isolation of a buddy that spans pageblocks by clearing the first one's bit only. False if no such buddy
    /// starts here.
    pub(crate) fn undo_first_block_only(&mut self, mem: &MemMap<'_, G>, block: Pageblock) -> bool {
        let state = mem.frames.state(block.start());
        let spans = state.is(FrameKind::Free)
            && state.filed() == FreeKind::Isolated
            && state.order() > G::PAGEBLOCK_ORDER;
        if !spans {
            return false;
        }
        let whole = self.unfile(mem, block.start());
        let open = mem.blocks.state(block.start()).with_isolation(Isolation::Open);
        mem.blocks.set_state(block, open);
        self.file(mem, whole);
        true
    }

    /// Blocks of this pageblock that are on the list of another kind go to the list that its state names now.
    pub(super) fn gather_strays(&mut self, mem: &MemMap<'_, G>, block: Pageblock) {
        let mut pfn = block.start();
        while pfn < block.frames::<G>().end() {
            let state = mem.frames.state(pfn);
            if state.is(FrameKind::Free) && state.is_stray() {
                let stray = self.unfile(mem, pfn);
                self.file(mem, stray);
            }
            pfn = pfn.up(if state.kind().is_head() { state.order().pages() } else { 1 });
        }
    }
}
