//! The free blocks within one pageblock: a tree of bits, and what is known of it at a glance.
//!
//! Linux keeps a zone's free blocks in one list for each order and type. Here the blocks within a pageblock are kept with the
//! pageblock, and the pageblocks on [shelves](crate::buddy) by how full they are: a request is then served from the fullest
//! one that can serve it, and the emptier ones get a chance to become free as a whole.
//!
//! The blocks that a pageblock can be cut into are the nodes of a binary tree, numbered from 1 for the pageblock itself: the halves of
//! node *n* are 2*n* and 2*n* + 1. A node's bit is set while it is a free block. So a block's buddy is its node with
//! the last bit flipped, the block that both make is half its number, and merging touches these few words and no
//! other frame's records. *A list* of small blocks is the set bits of one level, in ascending order.
//!
//! Part of the metadata that the caller provides; zeroes are a pageblock without free blocks. Written with the zone locked.
//! Neighbours: [`pageblock`](crate::pageblock) finds a pageblock's tree, [`buddy`](crate::buddy) decides what goes where.

use core::marker::PhantomData;

use crate::frame::FrameIndex;
use crate::geometry::Geometry;
use crate::order::Order;
use crate::sync::{Ordering, PlainU32, PlainU64};

/// Eight bytes of bits of a tree.
pub(crate) type TreeWord = PlainU64;

/// What is known of a pageblock's free blocks at a glance: one cache line.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct BlockArea {
    /// Blocks of each order.
    counts: [PlainU32; Order::LIMIT.index() + 1],
    /// Of which orders there are any.
    orders: PlainU32,
    /// Pages of all of them together.
    pages: PlainU32,
    pub(crate) shelf: PlainU32,
    /// The pageblocks beside this one on its shelf.
    pub(crate) next: PlainU32,
    pub(crate) prev: PlainU32,
}

const _: () = assert!(size_of::<BlockArea>() == 64);

impl BlockArea {
    pub(crate) fn new() -> Self {
        let zero = || PlainU32::new(0);
        Self {
            counts: core::array::from_fn(|_| zero()),
            orders: zero(),
            pages: zero(),
            shelf: zero(),
            next: zero(),
            prev: zero(),
        }
    }

    /// Of which orders there are blocks: bit *n* for order *n*.
    #[inline(always)]
    pub(crate) fn orders(&self) -> u32 {
        self.orders.load(Ordering::Relaxed)
    }

    /// Blocks of one order.
    #[inline(always)]
    pub(crate) fn count(&self, order: Order) -> u32 {
        self.counts.get(order.index()).map_or(0, |count| count.load(Ordering::Relaxed))
    }

    /// Pages of the blocks.
    #[inline(always)]
    pub(crate) fn pages(&self) -> u32 {
        self.pages.load(Ordering::Relaxed)
    }

    /// So many pages more are free, or fewer.
    #[inline(always)]
    pub(crate) fn add_pages(&self, pages: u32) {
        self.pages.store(self.pages().wrapping_add(pages), Ordering::Relaxed);
    }

    /// The smallest order from `least` on that there is a block of.
    #[inline(always)]
    pub(crate) fn smallest(&self, least: Order) -> Option<Order> {
        let fitting = self.orders() & bit_of(least).wrapping_neg();
        (fitting != 0).then(|| Order::new(fitting.trailing_zeros() as u8))
    }

    /// A block of an order joins.
    #[inline(always)]
    fn join(&self, order: Order) {
        if let Some(count) = self.counts.get(order.index()) {
            count.store(count.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        }
        self.orders.store(self.orders() | bit_of(order), Ordering::Relaxed);
    }

    /// So many blocks of an order leave.
    #[inline(always)]
    fn leave(&self, order: Order, blocks: u32) {
        if let Some(count) = self.counts.get(order.index()) {
            let left = count.load(Ordering::Relaxed).wrapping_sub(blocks);
            count.store(left, Ordering::Relaxed);
            if left == 0 {
                self.orders.store(self.orders() & !bit_of(order), Ordering::Relaxed);
            }
        }
    }
}

/// A block that a pageblock can be cut into, by its number in the tree.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Node(u32);

impl Node {
    #[inline(always)]
    pub(crate) const fn buddy(self) -> Self {
        Self(self.0 ^ 1)
    }

    /// The block that this one and its buddy make.
    #[inline(always)]
    pub(crate) const fn both(self) -> Self {
        Self(self.0 >> 1)
    }
}

/// The free blocks of one pageblock, at hand.
#[derive(Debug)]
pub(crate) struct BlockTree<'m, G> {
    pub(crate) area: &'m BlockArea,
    words: &'m [TreeWord],
    /// The pageblock's number.
    pub(crate) pageblock: u32,
    geometry: PhantomData<fn() -> G>,
}

impl<G> Clone for BlockTree<'_, G> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<G> Copy for BlockTree<'_, G> {}

