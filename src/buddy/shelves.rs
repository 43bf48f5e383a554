//! Pageblocks with free blocks of less than a pageblock, sorted by how full they are.
//!
//! For each kind there are shelves by *class* (the share of the pageblock's pages that are free, in as many steps as fit) and,
//! within a class, by the largest order that the pageblock has a free block of. A word has a bit for each shelf that is not
//! empty, fullest class first, so that *the fullest pageblock that has a block of at least this order* is a mask and
//! a count of trailing zeroes, whatever the size of the machine.
//!
//! That is what keeps pageblocks whole under churn: pages are handed out where few are left, and a pageblock that is nearly free
//! is left alone until it is. Lists in last-in-first-out order never give one back. Neighbours:
//! [`block_area`](crate::block_area) has the blocks, [`super`] moves a pageblock when its blocks have changed.

use crate::block_area::BlockArea;
use crate::geometry::Geometry;
use crate::order::Order;
use crate::pageblock::PageblockMap;
use crate::sync::Ordering;

const NOBODY: u32 = u32::MAX;
const SHELVES: usize = u64::BITS as usize;

/// How a geometry's pageblocks are sorted.
pub(super) struct Sorting<G>(core::marker::PhantomData<G>);

impl<G: Geometry> Sorting<G> {
    /// Orders of blocks that are kept with their pageblock: below the pageblock's, and at most the largest.
    pub(super) const ORDERS: u32 = {
        let all = G::MAX_ORDER.get() as u32 + 1;
        let below = G::PAGEBLOCK_ORDER.get() as u32;
        if below < all { below } else { all }
    };

    /// Steps from full to free.
    const CLASSES: u32 = {
        let fit = u64::BITS / Self::ORDERS;
        if fit < 8 { fit } else { 8 }
    };

    /// By order: the shelves of pageblocks that have a block of exactly this order, and none larger.
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

    /// By order: the shelves of pageblocks that have a block of at least this order.
    const AT_LEAST: [u64; Order::LIMIT.index() + 1] = {
        let mut masks = Self::LARGEST;
        let mut order = Self::ORDERS as usize - 1;
        while order > 0 {
            masks[order - 1] |= masks[order];
            order -= 1;
        }
        masks
    };

    /// The shelf of a pageblock that has free blocks of these orders, of so many pages together.
    #[inline(always)]
    fn shelf(orders: u32, pages: u32) -> u32 {
        let class = (u64::from(pages.wrapping_sub(1)) * u64::from(Self::CLASSES)) >> G::PAGEBLOCK_ORDER.get();
        let largest = u32::BITS - 1 - (orders | 1).leading_zeros();
        (class as u32).wrapping_mul(Self::ORDERS).wrapping_add(largest)
    }
}

/// The shelves of one kind.
#[derive(Debug)]
pub(super) struct Shelves {
    filled: u64,
    first: [u32; SHELVES],
}

impl Shelves {
    pub(super) const fn new() -> Self {
        Self { filled: 0, first: [NOBODY; SHELVES] }
    }

    /// The fullest pageblock that has a free block of at least `order`.
    #[inline(always)]
    pub(super) fn fullest<G: Geometry>(&self, order: Order) -> Option<u32> {
        let fitting = self.filled & Sorting::<G>::AT_LEAST.get(order.index())?;
        (fitting != 0).then(|| self.first[fitting.trailing_zeros() as usize % SHELVES])
    }

    /// The emptiest pageblock whose largest free block is of this order.
    pub(super) fn emptiest<G: Geometry>(&self, order: Order) -> Option<u32> {
        let fitting = self.filled & Sorting::<G>::LARGEST.get(order.index())?;
        let last = fitting.checked_ilog2()?;
        Some(self.first[last as usize % SHELVES])
    }

    /// Every pageblock on the shelves, as the links tell it. A damaged shelf ends the walk after `limit` steps.
    pub(super) fn pageblocks<G: Geometry>(
        &self,
        map: &PageblockMap<'_, G>,
        limit: usize,
    ) -> impl Iterator<Item = u32> {
        self.first.iter().flat_map(move |first| {
            let mut at = *first;
            core::iter::from_fn(move || {
                let found = map.area_at(at).map(|area| (at, area.next.load(Ordering::Relaxed)));
                at = found.map_or(NOBODY, |(_, next)| next);
                found.map(|(index, _)| index)
            })
            .take(limit)
        })
    }
}

/// The place of a pageblock among all shelves: 0 for none.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Place(u32);

impl Place {
    const NOWHERE: Self = Self(0);

    /// Where a pageblock with these free blocks belongs, if `kind` is the number of its kind.
    #[inline(always)]
    pub(super) fn of<G: Geometry>(area: &BlockArea, kind: usize) -> Self {
        match area.orders() {
            0 => Self::NOWHERE,
            orders => Self(((kind as u32 + 1) << 6) + Sorting::<G>::shelf(orders, area.pages())),
        }
    }

