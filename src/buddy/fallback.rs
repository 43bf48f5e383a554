//! Allocates a block for a request: from which migratetypes, in which order.
//!
//! The order is that of Linux (`__rmqueue`, `__rmqueue_claim`, `__rmqueue_steal`). A movable
//! request takes movable-only pages first (`ZONE_MOVABLE` is its first zone in Linux), and then CMA
//! pages, while these are more than a set share of the other free pages. Then come the lists of its
//! own type, and then CMA. Then it *claims* a pageblock of another type, which
//! gets the type of the request. The last resort is to *steal* a single block, whose pageblock
//! keeps its type. Claims keep allocations of different types in different pageblocks; the larger
//! the claimed block, the fewer claims are needed.
//!
//! The atomic reserve comes first for the requests that it is for. For all others that may use it,
//! it comes after everything else (before claims in Linux).

use crate::base::{FrameKind, FreeKind, Geometry, MigrateType, Mobility, Order, Pageblock, Pfn, TraceEvent};
use crate::buddy::free_block::FreeBlock;
use crate::buddy::lists::Buddy;
use crate::buddy::local::Taker;
use crate::records::{Descriptors, Found, FrameState, FreePlaces};

/// When a request takes pages of the atomic reserve.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum FromReserve {
    Never,
    /// Before all other pages, so that a burst of high-order atomic requests uses few pageblocks.
    First,
    /// After all other pages.
    Last,
}

/// The part of a request that decides from which lists it is served.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'a> {
    pub(crate) order: Order,
    pub(crate) mobility: Mobility,
    pub(crate) reserve: FromReserve,
    /// Whether it must leave all memory but movable-only memory.
    pub(crate) only_movable_only: bool,
    /// Movable requests take CMA pages before those of their own type while these exceed this
    /// percentage of the free pages that are not movable-only.
    pub(crate) cma_first_above: u8,
    /// The CPU whose pcplist is refilled, if it is.
    pub(crate) taker: Option<Taker<'a>>,
}

/// How often a refill may search the pageblocks for one that suits the CPU, so that interrupts are
/// not masked for long.
const MAX_SEARCHES: usize = 3;

impl<G: Geometry> Buddy<G> {
    /// Allocates a block; `None` if the lists have none. The caller checks the watermarks.
    pub(crate) fn alloc(&mut self, desc: &Descriptors<'_, G>, wanted: &Wanted<'_>) -> Option<FreeBlock> {
        let own = self.serves_own_first(wanted).then(|| self.own_type(wanted));
        let found = match own {
            Some(own) => self.alloc_smallest(desc, own, wanted.order, wanted.taker),
            None => None,
        };
        found.or_else(|| self.alloc_fallback(desc, wanted, own))
    }

