//! The free blocks within one pageblock: a tree of bits, and a summary.
//!
//! Linux has one free list for each order and migratetype. Here a free block below the pageblock
//! order is recorded with its pageblock, and pageblocks are [grouped by fullness](crate::buddy): a
//! request is served from the fullest one that can serve it, so that others become entirely free.
//!
//! The blocks that a pageblock can be split into are the nodes of a binary tree. Node 1 is the
//! pageblock itself; the halves of node *n* are 2*n* and 2*n* + 1. The bit of a node is set while
//! it is a free block. So the buddy of a block is its node with the last bit flipped, and the
//! merged block is half its node number: a merge accesses these few words and no record of another
//! frame. The free list of an order is the set bits of one level of the tree, lowest first.
//!
//! The words are in the metadata, where zeroes are no free block, and need the zone locked.

use core::marker::PhantomData;

use crate::base::{Geometry, Order};
use crate::records::frame_index::FrameIndex;
use crate::records::local_cpu::LocalCpu;
use crate::sync::{Ordering, PlainU16, PlainU32, PlainU64};

pub(crate) type TreeWord = PlainU64;

/// The counts of a pageblock's free blocks, and its links in a fullness group. One cache line.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct PageblockSummary {
    /// Free blocks of each order.
    counts: [PlainU32; Order::LIMIT.index() + 1],
    /// Bit *n* is set if there is a free block of order *n*.
    orders: PlainU32,
    /// Pages in free blocks.
    pages: PlainU32,
    /// The fullness group that the pageblock is in.
    pub(crate) group: PlainU16,
    /// The CPU that it is local to.
    local: PlainU16,
    /// The next and the previous pageblock of that group.
    pub(crate) next: PlainU32,
    pub(crate) prev: PlainU32,
}

const _: () = assert!(size_of::<PageblockSummary>() == 64);

impl PageblockSummary {
    pub(crate) fn new() -> Self {
        let zero = || PlainU32::new(0);
        Self {
            counts: core::array::from_fn(|_| zero()),
            orders: zero(),
            pages: zero(),
            group: PlainU16::new(0),
            local: PlainU16::new(0),
            next: zero(),
            prev: zero(),
        }
    }

    /// Makes it that of a pageblock without free blocks, as [`new`](Self::new).
    pub(crate) fn clear(&self) {
        let others = [&self.orders, &self.pages, &self.next, &self.prev];
        self.counts.iter().chain(others).for_each(|number| number.store(0, Ordering::Relaxed));
        self.group.store(0, Ordering::Relaxed);
        self.set_local(LocalCpu::NONE);
    }

    /// The CPU that the pageblock is local to.
    #[inline(always)]
    pub(crate) fn local(&self) -> LocalCpu {
        LocalCpu::from_bits(self.local.load(Ordering::Relaxed))
    }

    #[inline(always)]
    pub(crate) fn set_local(&self, cpu: LocalCpu) {
        self.local.store(cpu.to_bits(), Ordering::Relaxed);
    }

    /// The orders that there are free blocks of: bit *n* for order *n*.
    #[inline(always)]
    pub(crate) fn orders(&self) -> u32 {
        self.orders.load(Ordering::Relaxed)
    }

    #[inline(always)]
    pub(crate) fn count(&self, order: Order) -> u32 {
        self.counts.get(order.index()).map_or(0, |count| count.load(Ordering::Relaxed))
    }

    /// Pages in free blocks.
    #[inline(always)]
    pub(crate) fn pages(&self) -> u32 {
        self.pages.load(Ordering::Relaxed)
    }

    /// Adds `pages` to the page count, and returns it; a two's complement subtracts.
    #[inline(always)]
    pub(crate) fn add_pages(&self, pages: u32) -> u32 {
        let pages = self.pages().wrapping_add(pages);
        self.pages.store(pages, Ordering::Relaxed);
        pages
    }

    /// The smallest order, at least `least`, that there is a free block of.
    #[inline(always)]
    pub(crate) fn smallest(&self, least: Order) -> Option<Order> {
        let fitting = self.orders() & bit_of(least).wrapping_neg();
        (fitting != 0).then(|| Order::new(fitting.trailing_zeros() as u8))
    }

    #[inline(always)]
    fn join(&self, order: Order) -> u32 {
        if let Some(count) = self.counts.get(order.index()) {
            count.store(count.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        }
        let orders = self.orders() | bit_of(order);
        self.orders.store(orders, Ordering::Relaxed);
        orders
    }

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

/// A block that a pageblock can be split into, as the number of its node in the tree.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Node(u32);

impl Node {
    #[inline(always)]
    pub(crate) const fn buddy(self) -> Self {
        Self(self.0 ^ 1)
    }

    /// The block that this one and its buddy merge into.
    #[inline(always)]
    pub(crate) const fn parent(self) -> Self {
        Self(self.0 >> 1)
    }
}

/// The free blocks of one pageblock: a view of its records.
#[derive(Debug)]
pub(crate) struct BuddyTree<'m, G> {
    pub(crate) summary: &'m PageblockSummary,
    words: &'m [TreeWord],
    pub(crate) pageblock: u32,
    geometry: PhantomData<fn() -> G>,
}

impl<G> Clone for BuddyTree<'_, G> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<G> Copy for BuddyTree<'_, G> {}

impl<'m, G: Geometry> BuddyTree<'m, G> {
    /// Words of a tree: two bits for each frame of the pageblock.
    pub(crate) const WORDS: usize = (2_usize << G::PAGEBLOCK_ORDER.get()).div_ceil(u64::BITS as usize);

