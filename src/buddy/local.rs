//! Local pageblocks: from which pageblock a CPU refills its pcplists.
//!
//! Sixteen frame states share a cache line, and each allocation and free writes a state. CPUs that
//! have pages of one line on their lists wait for each other, although they use no lock together:
//! with 60 such lines, two CPUs are hardly faster than one. So a pageblock is *local* to the CPU
//! that was the last to refill a list from it. A CPU takes pages
//!
//! 1. of the fullest pageblock that is local to it, or
//! 2. of one that is local to no CPU, or
//! 3. of a whole pageblock, if it has fewer than [`RESERVED`] or all others are reserved, or
//! 4. of the fullest pageblock of another CPU that is not reserved, and becomes local to this one.
//!
//! The pages of a pageblock thus end up with one CPU, however long memory is used. *Reserved* are
//! the last pageblocks that a CPU has taken pages of and that still had many. (LLFree reserves a
//! tree for each CPU; SLUB has CPU slabs.)
//!
//! **The cost in fragmentation**: a CPU breaks at most [`RESERVED`] whole pageblocks, in each zone
//! and for each mobility, although other CPUs have free pages. They hold as many pages as its list.
//! It does so only while an eighth of the zone is whole pageblocks. A movable pageblock changes its
//! type for it only if all those of the type that have free pages are reserved. In a zone where an
//! eighth is less than [`RESERVED`] pageblocks, all pageblocks are local to none.
//!
//! Locality is a preference: every free block can still be found by every request, and counts and
//! watermarks do not depend on it. The zone must be locked.

use core::ops::ControlFlow;

use crate::base::{FreeKind, Geometry, MigrateType, Order};
use crate::buddy::fullness::{GroupId, set_local};
use crate::buddy::lists::Buddy;
use crate::records::{BuddyTree, Descriptors, LocalCpu, PageblockSummary};
use crate::sync::{Ordering, PlainU32};

/// The most pageblocks that a CPU reserves in a zone for a mobility: those that the pages of a list
/// come from.
const RESERVED: usize = 3;

/// The most pageblocks and groups that a search of the groups of a CPU looks at.
const OWN_SEARCHED: usize = 12;
/// Likewise for those of all CPUs, and the most pageblocks of a group of a set.
const SEARCHED: usize = 10;
const PER_GROUP: usize = 4;

/// The states of blocks of this order and larger ones are in different pairs of cache lines, which
/// the adjacent-line prefetcher fetches together: for them no whole pageblock is broken.
const APART: Order = Order::new(5);

/// The kinds for which a whole movable pageblock may become one of the kind.
const CLAIMING: [FreeKind; 2] =
    [FreeKind::Listed(MigrateType::Unmovable), FreeKind::Listed(MigrateType::Reclaimable)];

/// The reserved pageblocks of a CPU for one zone and mobility, the last one first.
#[derive(Debug)]
pub(crate) struct Reserved {
    cpu: LocalCpu,
    pageblocks: [PlainU32; RESERVED],
}

impl Reserved {
    pub(crate) fn new(cpu: LocalCpu) -> Self {
        let pageblocks = [const { PlainU32::new(u32::MAX) }; RESERVED];
        Self { cpu, pageblocks }
    }

    pub(crate) fn cpu(&self) -> LocalCpu {
        self.cpu
    }

    /// The pageblocks that it still has reserved, the last one first.
    pub(crate) fn pageblocks<'a, G: Geometry>(
        &'a self,
        desc: &'a Descriptors<'_, G>,
    ) -> impl Iterator<Item = u32> + 'a {
        let is_reserved = |number: &u32| {
            let summary = desc.pageblocks.summary_at(*number);
            summary.is_some_and(|summary| summary.local() == self.cpu.reserving())
        };
        self.pageblocks.iter().map(|entry| entry.load(Ordering::Relaxed)).filter(is_reserved)
    }
}

/// For whom a pageblock is chosen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taker<'a> {
    reserved: &'a Reserved,
    /// A whole pageblock is broken for it only if there are more pages in such pageblocks.
    spare: usize,
    /// The kind of which a search of the pageblocks of all CPUs has just found none that serves it.
    without: Option<FreeKind>,
}

impl<'a> Taker<'a> {
    /// A CPU that refills a list of this order, in a zone of so many frames. `None` if an eighth of
    /// the zone is less than a CPU may reserve: there it makes no difference whose a pageblock is.
    #[inline(always)]
    pub(crate) fn new<G: Geometry>(reserved: &'a Reserved, order: Order, frames: usize) -> Option<Self> {
        let spare = if order < APART { frames / 8 } else { usize::MAX };
        let taker = Self { reserved, spare, without: None };
        (frames / 8 >= RESERVED * G::PAGEBLOCK_ORDER.pages()).then_some(taker)
    }

