//! The bitmap of the allocated parts of a CMA area, and a search for aligned runs of clear bits.
//!
//! There is a bit for each page, and a binary tree over leaves of 512 bits. A node of the tree has
//! the lengths of three runs of clear bits: the one at its start, the one at its end, and the
//! longest. So the longest run of the whole area is read in one place, and a search and an update
//! visit a number of nodes that grows with the logarithm of the area, which matters because the
//! bitmap is used with interrupts masked. (`mm/cma.c` has the bits alone, and looks at each word.)

use core::ops::Range;

/// The bits of a leaf of the tree.
const LEAF_BITS: usize = 512;
const LEAF_WORDS: usize = LEAF_BITS / 64;
const NODE_WORDS: usize = 2;

/// The lengths of runs of clear bits in a node of the tree.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Runs {
    at_start: u32,
    at_end: u32,
    longest: u32,
}

impl Runs {
    const NONE: Self = Self { at_start: 0, at_end: 0, longest: 0 };

    const fn all_clear(bits: usize) -> Self {
        Self { at_start: bits as u32, at_end: bits as u32, longest: bits as u32 }
    }

    fn of_word(word: u64) -> Self {
        let mut longest = 0;
        let mut rest = word;
        let mut left = u64::BITS;
        while left > 0 {
            let clear = rest.trailing_zeros().min(left);
            longest = longest.max(clear);
            rest = rest.checked_shr(clear).unwrap_or(0);
            let set = rest.trailing_ones();
            rest = rest.checked_shr(set).unwrap_or(0);
            left -= clear + set;
        }
        Self { at_start: word.trailing_zeros(), at_end: word.leading_zeros(), longest }
    }

    /// The runs of a node from its words.
    const fn decode(ends: u64, longest: u64) -> Self {
        Self { at_start: ends as u32, at_end: (ends >> 32) as u32, longest: longest as u32 }
    }