    #[inline(always)]
    pub(crate) fn new(summary: &'m PageblockSummary, words: &'m [TreeWord], pageblock: u32) -> Self {
        Self { summary, words, pageblock, geometry: PhantomData }
    }

    /// The same tree. Tells the compiler how many words it has.
    #[inline(always)]
    pub(crate) fn of_whole_words(self) -> Option<Self> {
        Some(Self { words: self.words.get(..Self::WORDS)?, ..self })
    }

    /// The first node of an order. It is also the number of nodes of that order.
    #[inline(always)]
    const fn level(order: Order) -> u32 {
        1_u32.wrapping_shl((G::PAGEBLOCK_ORDER.get() as u32).wrapping_sub(order.get() as u32))
    }

    /// The node of the block of `order` at `index`.
    #[inline(always)]
    pub(crate) fn node(index: FrameIndex, order: Order) -> Node {
        let offset = index.number() & (1_u32.wrapping_shl(G::PAGEBLOCK_ORDER.get() as u32)).wrapping_sub(1);
        Node(Self::level(order) | offset >> (order.get() & 31))
    }

    /// The first frame of the block of a node.
    #[inline(always)]
    fn index(&self, node: Node, order: Order) -> FrameIndex {
        let start = self.pageblock << (G::PAGEBLOCK_ORDER.get() & 31);
        FrameIndex::new(start | (node.0 ^ Self::level(order)) << (order.get() & 31))
    }

    #[inline(always)]
    fn word(&self, node: Node) -> Option<&'m TreeWord> {
        self.words.get((node.0 >> u64::BITS.trailing_zeros()) as usize % Self::WORDS)
    }

    #[inline(always)]
    pub(crate) fn has(&self, node: Node) -> bool {
        self.word(node).is_some_and(|word| word.load(Ordering::Relaxed) & mask_of(node) != 0)
    }

    /// Inserts a free block, and returns the orders that there are free blocks of now. The caller
    /// adds its pages to the page count of the summary.
    #[inline(always)]
    pub(crate) fn insert(&self, node: Node, order: Order) -> u32 {
        if let Some(word) = self.word(node) {
            word.store(word.load(Ordering::Relaxed) | mask_of(node), Ordering::Relaxed);
        }
        self.summary.join(order)
    }

    /// Removes a free block. The caller subtracts its pages from the page count of the summary.
    #[inline(always)]
    pub(crate) fn remove(&self, node: Node, order: Order) {
        if let Some(word) = self.word(node) {
            word.store(word.load(Ordering::Relaxed) & !mask_of(node), Ordering::Relaxed);
        }
        self.summary.leave(order, 1);
    }

    /// The words of the nodes of an order: for each the first node, the word, and a mask.
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

    /// The lowest free block of an order, as its node and the word with its bit.
    #[inline(always)]
    fn first_node(&self, order: Order) -> Option<(Node, &'m TreeWord)> {
        if self.summary.count(order) == 0 {
            return None;
        }
        // The first at or after the first of the order is of the order: later nodes are of lower
        // orders.
        let first = Self::level(order);
        let mut mask = u64::MAX.wrapping_shl(first);
        let mut at = first >> u64::BITS.trailing_zeros();
        loop {
            let word = self.words.get(at as usize)?;
            let bits = word.load(Ordering::Relaxed) & mask;
            if bits != 0 {
                return Some((Node(at << u64::BITS.trailing_zeros() | bits.trailing_zeros()), word));
            }
            (at, mask) = (at.wrapping_add(1), u64::MAX);
        }
    }

    /// The lowest free block of an order.
    #[inline]
    pub(crate) fn first(&self, order: Order) -> Option<FrameIndex> {
        self.first_node(order).map(|(node, _)| self.index(node, order))
    }

    /// Removes the lowest free block of an order. The caller subtracts its pages from the page count
    /// of the summary.
    #[inline(always)]
    pub(crate) fn take_first(&self, order: Order) -> Option<FrameIndex> {
        let (node, word) = self.first_node(order)?;
        word.store(word.load(Ordering::Relaxed) & !mask_of(node), Ordering::Relaxed);
        self.summary.leave(order, 1);
        Some(self.index(node, order))
    }

    /// Removes up to `limit` free blocks of an order, lowest first, and calls `give` with each.
    /// Returns their number. The caller subtracts their pages from the page count of the summary.
    #[inline(always)]
    pub(crate) fn drain(&self, order: Order, limit: u32, mut give: impl FnMut(FrameIndex)) -> u32 {
        let count = self.summary.count(order).min(limit);
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
        self.summary.leave(order, taken);
        taken
    }