    /// Whether a pageblock is local to the CPU.
    #[inline(always)]
    pub(super) fn owns<G>(self, tree: BuddyTree<'_, G>) -> bool {
        tree.summary.local().number() == self.reserved.cpu.number()
    }

    /// The same, after a search that has found no pageblock of this kind.
    pub(super) fn without(self, kind: Option<FreeKind>) -> Self {
        Self { without: kind, ..self }
    }
}

impl<G: Geometry> Buddy<G> {
    /// The free pages from which on a pageblock is reserved for the CPU that takes pages of it.
    const WORTH_RESERVING: u32 = (G::PAGEBLOCK_ORDER.pages() as u32).div_ceil(8);

    /// The pageblock of this kind that serves the taker, with a free block of at least `order`.
    #[inline(always)]
    pub(super) fn choose<'m>(
        &self,
        desc: &Descriptors<'m, G>,
        kind: FreeKind,
        order: Order,
        taker: Option<Taker<'_>>,
    ) -> Option<BuddyTree<'m, G>> {
        let Some(Taker { reserved, .. }) = taker else {
            return desc.pageblocks.tree_at(self.groups.fullest::<G>(kind, order)?);
        };
        let own = self.groups.fullest_of::<G>(kind, order, reserved.cpu);
        match own.and_then(|pageblock| desc.pageblocks.tree_at(pageblock)) {
            Some(tree) if !tree.summary.local().is_another_than(reserved.cpu) => Some(tree),
            _ => self.choose_another(desc, kind, order, taker?),
        }
    }

    /// As [`choose`](Self::choose), if the fullest pageblock is local to another CPU, or there is
    /// none. `None` also if a whole pageblock serves it better than those that were found.
    #[cold]
    #[inline(never)]
    fn choose_another<'m>(
        &self,
        desc: &Descriptors<'m, G>,
        kind: FreeKind,
        order: Order,
        taker: Taker<'_>,
    ) -> Option<BuddyTree<'m, G>> {
        if taker.without == Some(kind) {
            return None;
        }
        // Mostly no pageblock has a block so large.
        self.groups.fullest::<G>(kind, order)?;
        let Reserved { cpu, pageblocks, .. } = taker.reserved;
        let summary_at = |number| desc.pageblocks.summary_at(number);
        let entries = || pageblocks.iter().map(|entry| entry.load(Ordering::Relaxed));
        let is_reserved = |number| summary_at(number).filter(|summary| summary.local() == cpu.reserving());
        let serves = |number: &u32| {
            let fits = |summary: &PageblockSummary| {
                GroupId::current(summary).is_of(kind) && summary.smallest(order).is_some()
            };
            is_reserved(*number).is_some_and(fits)
        };
        if let Some(reserved) = entries().rev().find(serves) {
            return desc.pageblocks.tree_at(reserved);
        }
        let (mut unreserved, mut first, mut found) = (None, None, None);
        // The groups of a CPU are those of others, too, and mostly have pageblocks of its own.
        for (cpus, limits) in [(Some(*cpu), (OWN_SEARCHED, OWN_SEARCHED)), (None, (PER_GROUP, SEARCHED))] {
            (unreserved, first) = (None, None);
            let wanted = (kind, order, cpus);
            self.groups.fullest_first(&desc.pageblocks, wanted, limits, |number, summary| {
                let local = summary.local();
                if !local.is_another_than(*cpu) {
                    found = Some(number);
                    return ControlFlow::Break(());
                }
                first = first.or(Some(number));
                if !local.is_reserving() {
                    unreserved = unreserved.or(Some(number));
                }
                ControlFlow::Continue(())
            });
            if found.is_some() {
                break;
            }
        }
        if let Some(found) = found {
            return desc.pageblocks.tree_at(found);
        }
        let may_reserve = || entries().any(|number| is_reserved(number).is_none());
        // What is not movable may claim a whole pageblock only where all others are reserved.
        let movable = FreeKind::Listed(MigrateType::Movable);
        let claims = unreserved.is_none() && CLAIMING.contains(&kind);
        let claimable = if claims { self.whole(movable) } else { 0 };
        if (unreserved.is_none() || may_reserve()) && self.whole(kind) + claimable > taker.spare {
            return None;
        }
        desc.pageblocks.tree_at(unreserved.or(first)?)
    }

    /// The pages in whole free pageblocks of a kind.
    fn whole(&self, kind: FreeKind) -> usize {
        G::PAGEBLOCK_ORDER.up_to(G::MAX_ORDER).map(|order| self.blocks(order, kind) * order.pages()).sum()
    }

    /// Notes that the taker has taken pages of a pageblock, which has `left` free pages left.
    #[inline(always)]
    pub(super) fn note_taken(
        &mut self,
        desc: &Descriptors<'_, G>,
        tree: BuddyTree<'_, G>,
        taker: Option<Taker<'_>>,
        left: u32,
    ) {
        let Some(Taker { reserved, spare, .. }) = taker else {
            return;
        };
        let local = tree.summary.local();
        if local == reserved.cpu.reserving() {
            return;
        }
        if left >= Self::WORTH_RESERVING && spare < usize::MAX {
            self.reserve_for(desc, tree, reserved);
        } else if local != reserved.cpu {
            set_local(&mut self.groups, &desc.pageblocks, tree, reserved.cpu);
        }
    }

    /// As [`note_taken`](Self::note_taken), of a pageblock that was not local to the CPU and is not
    /// to be reserved.
    #[cold]
    #[inline(never)]
    pub(super) fn note_taken_elsewhere(
        &mut self,
        desc: &Descriptors<'_, G>,
        tree: BuddyTree<'_, G>,
        taker: Option<Taker<'_>>,
    ) {
        self.note_taken(desc, tree, taker, 0);
    }

    /// Makes a pageblock the first of those that a CPU has reserved, and ends the reservation that
    /// it has lost, or the oldest.
    #[cold]
    #[inline(never)]
    fn reserve_for(&mut self, desc: &Descriptors<'_, G>, tree: BuddyTree<'_, G>, reserved: &Reserved) {
        let cpu = reserved.cpu;
        set_local(&mut self.groups, &desc.pageblocks, tree, cpu.reserving());
        let mut moved = tree.pageblock;
        for entry in &reserved.pageblocks {
            let previous = entry.swap(moved, Ordering::Relaxed);
            moved = previous;
            let summary = desc.pageblocks.summary_at(previous);
            if previous == tree.pageblock || summary.is_none_or(|summary| summary.local() != cpu.reserving())
            {
                return;
            }
        }
        if let Some(summary) = desc.pageblocks.summary_at(moved) {
            summary.set_local(cpu);
        }
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::{RESERVED, Reserved, Taker, set_local};
    use crate::base::{AllocRequest, FreeKind, MigrateType, Mobility, Order, Pfn, X86_64};
    use crate::buddy::fallback::{FromReserve, Wanted};
    use crate::buddy::lists::Buddy;
    use crate::page_allocator::testing::{Bare, machine};
    use crate::page_allocator::{PageAllocator, Tuning};
    use crate::records::{BuddyTree, LocalCpu};

    const MOVABLE: FreeKind = FreeKind::Listed(MigrateType::Movable);

    /// A zone of 32 pageblocks, and some that have no free page but these numbers of single ones.
    fn broken(free: &[usize]) -> (PageAllocator<'static, Bare>, Vec<Pfn>) {
        let (machine, order) = (machine(Bare, 64 << 20, Tuning::default()), Order::new(9));
        let whole = || machine.alloc_pages(AllocRequest::movable().order(order)).unwrap();
        let pageblocks: Vec<_> = free.iter().map(|_| whole()).collect();
        for (pageblock, pages) in pageblocks.iter().zip(free) {
            machine.split_pages(*pageblock, order, Order::ZERO).unwrap();
            (0..*pages).for_each(|page| machine.free_pages(pageblock.up(2 * page), Order::ZERO).unwrap());
        }
        machine.drain_all();
        (machine, pageblocks)
    }

    fn in_zone<R>(
        machine: &PageAllocator<'static, Bare>,
        f: impl FnOnce(&mut Buddy<X86_64>, &dyn Fn(Pfn) -> BuddyTree<'static, X86_64>) -> R,
    ) -> R {
        let tree = |pfn| machine.desc().pageblocks.tree(pfn).unwrap();
        machine.in_zone(&machine.zones()[2], |inner| f(&mut inner.buddy, &tree))
    }

    #[test]
    fn a_pageblock_is_reserved_if_an_eighth_of_its_pages_are_left_and_the_blocks_are_small() {
        for (order, left, is_reserved) in [(0, 63, false), (0, 64, true), (4, 64, true), (5, 511, false)] {
            let (machine, pageblocks) = broken(&[0]);
            let cpu = LocalCpu::new(3);
            let reserved = Reserved::new(cpu);
            let taker = Taker::new::<X86_64>(&reserved, Order::new(order), 32 * 512);
            in_zone(&machine, |buddy, tree| {
                let tree = tree(pageblocks[0]);
                let expected = if is_reserved { cpu.reserving() } else { cpu };
                buddy.note_taken(machine.desc(), tree, taker, left);
                assert_eq!(tree.summary.local(), expected, "order {order}, {left} pages left");
                // Of one that is reserved, all pages may be taken.
                buddy.note_taken(machine.desc(), tree, taker, 0);
                assert_eq!(tree.summary.local(), expected);
            });
        }
    }

    #[test]
    fn a_cpu_has_the_last_three_pageblocks_reserved_that_it_has_not_lost() {
        let (machine, pageblocks) = broken(&[0; 5]);
        let [cpu, other] = [1, 2].map(LocalCpu::new);
        let [reserved, others] = [cpu, other].map(Reserved::new);
        let desc = machine.desc();
        in_zone(&machine, |buddy, tree| {
            let tree_of = |number: usize| tree(pageblocks[number]);
            let mut reserve = |number: usize, by: &Reserved| {
                buddy.note_taken(desc, tree_of(number), Taker::new::<X86_64>(by, Order::ZERO, 32 * 512), 512);
                let left = reserved.pageblocks(desc).map(|pageblock| pageblock as usize);
                let position = |pageblock| (0..5).position(|n| tree_of(n).pageblock as usize == pageblock);
                left.map(|pageblock| position(pageblock).unwrap()).collect::<Vec<_>>()
            };
            assert_eq!(reserve(0, &reserved), [0]);
            assert_eq!(reserve(1, &reserved), [1, 0]);
            assert_eq!(reserve(2, &reserved), [2, 1, 0]);
            assert_eq!(reserve(3, &reserved), [3, 2, 1]);
            assert_eq!(tree_of(0).summary.local(), cpu, "still local");
            // Another CPU has reserved one, whose entry the next one needs.
            assert_eq!(reserve(2, &others), [3, 1]);
            assert_eq!(reserve(4, &reserved), [4, 3, 1]);
            assert_eq!(tree_of(2).summary.local(), other.reserving());
            // It gets one back that it had lost.
            assert_eq!(reserve(3, &others), [4, 1]);
            assert_eq!(reserve(3, &reserved), [3, 4, 1]);
            assert_eq!(RESERVED, 3);
        });
    }

    #[test]
    fn a_pageblock_of_a_cpu_that_shares_the_groups_comes_after_one_that_is_local_to_none() {
        let (machine, pageblocks) = broken(&[10, 200]);
        let [cpu, other] = [0, 4].map(LocalCpu::new);
        let reserved = Reserved::new(cpu);
        let taker = Taker::new::<X86_64>(&reserved, Order::ZERO, 32 * 512);
        let desc = machine.desc();
        in_zone(&machine, |buddy, tree| {
            for pfn in &pageblocks {
                set_local(&mut buddy.groups, &desc.pageblocks, tree(*pfn), LocalCpu::NONE);
            }
            let mut chosen = |local| {
                set_local(&mut buddy.groups, &desc.pageblocks, tree(pageblocks[0]), local);
                buddy.choose(desc, MOVABLE, Order::ZERO, taker).map(|tree| tree.pageblock)
            };
            let [fuller, emptier] = [0, 1].map(|n| Some(tree(pageblocks[n]).pageblock));
            assert_eq!(chosen(LocalCpu::NONE), fuller);
            assert_eq!(chosen(cpu), fuller);
            assert_eq!(chosen(other), emptier);
        });
    }

    #[test]
    fn a_whole_pageblock_is_left_whole_once_no_more_than_an_eighth_of_the_zone_are() {
        for whole in [4, 5] {
            let (machine, pageblocks) = broken(&vec![1; 32 - whole]);
            let reserved = Reserved::new(LocalCpu::new(1));
            let taker = Taker::new::<X86_64>(&reserved, Order::ZERO, 32 * 512);
            let desc = machine.desc();
            in_zone(&machine, |buddy, tree| {
                for pfn in &pageblocks {
                    let other = LocalCpu::new(0);
                    set_local(&mut buddy.groups, &desc.pageblocks, tree(*pfn), other);
                }
                let chosen = buddy.choose(desc, MOVABLE, Order::ZERO, taker);
                assert_eq!(chosen.is_none(), whole == 5, "{whole} of 32 are whole");
            });
        }
    }

    #[test]
    fn a_pageblock_becomes_local_to_the_cpu_that_takes_one_block_of_it() {
        // Four of 32 pageblocks are whole, which is not enough to break one.
        let (machine, pageblocks) = broken(&[9; 28]);
        let [cpu, other] = [1, 0].map(LocalCpu::new);
        let reserved = Reserved::new(cpu);
        let desc = machine.desc();
        let block = in_zone(&machine, |buddy, tree| {
            for pfn in &pageblocks {
                set_local(&mut buddy.groups, &desc.pageblocks, tree(*pfn), other);
            }
            let wanted = Wanted {
                order: Order::ZERO,
                mobility: Mobility::Movable,
                reserve: FromReserve::Never,
                only_movable_only: false,
                cma_first_above: 50,
                taker: Taker::new::<X86_64>(&reserved, Order::ZERO, 32 * 512),
            };
            buddy.alloc(desc, &wanted).unwrap()
        });
        in_zone(&machine, |_, tree| assert_eq!(tree(block.pfn()).summary.local(), cpu));
    }
}