    /// The runs of two neighbours, the lower of which has `bits` bits and the upper as many.
    fn join(lower: Self, upper: Self, bits: usize) -> Self {
        let bits = bits as u32;
        Self {
            at_start: if lower.at_start == bits { bits + upper.at_start } else { lower.at_start },
            at_end: if upper.at_end == bits { bits + lower.at_end } else { upper.at_end },
            longest: lower.longest.max(upper.longest).max(lower.at_end + upper.at_start),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Bitmap<'m> {
    words: &'m mut [u64],
    /// Two words for each node. Node 1 is the root, and the children of node `n` are `2n` and
    /// `2n + 1`. As many leaves as the next power of two; those past the end have no clear bits.
    nodes: &'m mut [u64],
    bits: usize,
    set: usize,
}

impl<'m> Bitmap<'m> {
    /// The words that a bitmap of this many bits needs: its bits, and its tree.
    pub(crate) const fn words_for(bits: usize) -> usize {
        let leaves = bits.div_ceil(LEAF_BITS);
        leaves * LEAF_WORDS + leaves.next_power_of_two() * 2 * NODE_WORDS
    }

    /// A bitmap of `bits` clear bits, fewer than 2³². `memory` must have at least
    /// [`words_for`](Self::words_for) that many.
    pub(crate) fn new(memory: &'m mut [u64], bits: usize) -> Self {
        debug_assert!(memory.len() >= Self::words_for(bits) && bits <= u32::MAX as usize);
        let leaves = bits.div_ceil(LEAF_BITS);
        let (words, nodes) = memory.split_at_mut(leaves * LEAF_WORDS);
        words.fill(0);
        let mut bitmap = Self { words, nodes, bits, set: 0 };
        let (mut first, mut clear) = (bitmap.first_leaf(), LEAF_BITS);
        let end = first * LEAF_BITS;
        while first > 0 {
            for node in first..first * 2 {
                bitmap.set_node(node, Runs::all_clear(clear));
            }
            (first, clear) = (first / 2, clear * 2);
        }
        // The bits past the end are set, so that no run reaches them.
        bitmap.fill(bits..leaves * LEAF_BITS, true);
        if bits < end {
            bitmap.update(bits..end);
        }
        bitmap
    }

    /// The number of leaves of the tree, which is also the number of the first leaf's node.
    fn first_leaf(&self) -> usize {
        self.words.len().div_ceil(LEAF_WORDS).next_power_of_two()
    }

    fn node(&self, number: usize) -> Runs {
        match self.nodes.get(number * NODE_WORDS..) {
            Some(&[ends, longest, ..]) => Runs::decode(ends, longest),
            _ => Runs::NONE,
        }
    }

    /// The runs of a node from those of its children, which have `bits` bits each.
    fn joined(&self, number: usize, bits: usize) -> Runs {
        match self.nodes.get(number * 2 * NODE_WORDS..).and_then(<[u64]>::first_chunk::<{ 2 * NODE_WORDS }>) {
            Some(&[lower, lower_longest, upper, upper_longest]) => {
                Runs::join(Runs::decode(lower, lower_longest), Runs::decode(upper, upper_longest), bits)
            }
            None => Runs::NONE,
        }
    }

    fn set_node(&mut self, number: usize, runs: Runs) {
        if let Some([ends, longest, ..]) = self.nodes.get_mut(number * NODE_WORDS..) {
            *ends = u64::from(runs.at_start) | u64::from(runs.at_end) << 32;
            *longest = u64::from(runs.longest);
        }
    }

    /// The bits of `range`: those of a first word, those of whole words, and those of a last word.
    fn parts(range: Range<usize>) -> [(Range<usize>, u64); 3] {
        let (first, last) = (range.start / 64, range.end / 64);
        let (from, to) = (u64::MAX << (range.start % 64), !(u64::MAX << (range.end % 64)));
        if first == last {
            return [(first..first + 1, from & to), (0..0, 0), (0..0, 0)];
        }
        let tail = if to == 0 { 0..0 } else { last..last + 1 };
        [(first..first + 1, from), (first + 1..last, u64::MAX), (tail, to)]
    }

    /// Whether every bit of `range` has this value.
    fn all(&self, range: Range<usize>, value: bool) -> bool {
        Self::parts(range).into_iter().all(|(words, mask)| {
            let wanted = if value { mask } else { 0 };
            self.words.get(words).is_some_and(|words| words.iter().all(|word| word & mask == wanted))
        })
    }

    /// Writes the bits of `range`.
    fn fill(&mut self, range: Range<usize>, value: bool) {
        for (words, mask) in Self::parts(range) {
            for word in self.words.get_mut(words).unwrap_or(&mut []) {
                *word = if value { *word | mask } else { *word & !mask };
            }
        }
    }

    /// Calculates the nodes of the tree above the bits of `range`.
    fn update(&mut self, range: Range<usize>) {
        let first_leaf = self.first_leaf();
        let (first, last) = (range.start / LEAF_BITS, range.end.div_ceil(LEAF_BITS));
        for leaf in first..last {
            let runs = self.leaf_runs(leaf);
            self.set_node(first_leaf + leaf, runs);
        }
        let (mut low, mut high, mut bits) = (first_leaf + first, first_leaf + last - 1, LEAF_BITS);
        while low > 1 {
            (low, high) = (low / 2, high / 2);
            for node in low..=high {
                self.set_node(node, self.joined(node, bits));
            }
            bits *= 2;
        }
    }

    fn leaf_runs(&self, leaf: usize) -> Runs {
        let words = self.words.get(leaf * LEAF_WORDS..).and_then(|words| words.first_chunk::<LEAF_WORDS>());
        match words {
            None
            | Some(&[u64::MAX, u64::MAX, u64::MAX, u64::MAX, u64::MAX, u64::MAX, u64::MAX, u64::MAX]) => {
                Runs::NONE
            }
            Some(&[0, 0, 0, 0, 0, 0, 0, 0]) => Runs::all_clear(LEAF_BITS),
            Some(&[a, b, c, d, e, f, g, h]) => {
                let two = |lower, upper| Runs::join(Runs::of_word(lower), Runs::of_word(upper), 64);
                let (lower, upper) =
                    (Runs::join(two(a, b), two(c, d), 128), Runs::join(two(e, f), two(g, h), 128));
                Runs::join(lower, upper, 256)
            }
        }
    }

    /// Sets every bit of the run. False, and nothing is set, if one is set already.
    pub(crate) fn claim(&mut self, start: usize, count: usize) -> bool {
        let run = start..start + count;
        let clear = self.all(run.clone(), false);
        if clear && count > 0 {
            self.fill(run.clone(), true);
            self.update(run);
            self.set += count;
        }
        clear
    }

    /// Clears the bits of the run, all of which are set.
    pub(crate) fn clear(&mut self, start: usize, count: usize) {
        if count > 0 {
            self.fill(start..start + count, false);
            self.update(start..start + count);
            self.set -= count;
        }
    }

    pub(crate) fn all_set(&self, start: usize, count: usize) -> bool {
        start.checked_add(count).is_some_and(|end| end <= self.bits && self.all(start..end, true))
    }

    /// The first run of `count` clear bits, from `from` on, whose start plus `offset` is aligned.
    pub(crate) fn find_clear(&self, from: usize, count: usize, align: usize, offset: usize) -> Option<usize> {
        let mut from = from;
        loop {
            let run = self.next_run(from, count)?;
            let start = run.checked_add(offset)?.checked_next_multiple_of(align)? - offset;
            let end = start.checked_add(count)?;
            if start == run {
                return Some(start);
            }
            if end > self.bits {
                return None;
            }
            match self.last_set(start..end) {
                None => return Some(start),
                Some(bit) => from = bit + 1,
            }
        }
    }

    fn last_set(&self, range: Range<usize>) -> Option<usize> {
        Self::parts(range).into_iter().rev().find_map(|(words, mask)| {
            let first = words.start;
            let found = self.words.get(words)?.iter().rposition(|word| word & mask != 0)?;
            let set = self.words.get(first + found)? & mask;
            Some((first + found) * 64 + 63 - set.leading_zeros() as usize)
        })
    }

    /// The start of the first run of at least `count` clear bits, counted from `from` on.
    fn next_run(&self, from: usize, count: usize) -> Option<usize> {
        let first_leaf = self.first_leaf();
        // The bits from `start` to `at` are clear.
        let (mut start, mut at) = (from, from);
        while at < self.bits {
            if !at.is_multiple_of(LEAF_BITS) {
                if self.run_in_leaf(&mut start, &mut at, count) {
                    return Some(start);
                }
                continue;
            }
            // The largest node that starts here, and then down to one that can be skipped.
            let mut node = first_leaf + at / LEAF_BITS;
            let mut bits = LEAF_BITS;
            while node.is_multiple_of(2) {
                (node, bits) = (node / 2, bits * 2);
            }
            loop {
                let runs = self.node(node);
                if at - start + runs.at_start as usize >= count {
                    return Some(start);
                }
                if (runs.longest as usize) < count {
                    at += bits;
                    if runs.at_end as usize != bits {
                        start = at - runs.at_end as usize;
                    }
                    break;
                }
                if node >= first_leaf {
                    if self.run_in_leaf(&mut start, &mut at, count) {
                        return Some(start);
                    }
                    break;
                }
                (node, bits) = (node * 2, bits / 2);
            }
        }
        None
    }

    /// Moves `at` to the end of its leaf and `start` to the start of the clear bits that end there.
    /// True, and `start` is the result, as soon as these are `count`.
    fn run_in_leaf(&self, start: &mut usize, at: &mut usize, count: usize) -> bool {
        let end = (*at / LEAF_BITS + 1) * LEAF_BITS;
        while *at < end {
            let left = 64 - (*at % 64) as u32;
            let word = self.words.get(*at / 64).map_or(u64::MAX, |word| word >> (*at % 64));
            let clear = word.trailing_zeros().min(left);
            *at += clear as usize;
            if *at - *start >= count {
                return true;
            }
            if clear < left {
                *at += ((word >> clear).trailing_ones()).min(left - clear) as usize;
                *start = *at;
            }
        }
        false
    }

    pub(crate) fn longest_clear(&self) -> usize {
        self.node(1).longest as usize
    }

    pub(crate) fn count_set(&self) -> usize {
        self.set
    }
}

#[cfg(test)]
mod tests {
    use super::Bitmap;

    fn memory(bits: usize) -> &'static mut [u64] {
        vec![u64::MAX; Bitmap::words_for(bits)].leak()
    }

    #[test]
    fn clear_runs_are_found_around_set_bits() {
        let mut bitmap = Bitmap::new(memory(100), 100);
        assert_eq!(bitmap.find_clear(0, 100, 1, 0), Some(0));
        assert!(bitmap.claim(10, 60) && !bitmap.claim(69, 2));
        assert_eq!(bitmap.count_set(), 60);
        assert_eq!(bitmap.find_clear(0, 11, 1, 0), Some(70));
        assert_eq!(bitmap.find_clear(0, 10, 1, 0), Some(0));
        assert_eq!(bitmap.find_clear(1, 10, 1, 0), Some(70));
        assert_eq!(bitmap.find_clear(0, 31, 1, 0), None);
        assert_eq!(bitmap.longest_clear(), 30);
        bitmap.clear(10, 60);
        assert_eq!(bitmap.longest_clear(), 100);
    }

    #[test]
    fn the_offset_is_added_before_the_alignment() {
        let mut bitmap = Bitmap::new(memory(64), 64);
        assert_eq!(bitmap.find_clear(0, 4, 16, 6), Some(10));
        assert!(bitmap.claim(12, 1));
        assert_eq!(bitmap.find_clear(0, 4, 16, 6), Some(26));
        assert_eq!(bitmap.find_clear(0, 1, usize::MAX, 6), None);
    }

    #[test]
    fn a_run_outside_is_not_set() {
        let mut bitmap = Bitmap::new(memory(10), 10);
        assert!(bitmap.claim(0, 10));
        assert!(bitmap.all_set(0, 10) && !bitmap.all_set(0, 11) && !bitmap.all_set(usize::MAX, 2));
    }

    #[test]
    fn the_last_set_bit_is_found_in_every_word_of_a_range() {
        for bit in 0..700 {
            let mut bitmap = Bitmap::new(memory(700), 700);
            assert!(bitmap.claim(bit, 1));
            for range in [0..700, 1..699, 63..640, 64..128, 100..110, 65..256, 130..699] {
                let expected = range.contains(&bit).then_some(bit);
                assert_eq!(bitmap.last_set(range.clone()), expected, "{range:?}");
            }
        }
    }

    /// What the tree answers, from a list of bits.
    struct Model(Vec<bool>);

    impl Model {
        fn find_clear(&self, from: usize, count: usize, align: usize, offset: usize) -> Option<usize> {
            let fits = |start: &usize| {
                (start + offset).is_multiple_of(align) && !self.0[*start..*start + count].contains(&true)
            };
            (from..=self.0.len().checked_sub(count)?).find(fits)
        }

        fn longest_clear(&self) -> usize {
            self.0.split(|bit| *bit).map(<[bool]>::len).max().unwrap_or(0)
        }
    }

    #[test]
    fn the_tree_agrees_with_a_walk_of_the_bits() {
        let mut random = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = |below: usize| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) as usize % below
        };
        for bits in [1, 63, 64, 65, 511, 512, 513, 1500, 5 * 512, 4000] {
            let mut bitmap = Bitmap::new(memory(bits), bits);
            let mut model = Model(vec![false; bits]);
            for _ in 0..600 {
                let start = next(bits);
                let longest = [3, 70, 700][next(3)];
                let count = 1 + next(longest.min(bits - start));
                let clear = !model.0[start..start + count].contains(&true);
                if clear {
                    assert!(bitmap.claim(start, count));
                    model.0[start..start + count].fill(true);
                } else {
                    assert!(!bitmap.claim(start, count));
                    if bitmap.all_set(start, count) {
                        bitmap.clear(start, count);
                        model.0[start..start + count].fill(false);
                    }
                }
                assert_eq!(bitmap.longest_clear(), model.longest_clear());
                assert_eq!(bitmap.count_set(), model.0.iter().filter(|bit| **bit).count());
                let (from, count) = (next(bits), 1 + next(bits));
                let (align, offset) = (1 << next(11), next(2000));
                let expected = model.find_clear(from, count, align, offset);
                assert_eq!(bitmap.find_clear(from, count, align, offset), expected, "{bits} bits");
            }
        }
    }
}
