//! Which list a request is served from: its own type's, CMA's, or another type's.
//!
//! The order is Linux's (`__rmqueue`, `__rmqueue_claim`, `__rmqueue_steal`): a movable request takes
//! CMA first when free CMA pages are more than their share of the free pages, else its own list, then
//! CMA, then claims a pageblock of another type, and as a last resort steals a single block from one
//! and leaves its type alone. Claims keep types apart: the larger the block taken, the less often.
//! Neighbours: [`retype`](super::retype) turns a claimed block around.

use super::{Buddy, FreeBlock};
use crate::frame::FrameIndex;
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

impl Wanted {
    /// What the reserve is for comes from the reserve, so that a burst of it uses one pageblock and not many.
    #[inline(always)]
    fn takes_reserve_first(&self) -> bool {
        self.depth == Depth::Atomic && self.order > Order::ZERO
    }
}

impl<G: Geometry> Buddy<G> {
    /// A block for this request, or `None` if no list that it may use holds one. Watermarks are the
    /// caller's affair.
    pub(crate) fn take(&mut self, mem: &MemMap<'_, G>, wanted: &Wanted) -> Option<FreeBlock> {
        let own = if self.serves_own_first(wanted) {
            self.take_smallest(mem, wanted.mobility.migratetype(), wanted.order)
        } else {
            None
        };
        own.or_else(|| self.take_beyond(mem, wanted))
    }

    /// As many blocks for this request as there are, and at most `limit`. Calls `give` with the first frame of each, whose
    /// state it must set.
    pub(crate) fn take_many(
        &mut self,
        mem: &MemMap<'_, G>,
        wanted: &Wanted,
        limit: u32,
        mut give: impl FnMut(FrameIndex),
    ) {
        let own = FreeKind::Listed(wanted.mobility.migratetype());
        let mut left = limit;
        while left > 0 {
            let run = if self.has_runs(wanted) {
                self.take_run(mem, own, wanted.order, left, &mut give)
            } else {
                0
            };
            left = left.wrapping_sub(run);
            if run == 0 {
                let Some(block) = self.take(mem, wanted) else {
                    return;
                };
                give(mem.frames.link(block.pfn()));
                left = left.wrapping_sub(1);
            }
        }
    }

    /// Whether this request is served from its own type's lists as long as these hold anything.
    #[inline(always)]
    fn serves_own_first(&self, wanted: &Wanted) -> bool {
        let cma_first =
            wanted.mobility == Mobility::Movable && self.cma_has_more_than(wanted.cma_first_above);
        !cma_first && !wanted.takes_reserve_first()
    }

    /// Whether a run of blocks for this request is the same as one after the other: not if the balance with CMA may change on the way, if each
    /// leaves guards, or if something stands on a wrong list.
    #[inline(always)]
    fn has_runs(&self, wanted: &Wanted) -> bool {
        let balanced = wanted.mobility == Mobility::Movable && self.counters().free_cma != 0;
        Self::is_small(wanted.order)
            && !balanced
            && !wanted.takes_reserve_first()
            && self.guard_below == Order::ZERO
            && !cfg!(feature = "faults")
    }

    /// From whatever lists this request may use, in order.
    #[cold]
    #[inline(never)]
    fn take_beyond(&mut self, mem: &MemMap<'_, G>, wanted: &Wanted) -> Option<FreeBlock> {
        let (order, movable) = (wanted.order, wanted.mobility == Mobility::Movable);
        let cma_first = movable && self.cma_has_more_than(wanted.cma_first_above);
        let lists = [
            wanted.takes_reserve_first().then_some(MigrateType::HighAtomic),
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

    #[inline(always)]
    fn cma_has_more_than(&self, percent: u8) -> bool {
        let counters = self.counters();
        if counters.free_cma == 0 {
            return false;
        }
        let scaled =
            |pages: usize, factor: u8| pages.cast_signed().saturating_mul(isize::from(i16::from(factor)));
        scaled(counters.free_cma, 100) > scaled(counters.free, percent)
    }

    /// Turns a pageblock of another type into one of ours and takes from it: looks for the largest
    /// free block, which disturbs its type the least, and of pageblocks that have one for the emptiest.
    ///
    /// Looks into one pageblock at most, so that the zone's lock is not held for long; others are claimed only if half of
    /// their pages are free.
    fn claim(&mut self, mem: &MemMap<'_, G>, mobility: Mobility, order: Order) -> Option<FreeBlock> {
        let mut may_look = true;
        if self.listed(G::MAX_ORDER, FreeKind::Listed(MigrateType::Movable)) == 0 {
            // The largest block there is may be one that nobody has used yet.
            self.list_one(mem);
        }
        for larger in order.up_to(G::MAX_ORDER).rev() {
            if !worth_claiming::<G>(mobility, larger) {
                break;
            }
            for from in mobility.fallbacks() {
                let Some(pfn) = self.largest(mem, larger, FreeKind::Listed(from)) else {
                    continue;
                };
                if larger >= G::PAGEBLOCK_ORDER {
                    return Some(self.claim_whole(mem, pfn, mobility, order));
                }
                let block = Pageblock::of::<G>(pfn);
                let mut ours = Self::free_in(mem, block);
                if ours < G::PAGEBLOCK_ORDER.pages() / 2 && may_look {
                    may_look = false;
                    ours += Self::alike_in(mem, block, mobility);
                }
                if ours >= G::PAGEBLOCK_ORDER.pages() / 2 {
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

    /// Takes a block from another type, from the one that has the smallest that is large enough, and leaves that type alone.
    fn steal(&mut self, mem: &MemMap<'_, G>, mobility: Mobility, order: Order) -> Option<FreeBlock> {
        let from = order.up_to(G::MAX_ORDER).find_map(|larger| {
            mobility.fallbacks().into_iter().find(|from| self.blocks(larger, FreeKind::Listed(*from)) > 0)
        })?;
        self.take_smallest(mem, from, order)
    }

    /// Pages of a pageblock that are free in blocks of less.
    fn free_in(mem: &MemMap<'_, G>, block: Pageblock) -> usize {
        mem.blocks.tree(block.start()).map_or(0, |tree| tree.area.pages() as usize)
    }

    /// Owned pages of a pageblock, of a mobility that would feel at home if the block changed type.
    fn alike_in(mem: &MemMap<'_, G>, block: Pageblock, wanted: Mobility) -> usize {
        let (frames, mut alike) = (block.frames::<G>(), 0);
        let mut pfn = frames.start();
        while pfn < frames.end() {
            let state = mem.frames.state(pfn);
            let pages = if state.kind().is_head() { state.order().pages() } else { 1 };
            match state.kind() {
                // Nobody owns a cached page: it will feel at home in whatever the block is by then.
                FrameKind::Cached => alike += pages,
                FrameKind::Allocated if suits(state.mobility(), wanted) => alike += pages,
                _ => {}
            }
            pfn = pfn.up(pages);
        }
        alike
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