    /// Calls `visit` with the free blocks of one order, lowest first.
    #[inline(always)]
    pub(crate) fn for_each_block(&self, order: Order, mut visit: impl FnMut(FrameIndex)) {
        for (base, word, mask) in self.level_words(order) {
            let mut bits = word.load(Ordering::Relaxed) & mask;
            while bits != 0 {
                visit(self.index(Node(base | bits.trailing_zeros()), order));
                bits &= bits.wrapping_sub(1);
            }
        }
    }

    /// The free blocks of one order, lowest first.
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

#[cfg(all(test, not(loom)))]
pub(crate) mod testing {
    use crate::base::Geometry;
    use crate::records::buddy_tree::{BuddyTree, PageblockSummary, TreeWord};

    /// The records of pageblocks that have no free block.
    pub(crate) struct Trees {
        pub(crate) summaries: Vec<PageblockSummary>,
        pub(crate) words: Vec<TreeWord>,
    }

    impl Trees {
        pub(crate) fn new<G: Geometry>(pageblocks: usize) -> Self {
            Self {
                summaries: (0..pageblocks).map(|_| PageblockSummary::new()).collect(),
                words: (0..pageblocks * BuddyTree::<G>::WORDS).map(|_| TreeWord::new(0)).collect(),
            }
        }

        pub(crate) fn tree<G: Geometry>(&self, pageblock: u32) -> BuddyTree<'_, G> {
            let words = &self.words[pageblock as usize * BuddyTree::<G>::WORDS..][..BuddyTree::<G>::WORDS];
            BuddyTree::new(&self.summaries[pageblock as usize], words, pageblock)
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::BuddyTree;
    use super::testing::Trees;
    use crate::base::{Geometry, Order, X86_64};
    use crate::records::frame_index::FrameIndex;

    enum Toy {}
    impl Geometry for Toy {
        const MAX_ORDER: Order = Order::new(2);
        const PAGEBLOCK_ORDER: Order = Order::new(1);
    }

    /// Inserts every block of every order, and removes them again.
    fn every_block_has_its_own_bit<G: Geometry>() {
        let trees = Trees::new::<G>(3);
        let tree = trees.tree::<G>(1);
        let start = 1 << G::PAGEBLOCK_ORDER.get();
        for order in (0..G::PAGEBLOCK_ORDER.get()).map(Order::new) {
            let all: Vec<_> = (0..start >> order.get()).map(|n| start + (n << order.get())).collect();
            for number in &all {
                tree.insert(BuddyTree::<G>::node(FrameIndex::new(*number), order), order);
            }
            assert!(tree.blocks(order).map(FrameIndex::number).eq(all.iter().copied()), "{order}");
            assert_eq!(tree.summary.count(order), all.len() as u32);
        }
        for order in (0..G::PAGEBLOCK_ORDER.get()).map(Order::new) {
            while let Some(index) = tree.first(order) {
                let node = BuddyTree::<G>::node(index, order);
                assert!(tree.has(node));
                assert_eq!(tree.take_first(order), Some(index));
                assert!(!tree.has(node));
            }
            assert_eq!((tree.summary.count(order), tree.summary.orders() >> order.get() & 1), (0, 0));
        }
        assert!(trees.words.iter().all(|word| word.load(crate::sync::Ordering::Relaxed) == 0));
    }

    #[test]
    fn every_block_has_its_own_bit_on_x86_64() {
        every_block_has_its_own_bit::<X86_64>();
    }

    #[test]
    fn every_block_has_its_own_bit_with_small_pageblocks() {
        every_block_has_its_own_bit::<Toy>();
    }

    #[test]
    fn buddies_merge_into_their_parent() {
        let node = |index, order| BuddyTree::<X86_64>::node(FrameIndex::new(index), Order::new(order));
        for order in 0..9 {
            let (index, pages) = (512 + 5 * 16, 1 << order);
            let (low, high) = (index & !(2 * pages - 1), index & !(2 * pages - 1) | pages);
            assert_eq!(node(low, order).buddy(), node(high, order));
            assert_eq!(node(high, order).parent(), node(low, order).parent());
            if order < 8 {
                assert_eq!(node(low, order).parent(), node(low, order + 1));
            }
        }
    }

    #[test]
    fn the_lowest_blocks_are_drained_first() {
        let trees = Trees::new::<X86_64>(1);
        let tree = trees.tree::<X86_64>(0);
        for order in [0, 3, 5, 8].map(Order::new) {
            for number in [0, 256] {
                tree.insert(BuddyTree::<X86_64>::node(FrameIndex::new(number), order), order);
            }
            let mut given = Vec::new();
            assert_eq!(tree.drain(order, 1, |index| given.push(index.number())), 1);
            assert_eq!((tree.summary.smallest(Order::ZERO), tree.summary.count(order)), (Some(order), 1));
            assert_eq!(tree.drain(order, 9, |index| given.push(index.number())), 1);
            assert_eq!((given, tree.summary.orders()), (vec![0, 256], 0));
        }
    }
}
