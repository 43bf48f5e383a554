//! Fullness groups: pageblocks that have free blocks, grouped by how many of their pages are free.
//!
//! Each kind has groups by *fullness class* (the share of the pageblock's pages that are free, in
//! up to eight steps) and, within a class, by the largest order that the pageblock has a free block
//! of. A word has a bit for each group that is not empty, fullest class first, so that the fullest
//! pageblock with a free block of at least some order is found with a mask and a count of trailing
//! zeroes. (zsmalloc of Linux groups its pages likewise.)
//!
//! Unmovable and movable pageblocks have the groups several times: for those that are local to no
//! CPU ([`local`](crate::buddy)), and for those of a CPU, so that its own fullest one is found as
//! fast. CPUs share these by number.
//!
//! Allocating from the fullest pageblock lets nearly free pageblocks become entirely free, which
//! lists in last-in-first-out order do not achieve under a steady load.

use core::num::NonZero;
use core::ops::ControlFlow;

use crate::base::{FreeKind, Geometry, Order};
use crate::records::{BuddyTree, FreeBlocks, LocalCpu, PageblockMap, PageblockSummary};
use crate::sync::{Ordering, PlainU32};

/// The link of the last pageblock of a group.
const NONE: u32 = u32::MAX;
const GROUPS: usize = u64::BITS as usize;

/// The layout of the groups for a geometry.
pub(super) struct Grouping<G>(core::marker::PhantomData<G>);

impl<G: Geometry> Grouping<G> {
    /// The number of orders below the pageblock order, whose blocks are in trees.
    pub(super) const ORDERS: u32 = {
        let all = G::MAX_ORDER.get() as u32 + 1;
        let below = G::PAGEBLOCK_ORDER.get() as u32;
        if below < all { below } else { all }
    };

    const CLASSES: u32 = {
        let fit = u64::BITS / Self::ORDERS;
        if fit < 8 { fit } else { 8 }
    };

    /// By order: a mask of the groups whose pageblocks have a largest free block of this order.
    const LARGEST: [u64; Order::LIMIT.index() + 1] = {
        let mut masks = [0; Order::LIMIT.index() + 1];
        let mut order = 0;
        while order < Self::ORDERS {
            let mut class = 0;
            while class < Self::CLASSES {
                masks[order as usize] |= 1 << (class * Self::ORDERS + order);
                class += 1;
            }
            order += 1;
        }
        masks
    };

    /// By order: a mask of the groups whose pageblocks have a free block of at least this order.
    const AT_LEAST: [u64; Order::LIMIT.index() + 1] = {
        let mut masks = Self::LARGEST;
        let mut order = Self::ORDERS as usize - 1;
        while order > 0 {
            masks[order - 1] |= masks[order];
            order -= 1;
        }
        masks
    };

    /// By group: the first number of pages of the next class.
    const NEXT_CLASS: [u32; GROUPS] = {
        let mut ends = [0; GROUPS];
        let mut group = 0;
        while group < GROUPS {
            let class = group as u32 / Self::ORDERS;
            ends[group] = ((class + 1) << G::PAGEBLOCK_ORDER.get()).div_ceil(Self::CLASSES) + 1;
            group += 1;
        }
        ends
    };

    /// The group of a pageblock with `pages` pages in free blocks of these orders (a bit mask).
    #[inline(always)]
    fn group(orders: NonZero<u32>, pages: u32) -> u32 {
        let class = pages.wrapping_sub(1).wrapping_mul(Self::CLASSES) >> G::PAGEBLOCK_ORDER.get();
        class.wrapping_mul(Self::ORDERS).wrapping_add(orders.ilog2())
    }
}

/// The groups of a set of pageblocks.
#[derive(Debug)]
struct GroupSet {
    /// Bit *n* is set if group *n* is not empty.
    occupied: u64,
    /// The first pageblock of each group; the others are linked through their summaries.
    first: [u32; GROUPS],
}

