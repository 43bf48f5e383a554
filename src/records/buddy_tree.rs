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

/// What a pageblock's free blocks add up to, and its links in a fullness group. One cache line.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct PageblockSummary {
    /// The free blocks, as [`FreeBlocks`].
    free: PlainU32,
    /// The fullness group that the pageblock is in.
    pub(crate) group: PlainU16,
    /// The CPU that it is local to.
    local: PlainU16,
    /// While the pageblock only gets more free pages, it stays in the group as long as `free` is
    /// below this, and no block is of a larger order than [`largest`](Self::largest).
    pub(crate) group_end: PlainU32,
    pub(crate) largest: PlainU32,
    /// The next and the previous pageblock of that group.
    pub(crate) next: PlainU32,
    pub(crate) prev: PlainU32,
}

const _: () = assert!(size_of::<PageblockSummary>() == 64);

/// The number of pages in free blocks of a pageblock, and the orders of the blocks, in one number
/// that grows with the pages.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct FreeBlocks(u32);

impl FreeBlocks {
    const PAGES_SHIFT: u32 = Order::COUNT as u32;

    #[inline(always)]
    pub(crate) const fn pages(self) -> u32 {
        self.0 >> Self::PAGES_SHIFT
    }

    /// The orders that there may be free blocks of: bit *n* for order *n*. There is a block of the
    /// largest. A merge leaves the bits of the orders that it took the last block of, and whoever
    /// then finds none corrects the bit.
    #[inline(always)]
    pub(crate) const fn orders(self) -> u32 {
        self.0 & ((1 << Self::PAGES_SHIFT) - 1)
    }

    /// The smallest of those with this number of pages, as a number that
    /// [`is_below`](Self::is_below) compares with.
    pub(crate) const fn end(pages: u32) -> u32 {
        pages << Self::PAGES_SHIFT
    }

    #[inline(always)]
    pub(crate) const fn is_below(self, end: u32) -> bool {
        self.0 < end
    }

    /// With more pages; a two's complement subtracts.
    #[inline(always)]
    const fn with_pages(self, pages: u32) -> Self {
        Self(self.0.wrapping_add(pages << Self::PAGES_SHIFT))
    }

    #[inline(always)]
    const fn with_order(self, order: Order) -> Self {
        Self(self.0 | bit_of(order))
    }

    const fn without_order(self, order: Order) -> Self {
        Self(self.0 & !bit_of(order))
    }
}

// The largest pageblock has 2^20 pages.
const _: () = assert!(20 + FreeBlocks::PAGES_SHIFT < u32::BITS);

impl PageblockSummary {
    pub(crate) fn new() -> Self {
        let zero = || PlainU32::new(0);
        Self {
            free: zero(),
            group: PlainU16::new(0),
            local: PlainU16::new(0),
            group_end: zero(),
            largest: zero(),
            next: zero(),
            prev: zero(),
        }
    }

    /// Makes it that of a pageblock without free blocks, as [`new`](Self::new).
    pub(crate) fn clear(&self) {
        let all = [&self.free, &self.group_end, &self.largest, &self.next, &self.prev];
        all.into_iter().for_each(|number| number.store(0, Ordering::Relaxed));
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

    #[inline(always)]
    pub(crate) fn free(&self) -> FreeBlocks {
        FreeBlocks(self.free.load(Ordering::Relaxed))
    }

    #[inline(always)]
    pub(crate) fn set_free(&self, free: FreeBlocks) {
        self.free.store(free.0, Ordering::Relaxed);
    }

    /// As [`FreeBlocks::orders`].
    #[inline(always)]
    pub(crate) fn orders(&self) -> u32 {
        self.free().orders()
    }

    /// Pages in free blocks.
    #[inline(always)]
    pub(crate) fn pages(&self) -> u32 {
        self.free().pages()
    }

    /// Adds `pages` to the page count, and returns it; a two's complement subtracts.
    #[inline(always)]
    pub(crate) fn add_pages(&self, pages: u32) -> u32 {
        let free = self.free().with_pages(pages);
        self.set_free(free);
        free.pages()
    }

    /// Adds a free block of this order, and `pages` to the page count. Returns what there is then.
    #[inline(always)]
    pub(crate) fn add(&self, order: Order, pages: u32) -> FreeBlocks {
        let free = self.free().with_pages(pages).with_order(order);
        self.set_free(free);
        free
    }

    /// Notes that there is no free block any more.
    pub(crate) fn set_empty(&self) {
        self.set_free(FreeBlocks::default());
    }

    /// Whether the pageblock, which had fewer free pages and no new block but one of `order`, stays
    /// in its group.
    #[inline(always)]
    pub(crate) fn stays_in_group(&self, free: FreeBlocks, order: Order) -> bool {
        free.is_below(self.group_end.load(Ordering::Relaxed))
            && (order == Order::ZERO || u32::from(order.get()) <= self.largest.load(Ordering::Relaxed))
    }

    /// The smallest order, at least `least`, that there may be a free block of.
    #[inline(always)]
    pub(crate) fn smallest(&self, least: Order) -> Option<Order> {
        let fitting = self.orders() & bit_of(least).wrapping_neg();
        (fitting != 0).then(|| Order::new(fitting.trailing_zeros() as u8))
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

    /// This block or its buddy, whichever is the upper half of their parent.
    #[inline(always)]
    pub(crate) const fn upper(self) -> Self {
        Self(self.0 | 1)
    }

    /// The block that this one and its buddy merge into.
    #[inline(always)]
    pub(crate) const fn parent(self) -> Self {
        Self(self.0 >> 1)
    }
}

/// The bits of two buddies, of which the first is not free, and those of others in the same word.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pair<'m> {
    node: Node,
    word: &'m TreeWord,
    bits: u64,
}

impl Pair<'_> {
    /// The bits, that of the buddy lowest.
    #[inline(always)]
    fn rotated(self) -> u64 {
        self.bits.rotate_right(self.node.buddy().0)
    }