    /// Allocates a block for each of these places, and gives it the state `cached`. Returns the
    /// places that stay free, because there are no more blocks, or each of many pageblocks has few.
    ///
    /// The choice between CMA and other pages is made for all blocks that come from one pageblock,
    /// and not for each (`__rmqueue` in Linux does): near the balance the choice would change with
    /// each block.
    pub(crate) fn alloc_many<'a>(
        &mut self,
        desc: &Descriptors<'_, G>,
        wanted: &Wanted<'_>,
        mut places: FreePlaces<'a>,
        cached: FrameState,
    ) -> FreePlaces<'a> {
        let mut searches = 0;
        while places.len() > 0 && searches < MAX_SEARCHES {
            searches += usize::from(wanted.taker.is_some());
            let kind = Self::may_batch(wanted, self.guard_below).then(|| {
                let first =
                    if self.takes_cma_first(wanted) { MigrateType::Cma } else { self.own_type(wanted) };
                FreeKind::Listed(first)
            });
            let batch = kind.is_some_and(|kind| {
                self.alloc_batch(desc, kind, wanted.order, wanted.taker, &mut places, cached)
            });
            if !batch {
                let taker = wanted.taker.map(|taker| taker.without(kind));
                let Some(block) = self.alloc(desc, &Wanted { taker, ..*wanted }) else {
                    break;
                };
                let index = desc.frames.index_of(block.pfn());
                desc.frames.set_state_at(index, cached);
                places.put(index);
            }
        }
        places
    }

    /// The type whose lists come first, if neither CMA nor the reserve does: movable-only as long
    /// as there are such pages, or else the type of the request.
    #[inline(always)]
    fn own_type(&self, wanted: &Wanted<'_>) -> MigrateType {
        if self.takes_movable_only(wanted) { MigrateType::MovableOnly } else { wanted.mobility.migratetype() }
    }

    #[inline(always)]
    fn takes_movable_only(&self, wanted: &Wanted<'_>) -> bool {
        wanted.mobility == Mobility::Movable && self.counters.free_movable_only() != 0
    }

    /// Whether the CMA lists come before those of the request's own type.
    #[inline(always)]
    fn takes_cma_first(&self, wanted: &Wanted<'_>) -> bool {
        wanted.mobility == Mobility::Movable
            && self.cma_has_more_than(wanted.cma_first_above)
            && !self.takes_movable_only(wanted)
    }

    /// Whether the lists of the request's own type come first.
    #[inline(always)]
    fn serves_own_first(&self, wanted: &Wanted<'_>) -> bool {
        !self.takes_cma_first(wanted) && wanted.reserve != FromReserve::First && !wanted.only_movable_only
    }

    /// Whether [`alloc_batch`](Self::alloc_batch) may be used: not if splits leave guards, or if
    /// blocks may be misfiled.
    #[inline(always)]
    fn may_batch(wanted: &Wanted<'_>, guard_below: Order) -> bool {
        Self::is_small(wanted.order)
            && wanted.reserve != FromReserve::First
            && !wanted.only_movable_only
            && guard_below == Order::ZERO
            && !cfg!(feature = "faults")
    }

    /// Tries all lists that the request may use, in order, but those of the type that was `tried`.
    #[cold]
    #[inline(never)]
    fn alloc_fallback(
        &mut self,
        desc: &Descriptors<'_, G>,
        wanted: &Wanted<'_>,
        tried: Option<MigrateType>,
    ) -> Option<FreeBlock> {
        let (order, movable) = (wanted.order, wanted.mobility == Mobility::Movable);
        if wanted.only_movable_only {
            return self.alloc_smallest(desc, MigrateType::MovableOnly, order, wanted.taker);
        }
        let cma_first = movable && self.cma_has_more_than(wanted.cma_first_above);
        let lists = [
            (wanted.reserve == FromReserve::First).then_some(MigrateType::HighAtomic),
            movable.then_some(MigrateType::MovableOnly),
            cma_first.then_some(MigrateType::Cma),
            Some(wanted.mobility.migratetype()),
            movable.then_some(MigrateType::Cma),
        ];
        lists
            .into_iter()
            .flatten()
            .filter(|migratetype| Some(*migratetype) != tried)
            .find_map(|migratetype| self.alloc_smallest(desc, migratetype, order, wanted.taker))
            .or_else(|| {
                self.events.fallbacks += 1;
                let claimed = self.claim(desc, wanted.mobility, order);
                self.events.claims += u64::from(claimed.is_some());
                trace_fallback(desc, claimed.as_ref(), wanted.mobility, true);
                claimed
            })
            .or_else(|| {
                let stolen = self.steal(desc, wanted.mobility, order);
                self.events.steals += u64::from(stolen.is_some());
                trace_fallback(desc, stolen.as_ref(), wanted.mobility, false);
                stolen
            })
            .or_else(|| {
                let last = wanted.reserve == FromReserve::Last;
                if last { self.alloc_smallest(desc, MigrateType::HighAtomic, order, None) } else { None }
            })
    }

    #[inline(always)]
    fn cma_has_more_than(&self, percent: u8) -> bool {
        let counters = &self.counters;
        if counters.free_cma() == 0 {
            return false;
        }
        let scaled =
            |pages: usize, factor: u8| pages.cast_signed().saturating_mul(isize::from(i16::from(factor)));
        let other = counters.free().wrapping_sub(counters.free_movable_only());
        scaled(counters.free_cma(), 100) > scaled(other, percent)
    }

    /// Gives a pageblock of another type the type of the request, and allocates from it. Chooses
    /// the largest free block, in the emptiest pageblock that has one.
    ///
    /// A pageblock is claimed if at least half of its pages are free or of a compatible mobility.
    /// To keep the lock hold short, the allocated blocks of at most one pageblock are examined.
    fn claim(&mut self, desc: &Descriptors<'_, G>, mobility: Mobility, order: Order) -> Option<FreeBlock> {
        let mut may_walk = true;
        if self.listed(G::MAX_ORDER, FreeKind::Listed(MigrateType::Movable)) == 0 {
            // Deferred memory has the largest blocks.
            self.init_one(desc);
        }
        for larger in order.up_to(G::MAX_ORDER).rev() {
            if !worth_claiming::<G>(mobility, larger) {
                break;
            }
            for from in mobility.fallbacks() {
                let Some(pfn) = self.largest(desc, larger, FreeKind::Listed(from)) else {
                    continue;
                };
                if larger >= G::PAGEBLOCK_ORDER {
                    return Some(self.claim_whole(desc, pfn, mobility, order));
                }
                let block = Pageblock::of::<G>(pfn);
                let (mut compatible, half) = (Self::free_in(desc, block), G::PAGEBLOCK_ORDER.pages() / 2);
                if compatible < half && may_walk {
                    may_walk = false;
                    compatible += Self::compatible_in(desc, block, mobility, half - compatible);
                }
                if compatible >= half {
                    let own = mobility.migratetype();
                    self.retype(desc, block, desc.pageblocks.state(pfn).with_type(own));
                    return self.alloc_smallest(desc, own, order, None);
                }
            }
        }
        None
    }

    /// Claims every pageblock of a free block of at least the pageblock order.
    fn claim_whole(
        &mut self,
        desc: &Descriptors<'_, G>,
        pfn: Pfn,
        mobility: Mobility,
        order: Order,
    ) -> FreeBlock {
        let whole = self.remove(desc, pfn);
        for block in Pageblock::covering::<G>(whole.range()) {
            let state = desc.pageblocks.state(block.start());
            desc.pageblocks.set_state(block, state.with_type(mobility.migratetype()));
        }
        self.expand(desc, whole, order)
    }

    /// Allocates from a pageblock of another type, which keeps its type: from the fallback type
    /// that has the smallest block of at least `order`.
    fn steal(&mut self, desc: &Descriptors<'_, G>, mobility: Mobility, order: Order) -> Option<FreeBlock> {
        let from = order.up_to(G::MAX_ORDER).find_map(|larger| {
            mobility.fallbacks().into_iter().find(|from| self.blocks(larger, FreeKind::Listed(*from)) > 0)
        })?;
        self.alloc_smallest(desc, from, order, None)
    }

    /// Whether a list that requests of this mobility may use, except the reserve, has a block of at
    /// least `order`.
    pub(crate) fn has_block_outside_reserve(&self, order: Order, mobility: Mobility) -> bool {
        let may_use = |other: &MigrateType| match other {
            MigrateType::HighAtomic => false,
            MigrateType::Cma | MigrateType::MovableOnly => mobility == Mobility::Movable,
            MigrateType::Unmovable | MigrateType::Movable | MigrateType::Reclaimable => true,
        };
        MigrateType::ALL.into_iter().filter(may_use).any(|other| {
            order.up_to(G::MAX_ORDER).any(|order| self.blocks(order, FreeKind::Listed(other)) > 0)
        })
    }

    /// The pages of a pageblock in free blocks below the pageblock order.
    fn free_in(desc: &Descriptors<'_, G>, block: Pageblock) -> usize {
        desc.pageblocks.tree(block.start()).map_or(0, |tree| tree.summary.pages() as usize)
    }

    /// The pages of a pageblock that are allocated with a compatible mobility, or on a pcplist. The
    /// walk ends at `enough`.
    fn compatible_in(desc: &Descriptors<'_, G>, block: Pageblock, wanted: Mobility, enough: usize) -> usize {
        let mut compatible = 0;
        for Found { block, .. } in desc.frames.blocks(block.range::<G>(), G::MAX_ORDER) {
            let Some((_, state)) = block else { continue };
            match state.kind() {
                // A cached page has no mobility: it returns to the list that its pageblock names.
                FrameKind::Cached => compatible += state.pages(),
                FrameKind::Allocated if is_compatible(state.mobility(), wanted) => {
                    compatible += state.pages()
                }
                _ => {}
            }
            if compatible >= enough {
                break;
            }
        }
        compatible
    }
}