impl GroupSet {
    const fn new() -> Self {
        Self { occupied: 0, first: [NONE; GROUPS] }
    }
}

/// The sets that CPUs share, by number, in each of the kinds that have them: unmovable and movable.
const CPU_SETS: usize = 4;
const KINDS_WITH_CPU_SETS: usize = 2;
const SETS: usize = FreeKind::COUNT + KINDS_WITH_CPU_SETS * CPU_SETS;

/// The set of the pageblocks of a kind that are local to a CPU. Those that are local to none, and
/// all of the other kinds, are in the set of the kind.
#[inline(always)]
const fn set_of(kind: usize, cpu: LocalCpu) -> usize {
    if kind < KINDS_WITH_CPU_SETS && cpu.number() != 0 {
        FreeKind::COUNT + kind * CPU_SETS + cpu.number() as usize % CPU_SETS
    } else {
        kind
    }
}

/// The groups of all kinds.
#[derive(Debug)]
pub(super) struct FullnessGroups([GroupSet; SETS]);

impl FullnessGroups {
    pub(super) const fn new() -> Self {
        Self([const { GroupSet::new() }; SETS])
    }

    /// The sets of a kind: the one of the kind, and those that CPUs share, if it has such.
    #[inline(always)]
    fn sets(&self, kind: FreeKind) -> (Option<&GroupSet>, &[GroupSet]) {
        let of_cpus = match kind.index() {
            index @ ..KINDS_WITH_CPU_SETS => self.0.get(FreeKind::COUNT + index * CPU_SETS..),
            _ => None,
        };
        let of_cpus = of_cpus.and_then(|sets| sets.get(..CPU_SETS)).unwrap_or(&[]);
        (self.0.get(kind.index()), of_cpus)
    }

    /// The groups that any of these sets has a pageblock in.
    #[inline(always)]
    fn occupied((of_kind, of_cpus): (Option<&GroupSet>, &[GroupSet])) -> u64 {
        of_cpus.iter().fold(of_kind.map_or(0, |set| set.occupied), |all, set| all | set.occupied)
    }

    /// The first pageblock of a group, of the first set that has one.
    fn first_of(&self, kind: FreeKind, group: usize) -> Option<u32> {
        let (of_kind, of_cpus) = self.sets(kind);
        of_kind.into_iter().chain(of_cpus).map(|set| set.first[group]).find(|first| *first != NONE)
    }

    /// The fullest pageblock of a kind that has a free block of at least `order`.
    #[inline]
    pub(super) fn fullest<G: Geometry>(&self, kind: FreeKind, order: Order) -> Option<u32> {
        let fitting = Self::occupied(self.sets(kind)) & Grouping::<G>::AT_LEAST.get(order.index())?;
        let group = (fitting != 0).then(|| fitting.trailing_zeros() as usize % GROUPS)?;
        self.first_of(kind, group)
    }

    /// As [`fullest`](Self::fullest), of the set that has the pageblocks that are local to a CPU.
    #[inline(always)]
    pub(super) fn fullest_of<G: Geometry>(&self, kind: FreeKind, order: Order, cpu: LocalCpu) -> Option<u32> {
        let set = self.0.get(set_of(kind.index(), cpu))?;
        let fitting = set.occupied & Grouping::<G>::AT_LEAST.get(order.index())?;
        (fitting != 0).then(|| set.first[fitting.trailing_zeros() as usize % GROUPS])
    }