    /// Whether the buddy is free.
    #[inline(always)]
    pub(crate) fn has_buddy(self) -> bool {
        self.rotated() & 1 != 0
    }

    /// Removes the buddy, for a merge with the block, which the caller inserts: there is a block of
    /// a larger order then.
    #[inline(always)]
    pub(crate) fn take_buddy(self) {
        let bits = (self.rotated() & !1).rotate_left(self.node.buddy().0);
        self.word.store(bits, Ordering::Relaxed);
    }

    /// Inserts the block. The caller [adds](PageblockSummary::add) it to the summary.
    #[inline(always)]
    pub(crate) fn insert(self) {
        self.word.store(self.bits | mask_of(self.node), Ordering::Relaxed);
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
    pub(crate) fn index(&self, node: Node, order: Order) -> FrameIndex {
        let start = self.pageblock << (G::PAGEBLOCK_ORDER.get() & 31);
        FrameIndex::new(start | (node.0 ^ Self::level(order)) << (order.get() & 31))
    }

    #[inline(always)]
    fn word(&self, node: Node) -> Option<&'m TreeWord> {
        self.words.get((node.0 >> u64::BITS.trailing_zeros()) as usize % Self::WORDS)
    }

    #[cfg(all(test, not(loom)))]
    fn has(&self, node: Node) -> bool {
        self.word(node).is_some_and(|word| word.load(Ordering::Relaxed) & mask_of(node) != 0)
    }

    /// Inserts a free block, and adds `pages` to the page count of the summary.
    #[inline(always)]
    pub(crate) fn insert(&self, node: Node, order: Order, pages: u32) {
        if let Some(word) = self.word(node) {
            word.store(word.load(Ordering::Relaxed) | mask_of(node), Ordering::Relaxed);
        }
        self.summary.add(order, pages);
    }

    /// Removes a free block. The caller subtracts its pages from the page count of the summary.
    pub(crate) fn remove(&self, node: Node, order: Order) {
        if let Some(word) = self.word(node) {
            word.store(word.load(Ordering::Relaxed) & !mask_of(node), Ordering::Relaxed);
        }
        self.correct_orders(order);
    }