fn trace_fallback<G>(
    desc: &Descriptors<'_, G>,
    block: Option<&FreeBlock>,
    mobility: Mobility,
    claimed: bool,
) {
    if let Some(FreeBlock { pfn, order, .. }) = block {
        desc.trace.emit(|| TraceEvent::Fallback { pfn: *pfn, order: *order, mobility, claimed });
    }
}

/// Whether a free block of this order suffices to claim its pageblock (`should_try_claim_block`). A
/// large block does; a small one only for unmovable and reclaimable requests, whose pages would
/// fragment a movable pageblock for good.
fn worth_claiming<G: Geometry>(mobility: Mobility, order: Order) -> bool {
    order.get() >= G::PAGEBLOCK_ORDER.get() / 2 || mobility != Mobility::Movable
}

/// Whether pages of these two mobilities may be grouped in one pageblock.
fn is_compatible(held: Mobility, wanted: Mobility) -> bool {
    (held == Mobility::Movable) == (wanted == Mobility::Movable)
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use crate::base::{MigrateType, Mobility, Order, Pageblock, X86_64};
    use crate::page_allocator::Tuning;
    use crate::page_allocator::testing::{Bare, machine};

    #[test]
    fn a_block_outside_the_reserve_is_one_that_the_request_may_use() {
        let machine = machine(Bare, 8 << 20, Tuning::default());
        let desc = machine.desc();
        machine.in_zone(&machine.zones()[2], |inner| {
            let buddy = &mut inner.buddy;
            buddy.init_range(desc, machine.span());
            let mut pageblocks = Pageblock::covering::<X86_64>(machine.span());
            let first = pageblocks.next().unwrap();
            for pageblock in pageblocks {
                let state = desc.pageblocks.state(pageblock.start());
                buddy.retype(desc, pageblock, state.with_type(MigrateType::HighAtomic));
            }
            for migratetype in MigrateType::ALL {
                let state = desc.pageblocks.state(first.start());
                buddy.retype(desc, first, state.with_type(migratetype));
                for mobility in [Mobility::Unmovable, Mobility::Movable, Mobility::Reclaimable] {
                    let may_use = match migratetype {
                        MigrateType::HighAtomic => false,
                        MigrateType::Cma | MigrateType::MovableOnly => mobility == Mobility::Movable,
                        _ => true,
                    };
                    for (order, fits) in [(0, true), (9, true), (10, false)] {
                        let found = buddy.has_block_outside_reserve(Order::new(order), mobility);
                        assert_eq!(found, may_use && fits, "order {order}, {mobility:?}: {migratetype:?}");
                    }
                }
            }
        });
    }
}