    /// Visits the pageblocks of a kind that have a free block of at least `order`, the fullest
    /// group first, and of each set at most `per_group` pageblocks of a group, until `visit`
    /// breaks, or they and the groups are `most`.
    ///
    /// With a CPU it visits those only of the set that has the pageblocks that are local to it.
    #[inline(always)]
    pub(super) fn fullest_first<'m, G: Geometry>(
        &self,
        map: &PageblockMap<'m, G>,
        (kind, order, cpu): (FreeKind, Order, Option<LocalCpu>),
        (per_group, mut most): (usize, usize),
        mut visit: impl FnMut(u32, &'m PageblockSummary) -> ControlFlow<()>,
    ) {
        let (of_kind, of_cpus) = match cpu {
            Some(cpu) => (self.0.get(set_of(kind.index(), cpu)), &[][..]),
            None => self.sets(kind),
        };
        let occupied = Self::occupied((of_kind, of_cpus));
        let mut fitting = occupied & Grouping::<G>::AT_LEAST.get(order.index()).unwrap_or(&0);
        // Plain loops: without optimisation, nested adapters take kilobytes of a boot stack.
        while fitting != 0 && most > 0 {
            most -= 1;
            let group = fitting.trailing_zeros() as usize % GROUPS;
            fitting &= fitting.wrapping_sub(1);
            let (mut next, mut others) = (of_kind, of_cpus);
            while let Some(set) = next {
                let (mut at, mut left) = (set.first[group], per_group);
                while at != NONE
                    && left > 0
                    && let Some(summary) = map.summary_at(at)
                {
                    if most == 0 || visit(at, summary).is_break() {
                        return;
                    }
                    most -= 1;
                    (at, left) = (summary.next.load(Ordering::Relaxed), left - 1);
                }
                (next, others) = match others {
                    [first, rest @ ..] => (Some(first), rest),
                    [] => (None, others),
                };
            }
        }
    }

    /// The emptiest pageblock of a kind whose largest free block is of this order.
    pub(super) fn emptiest<G: Geometry>(&self, kind: FreeKind, order: Order) -> Option<u32> {
        let fitting = Self::occupied(self.sets(kind)) & Grouping::<G>::LARGEST.get(order.index())?;
        let last = fitting.checked_ilog2()? as usize % GROUPS;
        self.first_of(kind, last)
    }

    /// The pageblocks of all groups of a kind; at most `limit` of each, so that damaged links end
    /// the walk.
    pub(super) fn pageblocks<G: Geometry>(
        &self,
        map: &PageblockMap<'_, G>,
        kind: FreeKind,
        limit: usize,
    ) -> impl Iterator<Item = u32> {
        let (of_kind, of_cpus) = self.sets(kind);
        let groups = of_kind.into_iter().chain(of_cpus).flat_map(|set| &set.first);
        groups.flat_map(move |first| linked_from(map, *first).take(limit))
    }
}

/// The pageblocks of a group, from this one on.
fn linked_from<G: Geometry>(map: &PageblockMap<'_, G>, first: u32) -> impl Iterator<Item = u32> {
    let mut at = first;
    core::iter::from_fn(move || {
        let found = map.summary_at(at).map(|summary| (at, summary.next.load(Ordering::Relaxed)));
        at = found.map_or(NONE, |(_, next)| next);
        found.map(|(index, _)| index)
    })
}

/// A kind and one of its groups, in one number; 0 for no group.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct GroupId(u16);

impl GroupId {
    const NONE: Self = Self(0);

    /// The group that a pageblock of this kind with these free blocks belongs in.
    #[inline(always)]
    pub(super) fn of<G: Geometry>(free: FreeBlocks, kind: FreeKind) -> Self {
        match NonZero::new(free.orders()) {
            None => Self::NONE,
            Some(orders) => {
                Self((((kind.index() as u32 + 1) << 6) + Grouping::<G>::group(orders, free.pages())) as u16)
            }
        }
    }

    /// The group that a pageblock is in.
    #[inline(always)]
    pub(super) fn current(summary: &PageblockSummary) -> Self {
        Self(summary.group.load(Ordering::Relaxed))
    }

    /// Whether it is a group of this kind.
    pub(super) fn is_of(self, kind: FreeKind) -> bool {
        usize::from(self.0 >> 6) == kind.index() + 1
    }