    #[inline(always)]
    pub(super) fn current(area: &BlockArea) -> Self {
        Self(area.shelf.load(Ordering::Relaxed))
    }

    fn kind_and_shelf(self) -> Option<(usize, usize)> {
        let kind = (self.0 >> 6).checked_sub(1)?;
        Some((kind as usize, self.0 as usize % SHELVES))
    }
}

/// Moves a pageblock from where it is to `to`.
#[inline(never)]
pub(super) fn replace<G: Geometry>(
    shelves: &mut [Shelves],
    map: &PageblockMap<'_, G>,
    index: u32,
    area: &BlockArea,
    to: Place,
) {
    let linked = |index| map.area_at(index);
    if let Some((kind, shelf)) = Place::current(area).kind_and_shelf()
        && let Some(from) = shelves.get_mut(kind)
    {
        let (next, prev) = (area.next.load(Ordering::Relaxed), area.prev.load(Ordering::Relaxed));
        if let Some(next) = linked(next) {
            next.prev.store(prev, Ordering::Relaxed);
        }
        if let Some(prev) = linked(prev) {
            prev.next.store(next, Ordering::Relaxed);
        } else {
            from.first[shelf] = next;
            if next == NOBODY {
                from.filled &= !(1 << shelf);
            }
        }
    }
    area.shelf.store(to.0, Ordering::Relaxed);
    if let Some((kind, shelf)) = to.kind_and_shelf()
        && let Some(onto) = shelves.get_mut(kind)
    {
        let next = onto.first[shelf];
        area.next.store(next, Ordering::Relaxed);
        area.prev.store(NOBODY, Ordering::Relaxed);
        if let Some(next) = linked(next) {
            next.prev.store(index, Ordering::Relaxed);
        }
        onto.first[shelf] = index;
        onto.filled |= 1 << shelf;
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::{Place, Shelves, Sorting, replace};
    use crate::block_area::BlockTree;
    use crate::block_area::testing::Trees;
    use crate::frame::FrameIndex;
    use crate::geometry::X86_64;
    use crate::order::Order;
    use crate::pageblock::{BlockDesc, PageblockMap};
    use crate::pfn::Pfn;

    #[test]
    fn every_pageblock_has_a_shelf() {
        for pages in 1..=512 {
            for largest in 0..9 {
                assert!(Sorting::<X86_64>::shelf(1 << largest | 1, pages) < 64);
            }
        }
        assert_eq!(Sorting::<X86_64>::shelf(1, 1), 0);
        assert_eq!(Sorting::<X86_64>::shelf(1 << 8 | 1, 511), 62);
    }

    #[test]
    fn the_fullest_comes_first_and_small_blocks_do_not_serve_large_requests() {
        let trees = Trees::new::<X86_64>(3);
        let descs: Vec<_> = (0..3).map(|_| BlockDesc::new()).collect();
        let map = PageblockMap::<X86_64>::new(&descs, &trees.areas, &trees.words, Pfn::new(0));
        let mut shelves = [const { Shelves::new() }; 1];
        let node = BlockTree::<X86_64>::node;
        // One nearly free, one nearly full with single pages only, one in between.
        for (pageblock, order, blocks) in [(0, 8, 1), (1, 0, 3), (2, 6, 2)] {
            let (tree, order) = (trees.tree::<X86_64>(pageblock), Order::new(order));
            for n in 0..blocks {
                let at = FrameIndex::new(pageblock * 512 + n * order.pages() as u32);
                tree.insert(node(at, order), order);
                tree.area.add_pages(order.pages() as u32);
            }
            replace(&mut shelves, &map, pageblock, tree.area, Place::of::<X86_64>(tree.area, 0));
        }
        let fullest = |shelves: &[Shelves; 1], order| shelves[0].fullest::<X86_64>(Order::new(order));
        assert_eq!(fullest(&shelves, 0), Some(1));
        assert_eq!(fullest(&shelves, 1), Some(2));
        assert_eq!(fullest(&shelves, 7), Some(0));
        assert_eq!(shelves[0].emptiest::<X86_64>(Order::new(8)), Some(0));
        assert_eq!(shelves[0].emptiest::<X86_64>(Order::new(7)), None);
        assert_eq!(shelves[0].pageblocks(&map, 9).count(), 3);
        let (tree, order) = (trees.tree::<X86_64>(2), Order::new(6));
        assert_eq!(tree.drain(order, 9, |_| ()), 2);
        tree.area.add_pages(128_u32.wrapping_neg());
        replace(&mut shelves, &map, 2, tree.area, Place::of::<X86_64>(tree.area, 0));
        assert_eq!(fullest(&shelves, 1), Some(0));
        assert_eq!(shelves[0].pageblocks(&map, 9).count(), 2);
    }
}
