//! Which list a request is served from: its own type's, CMA's, or another type's.
//!
//! The order is Linux's (`__rmqueue`, `__rmqueue_claim`, `__rmqueue_steal`): a movable request takes
//! CMA first when free CMA pages are more than their share of the free pages, else its own list, then
//! CMA, then claims a pageblock of another type, and as a last resort steals a single block from one
//! and leaves its type alone. Claims keep types apart: the larger the block taken, the less often.
//! Neighbours: [`retype`](super::retype) turns a claimed block around.

use super::{Buddy, FreeBlock};
use crate::frame::state::FrameKind;
use crate::geometry::Geometry;
use crate::mem_map::MemMap;
use crate::migratetype::{FreeKind, MigrateType, Mobility};
use crate::order::Order;
use crate::pageblock::Pageblock;
use crate::pfn::Pfn;
use crate::request::Depth;

/// What a block is wanted for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    pub(crate) order: Order,
    pub(crate) mobility: Mobility,
    pub(crate) depth: Depth,
    /// Movable requests take CMA first while free CMA pages exceed this percentage of free pages.
    pub(crate) cma_first_above: u8,
}

/// What one pageblock holds, for the decision to claim it.
struct Census {
    free: usize,
    /// Cached pages, and owned ones of a mobility that would feel at home if the block changed type.
    alike: usize,
}

impl<G: Geometry> Buddy<G> {
    /// A block for this request, or `None` if no list that it may use holds one. Watermarks are the
    /// caller's affair.
    pub(crate) fn take(&mut self, mem: &MemMap<'_, G>, wanted: &Wanted) -> Option<FreeBlock> {
        let (order, movable) = (wanted.order, wanted.mobility == Mobility::Movable);
        let cma_first = movable && self.cma_has_more_than(wanted.cma_first_above);
        // What the reserve is for comes from the reserve, so that a burst of it uses one pageblock and not many.
        let reserve_first = wanted.depth == Depth::Atomic && order > Order::ZERO;
        let lists = [
            reserve_first.then_some(MigrateType::HighAtomic),
            cma_first.then_some(MigrateType::Cma),
            Some(wanted.mobility.migratetype()),
            movable.then_some(MigrateType::Cma),
            (wanted.depth != Depth::Normal).then_some(MigrateType::HighAtomic),
        ];
        lists
            .into_iter()
            .flatten()
            .find_map(|migratetype| self.take_smallest(mem, migratetype, order))
            .or_else(|| self.claim(mem, wanted.mobility, order))
            .or_else(|| self.steal(mem, wanted.mobility, order))
    }

    fn cma_has_more_than(&self, percent: u8) -> bool {
        let counters = self.counters();
        let scaled =
            |pages: usize, factor: u8| pages.cast_signed().saturating_mul(isize::from(i16::from(factor)));
        scaled(counters.free_cma, 100) > scaled(counters.free, percent)
    }

    /// Turns a pageblock of another type into one of ours and takes from it: looks for the largest
    /// free block, which disturbs its type the least.
    fn claim(&mut self, mem: &MemMap<'_, G>, mobility: Mobility, order: Order) -> Option<FreeBlock> {
        for larger in order.up_to(G::MAX_ORDER).rev() {
            if !worth_claiming::<G>(mobility, larger) {
                break;
            }
            for from in mobility.fallbacks() {
                let Some(pfn) = self.list(larger, FreeKind::Listed(from)).first(&mem.frames) else {
                    continue;
                };
                if larger >= G::PAGEBLOCK_ORDER {
                    return Some(self.claim_whole(mem, pfn, mobility, order));
                }
                let block = Pageblock::of::<G>(pfn);
                let census = self.census(mem, block, mobility);
                if census.free + census.alike >= G::PAGEBLOCK_ORDER.pages() / 2 {
                    let own = mobility.migratetype();
                    self.retype(mem, block, mem.blocks.state(pfn).with_type(own));
                    return self.take_smallest(mem, own, order);
                }
            }
        }
        None
    }

    /// Claims every pageblock of a free block of at least pageblock size.
    fn claim_whole(&mut self, mem: &MemMap<'_, G>, pfn: Pfn, mobility: Mobility, order: Order) -> FreeBlock {
        let whole = self.unfile(mem, pfn);
        for block in Pageblock::covering::<G>(whole.range()) {
            let state = mem.blocks.state(block.start());
            mem.blocks.set_state(block, state.with_type(mobility.migratetype()));
        }
        self.expand(mem, whole, order)
    }

    /// Takes the smallest block that is large enough from another type and leaves that type alone.
    fn steal(&mut self, mem: &MemMap<'_, G>, mobility: Mobility, order: Order) -> Option<FreeBlock> {
        for larger in order.up_to(G::MAX_ORDER) {
            for from in mobility.fallbacks() {
                if let Some(pfn) = self.list(larger, FreeKind::Listed(from)).first(&mem.frames) {
                    let block = self.unfile(mem, pfn);
                    return Some(self.expand(mem, block, order));
                }
            }
        }
        None
    }

    fn census(&self, mem: &MemMap<'_, G>, block: Pageblock, wanted: Mobility) -> Census {
        let mut census = Census { free: 0, alike: 0 };
        let frames = block.frames::<G>();
        let mut pfn = frames.start();
        while pfn < frames.end() {
            let state = mem.frames.state(pfn);
            let pages = if state.kind().is_head() { state.order().pages() } else { 1 };
            match state.kind() {
                FrameKind::Free => census.free += pages,
                // Nobody owns a cached page: it will feel at home in whatever the block is by then.
                FrameKind::Cached => census.alike += pages,
                FrameKind::Allocated if suits(state.mobility(), wanted) => census.alike += pages,
                _ => {}
            }
            pfn = pfn.up(pages);
        }
        census
    }
}

/// Whether a fallback block of this order may change the type of its pageblock
/// (`should_try_claim_block`): large ones for anybody, small ones only for pages that would otherwise
/// pollute a movable block for good.
fn worth_claiming<G: Geometry>(mobility: Mobility, order: Order) -> bool {
    order.get() >= G::PAGEBLOCK_ORDER.get() / 2 || mobility != Mobility::Movable
}

/// Whether pages of mobility `held` feel at home in a block of mobility `wanted`.
fn suits(held: Mobility, wanted: Mobility) -> bool {
    (held == Mobility::Movable) == (wanted == Mobility::Movable)
}