    /// Whether the pageblock is in this group, and has its limits.
    pub(super) fn is_that_of<G: Geometry>(self, summary: &PageblockSummary) -> bool {
        let of = |cell: &PlainU32| cell.load(Ordering::Relaxed);
        let limits = (of(&summary.group_end), of(&summary.largest));
        let wanted = self.kind_and_group().map_or((0, limits.1), |(_, group)| Self::limits::<G>(group));
        self == Self::current(summary) && limits == wanted
    }

    /// The first [`FreeBlocks`] with too many pages for a group, and its largest order.
    fn limits<G: Geometry>(group: usize) -> (u32, u32) {
        let pages = Grouping::<G>::NEXT_CLASS[group % GROUPS];
        (FreeBlocks::end(pages), group as u32 % Grouping::<G>::ORDERS)
    }

    fn kind_and_group(self) -> Option<(usize, usize)> {
        let kind = (self.0 >> 6).checked_sub(1)?;
        Some((kind as usize, self.0 as usize % GROUPS))
    }
}

/// Moves a pageblock from its current group to `to`.
#[inline(never)]
pub(super) fn move_pageblock<G: Geometry>(
    groups: &mut FullnessGroups,
    map: &PageblockMap<'_, G>,
    index: u32,
    summary: &PageblockSummary,
    to: GroupId,
) {
    let linked = |index| map.summary_at(index);
    let cpu = summary.local();
    if let Some((kind, group)) = GroupId::current(summary).kind_and_group()
        && let Some(from) = groups.0.get_mut(set_of(kind, cpu))
    {
        let (next, prev) = (summary.next.load(Ordering::Relaxed), summary.prev.load(Ordering::Relaxed));
        if let Some(next) = linked(next) {
            next.prev.store(prev, Ordering::Relaxed);
        }
        if let Some(prev) = linked(prev) {
            prev.next.store(next, Ordering::Relaxed);
        } else {
            from.first[group] = next;
            if next == NONE {
                from.occupied &= !(1 << group);
            }
        }
    }
    summary.group.store(to.0, Ordering::Relaxed);
    summary.group_end.store(0, Ordering::Relaxed);
    if let Some((kind, group)) = to.kind_and_group()
        && let Some(onto) = groups.0.get_mut(set_of(kind, cpu))
    {
        let (end, largest) = GroupId::limits::<G>(group);
        summary.group_end.store(end, Ordering::Relaxed);
        summary.largest.store(largest, Ordering::Relaxed);
        let next = onto.first[group];
        summary.next.store(next, Ordering::Relaxed);
        summary.prev.store(NONE, Ordering::Relaxed);
        if let Some(next) = linked(next) {
            next.prev.store(index, Ordering::Relaxed);
        }
        onto.first[group] = index;
        onto.occupied |= 1 << group;
    }
}

/// Makes a pageblock local to this CPU, or to none, and moves it to the groups of that.
pub(super) fn set_local<G: Geometry>(
    groups: &mut FullnessGroups,
    map: &PageblockMap<'_, G>,
    tree: BuddyTree<'_, G>,
    cpu: LocalCpu,
) {
    let BuddyTree { summary, pageblock, .. } = tree;
    if summary.local().number() == cpu.number() {
        summary.set_local(cpu);
        return;
    }
    let group = GroupId::current(summary);
    move_pageblock(groups, map, pageblock, summary, GroupId::NONE);
    summary.set_local(cpu);
    move_pageblock(groups, map, pageblock, summary, group);
}

#[cfg(all(test, not(loom)))]
mod tests {
    use core::num::NonZero;
    use core::ops::ControlFlow;

    use super::{FullnessGroups, GroupId, Grouping, move_pageblock};
    use crate::base::{FreeKind, Order, Pfn, PfnRange, X86_64};
    use crate::records::Trees;
    use crate::records::{
        BuddyTree, Extents, FrameIndex, LocalCpu, PageblockCell, PageblockMap, PageblockSummary,
    };