impl<'m, G: Geometry> BlockTree<'m, G> {
    /// Words for each pageblock: two bits for each frame.
    pub(crate) const WORDS: usize = (2_usize << G::PAGEBLOCK_ORDER.get()).div_ceil(u64::BITS as usize);

    /// The tree of a pageblock that has these records.
    #[inline(always)]
    pub(crate) fn new(area: &'m BlockArea, words: &'m [TreeWord], pageblock: u32) -> Self {
        Self { area, words, pageblock, geometry: PhantomData }
    }

    /// The first node of an order: as many blocks of it fit into a pageblock.
    #[inline(always)]
    const fn level(order: Order) -> u32 {
        1_u32.wrapping_shl((G::PAGEBLOCK_ORDER.get() as u32).wrapping_sub(order.get() as u32))
    }

    /// The block of an order at a frame of this pageblock.
    #[inline(always)]
    pub(crate) fn node(index: FrameIndex, order: Order) -> Node {
        let offset = index.number() & (1_u32.wrapping_shl(G::PAGEBLOCK_ORDER.get() as u32)).wrapping_sub(1);
        Node(Self::level(order) | offset >> (order.get() & 31))
    }

    /// Where a block starts.
    #[inline(always)]
    fn index(&self, node: Node, order: Order) -> FrameIndex {
        let start = self.pageblock << (G::PAGEBLOCK_ORDER.get() & 31);
        FrameIndex::new(start | (node.0 ^ Self::level(order)) << (order.get() & 31))
    }

    #[inline(always)]
    fn word(&self, node: Node) -> Option<&'m TreeWord> {
        self.words.get((node.0 >> u64::BITS.trailing_zeros()) as usize % Self::WORDS)
    }

    /// Whether the block is free.
    #[inline(always)]
    pub(crate) fn has(&self, node: Node) -> bool {
        self.word(node).is_some_and(|word| word.load(Ordering::Relaxed) & mask_of(node) != 0)
    }

    /// Puts a free block in. Its pages are counted apart.
    #[inline(always)]
    pub(crate) fn insert(&self, node: Node, order: Order) {
        if let Some(word) = self.word(node) {
            word.store(word.load(Ordering::Relaxed) | mask_of(node), Ordering::Relaxed);
        }
        self.area.join(order);
    }

    /// Takes a free block out, which must be in. Its pages are counted apart.
    #[inline(always)]
    pub(crate) fn remove(&self, node: Node, order: Order) {
        if let Some(word) = self.word(node) {
            word.store(word.load(Ordering::Relaxed) & !mask_of(node), Ordering::Relaxed);
        }
        self.area.leave(order, 1);
    }

    /// The words that hold a level, and which bits of them.
    #[inline(always)]
    fn level_words(&self, order: Order) -> impl Iterator<Item = (u32, &'m TreeWord, u64)> + use<'m, G> {
        let level = Self::level(order);
        let (first, count, mask) = match level {
            0..64 => (0, 1, 1_u64.wrapping_shl(level).wrapping_sub(1).wrapping_shl(level)),
            _ => (level >> 6, level >> 6, u64::MAX),
        };
        let words = self.words.get(first as usize..).unwrap_or(&[]).iter().take(count as usize);
        words.zip(first..).map(move |(word, number)| (number << 6, word, mask))
    }

    /// The lowest block of an order.
    #[inline(always)]
    pub(crate) fn first(&self, order: Order) -> Option<FrameIndex> {
        self.level_words(order).find_map(|(base, word, mask)| {
            let bits = word.load(Ordering::Relaxed) & mask;
            (bits != 0).then(|| self.index(Node(base | bits.trailing_zeros()), order))
        })
    }

    /// Takes up to `limit` blocks of an order out, the lowest first, and calls `give` with each. Says how many. Their pages are
    /// counted apart.
    #[inline(always)]
    pub(crate) fn drain(&self, order: Order, limit: u32, mut give: impl FnMut(FrameIndex)) -> u32 {
        let count = self.area.count(order).min(limit);
        if count == 0 {
            return 0;
        }
        let mut left = count;
        for (base, word, mask) in self.level_words(order) {
            let before = word.load(Ordering::Relaxed);
            let mut bits = before & mask;
            if bits == 0 {
                continue;
            }
            while bits != 0 && left != 0 {
                give(self.index(Node(base | bits.trailing_zeros()), order));
                bits &= bits.wrapping_sub(1);
                left = left.wrapping_sub(1);
            }
            word.store(before & !mask | bits, Ordering::Relaxed);
            if left == 0 {
                break;
            }
        }
        let taken = count.wrapping_sub(left);
        self.area.leave(order, taken);
        taken
    }

    /// The blocks of one order.
    pub(crate) fn blocks(&self, order: Order) -> impl Iterator<Item = FrameIndex> {
        let tree = *self;
        self.level_words(order).flat_map(move |(base, word, mask)| {
            let mut bits = word.load(Ordering::Relaxed) & mask;
            core::iter::from_fn(move || {
                let lowest = (bits != 0).then(|| bits.trailing_zeros())?;
                bits &= bits.wrapping_sub(1);
                Some(tree.index(Node(base | lowest), order))
            })
        })
    }
}