    /// The bits of a block that is not free, and of its buddy.
    #[inline(always)]
    pub(crate) fn pair(&self, node: Node) -> Option<Pair<'m>> {
        let word = self.word(node)?;
        Some(Pair { node, word, bits: word.load(Ordering::Relaxed) })
    }

    /// Corrects the bit of an order that blocks were removed of, if there is none left.
    fn correct_orders(&self, order: Order) {
        if self.level_words(order).all(|(_, word, mask)| word.load(Ordering::Relaxed) & mask == 0) {
            self.note_empty(order);
        }
    }

    /// Corrects the bit of an order that there is no block of, and, if it was the largest, the bits
    /// below, so that the largest is exact.
    #[inline(always)]
    fn note_empty(&self, order: Order) {
        let free = self.summary.free().without_order(order);
        self.summary.set_free(free);
        if let Some(largest) = free.orders().checked_ilog2()
            && largest < order.get().into()
        {
            self.correct_orders(Order::new(largest as u8));
        }
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
        let level = Self::level(order);
        let mut mask = u64::MAX.wrapping_shl(level);
        let mut words = self.words.get((level >> u64::BITS.trailing_zeros()) as usize..)?.iter();
        let mut base = level & !(u64::BITS - 1);
        let found = loop {
            let Some(word) = words.next() else {
                break None;
            };
            let bits = word.load(Ordering::Relaxed) & mask;
            if bits != 0 {
                break Some((Node(base | bits.trailing_zeros()), word));
            }
            (base, mask) = (base.wrapping_add(u64::BITS), u64::MAX);
        };
        // The nodes after those of an order are of lower orders.
        let found = found.filter(|(node, _)| node.0 >> 1 < level);
        if found.is_none() {
            self.note_empty(order);
        }
        found
    }

    /// The lowest free block of an order.
    #[inline]
    pub(crate) fn first(&self, order: Order) -> Option<FrameIndex> {
        self.first_node(order).map(|(node, _)| self.index(node, order))
    }

    /// Removes the lowest free block of the smallest order, at least `least`, that there is one of.
    /// Returns that order, and the block. The caller subtracts its pages from the page count of the
    /// summary.
    #[inline(always)]
    pub(crate) fn take_smallest(&self, least: Order) -> Option<(Order, FrameIndex)> {
        while let Some(order) = self.summary.smallest(least) {
            if let Some((node, word)) = self.first_node(order) {
                let left = word.load(Ordering::Relaxed) & !mask_of(node);
                word.store(left, Ordering::Relaxed);
                // The first word has blocks of several orders.
                if left == 0 || node.0 < u64::BITS {
                    self.correct_orders(order);
                }
                return Some((order, self.index(node, order)));
            }
        }
        None
    }

    /// Removes up to `limit` free blocks of an order, lowest first, and calls `give` with each.
    /// Returns their number. The caller subtracts their pages from the page count of the summary.
    #[inline(always)]
    pub(crate) fn drain(&self, order: Order, limit: u32, mut give: impl FnMut(FrameIndex)) -> u32 {
        let mut left = limit;
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
            if bits != 0 {
                return limit.wrapping_sub(left);
            }
        }
        self.note_empty(order);
        limit.wrapping_sub(left)
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
    use crate::records::cells::StateCell;

    /// The records of pageblocks that have no free block.
    pub(crate) struct Trees {
        pub(crate) summaries: Vec<PageblockSummary>,
        pub(crate) words: Vec<TreeWord>,
        pub(crate) frames: Vec<StateCell>,
    }

    impl Trees {
        pub(crate) fn new<G: Geometry>(pageblocks: usize) -> Self {
            Self {
                summaries: (0..pageblocks).map(|_| PageblockSummary::new()).collect(),
                words: (0..pageblocks * BuddyTree::<G>::WORDS).map(|_| TreeWord::new(0)).collect(),
                frames: (0..pageblocks << G::PAGEBLOCK_ORDER.get()).map(|_| StateCell::new(0)).collect(),
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
                tree.insert(BuddyTree::<G>::node(FrameIndex::new(*number), order), order, 1 << order.get());
            }
            assert!(tree.blocks(order).map(FrameIndex::number).eq(all.iter().copied()), "{order}");
            assert_eq!(tree.summary.orders() >> order.get(), 1);
        }
        for order in (0..G::PAGEBLOCK_ORDER.get()).map(Order::new) {
            while let Some(index) = tree.first(order) {
                let node = BuddyTree::<G>::node(index, order);
                assert!(tree.has(node));
                assert_eq!(tree.take_smallest(order), Some((order, index)));
                assert!(!tree.has(node));
            }
            assert_eq!(tree.summary.orders() >> order.get() & 1, 0);
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
                tree.insert(
                    BuddyTree::<X86_64>::node(FrameIndex::new(number), order),
                    order,
                    1 << order.get(),
                );
            }
            let mut given = Vec::new();
            assert_eq!(tree.drain(order, 1, |index| given.push(index.number())), 1);
            assert_eq!(tree.summary.smallest(Order::ZERO), Some(order));
            assert_eq!(tree.drain(order, 9, |index| given.push(index.number())), 1);
            assert_eq!((given, tree.summary.orders()), (vec![0, 256], 0));
        }
    }
}