    #[test]
    fn every_pageblock_has_a_group() {
        let group = |orders, pages| Grouping::<X86_64>::group(NonZero::new(orders).unwrap(), pages);
        for pages in 1..=512 {
            for largest in 0..9 {
                assert!(group(1 << largest | 1, pages) < 64);
            }
        }
        assert_eq!(group(1, 1), 0);
        assert_eq!(group(1 << 8 | 1, 511), 62);
    }

    #[test]
    fn the_fullest_pageblock_with_a_large_enough_block_is_found() {
        let mut all = Pageblocks::new(3);
        // A nearly free one, one with three single free pages, and one in between.
        for (pageblock, order, blocks) in [(0, 8, 1), (1, 0, 3), (2, 6, 2)] {
            (0..blocks).for_each(|block| all.insert(pageblock, block << order, Order::new(order)));
        }
        let fullest = |all: &Pageblocks, order| all.groups.fullest::<X86_64>(KIND, Order::new(order));
        let count = |all: &Pageblocks| all.groups.pageblocks(&all.map(), KIND, 9).count();
        assert_eq!(fullest(&all, 0), Some(1));
        assert_eq!(fullest(&all, 1), Some(2));
        assert_eq!(fullest(&all, 7), Some(0));
        assert_eq!(all.groups.emptiest::<X86_64>(KIND, Order::new(8)), Some(0));
        assert_eq!(all.groups.emptiest::<X86_64>(KIND, Order::new(7)), None);
        assert_eq!(count(&all), 3);
        let (tree, order) = (all.trees.tree::<X86_64>(2), Order::new(6));
        assert_eq!(tree.drain(order, 9, |_| ()), 2);
        tree.summary.add_pages(128_u32.wrapping_neg());
        all.regroup(2);
        assert_eq!(fullest(&all, 1), Some(0));
        assert_eq!(count(&all), 2);
    }

    /// Pageblocks of X86_64, whose free blocks a test inserts.
    struct Pageblocks {
        trees: Trees,
        descs: Vec<PageblockCell>,
        groups: FullnessGroups,
    }

    const KIND: FreeKind = FreeKind::ALL[0];

    impl Pageblocks {
        fn new(pageblocks: usize) -> Self {
            let descs = (0..pageblocks).map(|_| PageblockCell::new()).collect();
            Self { trees: Trees::new::<X86_64>(pageblocks), descs, groups: FullnessGroups::new() }
        }

        fn map(&self) -> PageblockMap<'_, X86_64> {
            let Trees { summaries, words, frames } = &self.trees;
            let extents = Extents::new(PfnRange::with_len(Pfn::new(0), frames.len()), &[], None);
            PageblockMap::new(&self.descs, summaries, words, frames, extents)
        }

        /// Inserts a free block, and moves the pageblock to its group.
        fn insert(&mut self, pageblock: u32, page: u32, order: Order) {
            let at = FrameIndex::new(pageblock * 512 + page);
            let tree = self.trees.tree::<X86_64>(pageblock);
            tree.insert(BuddyTree::<X86_64>::node(at, order), order, order.pages() as u32);
            self.regroup(pageblock);
        }

        fn regroup(&mut self, pageblock: u32) {
            let mut groups = core::mem::replace(&mut self.groups, FullnessGroups::new());
            let summary = &self.trees.summaries[pageblock as usize];
            move_pageblock(&mut groups, &self.map(), pageblock, summary, group_of(summary));
            self.groups = groups;
        }

        /// The pageblocks that a search visits, which ends at number `last`.
        fn visited(&self, order: u8, limits: (usize, usize), last: u32) -> Vec<u32> {
            self.visited_of(None, order, limits, last)
        }