#[inline(always)]
const fn mask_of(node: Node) -> u64 {
    1_u64.wrapping_shl(node.0)
}

#[inline(always)]
const fn bit_of(order: Order) -> u32 {
    1_u32.wrapping_shl(order.get() as u32)
}

/// Pageblocks for unit tests.
#[cfg(all(test, not(loom)))]
pub(crate) mod testing {
    use super::{BlockArea, BlockTree, TreeWord};
    use crate::geometry::Geometry;

    /// The records of some pageblocks without free blocks.
    pub(crate) struct Trees {
        pub(crate) areas: Vec<BlockArea>,
        pub(crate) words: Vec<TreeWord>,
    }

    impl Trees {
        pub(crate) fn new<G: Geometry>(pageblocks: usize) -> Self {
            Self {
                areas: (0..pageblocks).map(|_| BlockArea::new()).collect(),
                words: (0..pageblocks * BlockTree::<G>::WORDS).map(|_| TreeWord::new(0)).collect(),
            }
        }

        pub(crate) fn tree<G: Geometry>(&self, pageblock: u32) -> BlockTree<'_, G> {
            let words = &self.words[pageblock as usize * BlockTree::<G>::WORDS..][..BlockTree::<G>::WORDS];
            BlockTree::new(&self.areas[pageblock as usize], words, pageblock)
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::BlockTree;
    use super::testing::Trees;
    use crate::frame::FrameIndex;
    use crate::geometry::{Geometry, X86_64};
    use crate::order::Order;

    enum Toy {}
    impl Geometry for Toy {
        const MAX_ORDER: Order = Order::new(2);
        const PAGEBLOCK_ORDER: Order = Order::new(1);
    }

    /// Every block of every order goes in and comes out, alone and among others.
    fn every_block_has_a_place_of_its_own<G: Geometry>() {
        let trees = Trees::new::<G>(3);
        let tree = trees.tree::<G>(1);
        let start = 1 << G::PAGEBLOCK_ORDER.get();
        for order in (0..G::PAGEBLOCK_ORDER.get()).map(Order::new) {
            let all: Vec<_> = (0..start >> order.get()).map(|n| start + (n << order.get())).collect();
            for number in &all {
                tree.insert(BlockTree::<G>::node(FrameIndex::new(*number), order), order);
            }
            assert!(tree.blocks(order).map(FrameIndex::number).eq(all.iter().copied()), "{order}");
            assert_eq!(tree.area.count(order), all.len() as u32);
        }
        for order in (0..G::PAGEBLOCK_ORDER.get()).map(Order::new) {
            while let Some(index) = tree.first(order) {
                let node = BlockTree::<G>::node(index, order);
                assert!(tree.has(node));
                tree.remove(node, order);
                assert!(!tree.has(node));
            }
            assert_eq!((tree.area.count(order), tree.area.orders() >> order.get() & 1), (0, 0));
        }
        assert!(trees.words.iter().all(|word| word.load(crate::sync::Ordering::Relaxed) == 0));
    }

    #[test]
    fn every_block_has_a_place_of_its_own_on_x86_64() {
        every_block_has_a_place_of_its_own::<X86_64>();
    }

    #[test]
    fn every_block_has_a_place_of_its_own_on_a_toy() {
        every_block_has_a_place_of_its_own::<Toy>();
    }

    #[test]
    fn buddies_make_the_block_above_them() {
        let node = |index, order| BlockTree::<X86_64>::node(FrameIndex::new(index), Order::new(order));
        for order in 0..9 {
            let (index, pages) = (512 + 5 * 16, 1 << order);
            let (low, high) = (index & !(2 * pages - 1), index & !(2 * pages - 1) | pages);
            assert_eq!(node(low, order).buddy(), node(high, order));
            assert_eq!(node(high, order).both(), node(low, order).both());
            if order < 8 {
                assert_eq!(node(low, order).both(), node(low, order + 1));
            }
        }
    }

    #[test]
    fn blocks_are_drained_from_the_lowest_up() {
        let trees = Trees::new::<X86_64>(1);
        let tree = trees.tree::<X86_64>(0);
        for order in [0, 3, 5, 8].map(Order::new) {
            for number in [0, 256] {
                tree.insert(BlockTree::<X86_64>::node(FrameIndex::new(number), order), order);
            }
            let mut given = Vec::new();
            assert_eq!(tree.drain(order, 1, |index| given.push(index.number())), 1);
            assert_eq!((tree.area.smallest(Order::ZERO), tree.area.count(order)), (Some(order), 1));
            assert_eq!(tree.drain(order, 9, |index| given.push(index.number())), 1);
            assert_eq!((given, tree.area.orders()), (vec![0, 256], 0));
        }
    }
}