        fn visited_of(
            &self,
            cpu: Option<LocalCpu>,
            order: u8,
            limits: (usize, usize),
            last: u32,
        ) -> Vec<u32> {
            let mut visited = Vec::new();
            self.groups.fullest_first(&self.map(), (KIND, Order::new(order), cpu), limits, |number, _| {
                visited.push(number);
                if number == last { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
            visited
        }
    }

    fn group_of(summary: &PageblockSummary) -> GroupId {
        GroupId::of::<X86_64>(summary.free(), KIND)
    }

    #[test]
    fn a_search_visits_the_fullest_groups_first_and_ends_at_its_limits() {
        let mut all = Pageblocks::new(10);
        // The first six are local to no CPU, the next two to CPU 0, then one to CPU 1. The last one
        // comes in a group of its own.
        for pageblock in 0..10 {
            let local = match pageblock {
                6 | 7 => LocalCpu::new(0),
                8 => LocalCpu::new(1),
                _ => LocalCpu::NONE,
            };
            all.trees.summaries[pageblock as usize].set_local(local);
            let order = if pageblock < 9 { 0 } else { 6 };
            all.insert(pageblock, 0, Order::new(order));
        }
        assert_eq!(all.visited(0, (9, 99), 99), [5, 4, 3, 2, 1, 0, 7, 6, 8, 9]);
        assert_eq!(all.visited(0, (4, 99), 99), [5, 4, 3, 2, 7, 6, 8, 9], "four of each set");
        assert_eq!(all.visited(0, (1, 99), 99), [5, 7, 8, 9]);
        assert_eq!(all.visited(1, (4, 99), 99), [9], "order");
        assert_eq!(all.visited(7, (4, 99), 99), [] as [u32; 0]);
        assert_eq!(all.visited(0, (4, 99), 2), [5, 4, 3, 2], "ended by the visitor");
        // A group counts, too.
        assert_eq!(all.visited(0, (4, 4), 99), [5, 4, 3]);
        for most in [8, 9] {
            assert_eq!(all.visited(0, (4, most), 99), [5, 4, 3, 2, 7, 6, 8], "{most}");
        }
        assert_eq!(all.visited(0, (4, 10), 99), [5, 4, 3, 2, 7, 6, 8, 9]);
        assert_eq!(all.visited(0, (4, 0), 99), [] as [u32; 0]);
        let of = |cpu| all.visited_of(Some(LocalCpu::new(cpu)), 0, (4, 99), 99);
        assert_eq!([of(0), of(1), of(4), of(2)], [vec![7, 6], vec![8], vec![7, 6], vec![]]);
    }

    #[test]
    fn a_pageblock_stays_in_its_group_until_it_has_pages_of_the_next_class_or_a_larger_block() {
        let mut all = Pageblocks::new(1);
        all.insert(0, 0, Order::ZERO);
        for page in 1..512 {
            let (tree, at) = (all.trees.tree::<X86_64>(0), FrameIndex::new(page));
            tree.insert(BuddyTree::<X86_64>::node(at, Order::ZERO), Order::ZERO, 1);
            let stays = tree.summary.stays_in_group(tree.summary.free(), Order::ZERO);
            assert_eq!(stays, GroupId::current(tree.summary) == group_of(tree.summary), "{page}");
            all.regroup(0);
            assert!(group_of(&all.trees.summaries[0]).is_that_of::<X86_64>(&all.trees.summaries[0]));
        }
        for order in 1..7 {
            let mut all = Pageblocks::new(1);
            all.insert(0, 0, Order::new(3));
            let (tree, order) = (all.trees.tree::<X86_64>(0), Order::new(order));
            let stays = tree.summary.stays_in_group(tree.summary.free(), order);
            assert_eq!(stays, order <= Order::new(3), "{order:?}");
        }
    }

    #[test]
    fn a_group_is_of_one_kind() {
        let mut all = Pageblocks::new(1);
        all.insert(0, 0, Order::new(8));
        for kind in FreeKind::ALL {
            let group = GroupId::of::<X86_64>(all.trees.summaries[0].free(), kind);
            let of: Vec<_> = FreeKind::ALL.into_iter().filter(|kind| group.is_of(*kind)).collect();
            assert_eq!(of, [kind]);
            assert!(!GroupId::NONE.is_of(kind));
        }
    }
}
