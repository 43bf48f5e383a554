//! The bitmap of the allocated parts of a CMA area, with a search for aligned runs of clear bits.

#[derive(Debug)]
pub(crate) struct Bitmap<'m> {
    words: &'m mut [u64],
    bits: usize,
}

impl<'m> Bitmap<'m> {
    /// A bitmap of `bits` clear bits, in at least as many bits of `words`.
    pub(crate) fn new(words: &'m mut [u64], bits: usize) -> Self {
        debug_assert!(words.len() * 64 >= bits);
        words.fill(0);
        Self { words, bits }
    }

    fn get(&self, bit: usize) -> bool {
        self.words.get(bit / 64).is_some_and(|word| word >> (bit % 64) & 1 == 1)
    }

    fn put(&mut self, start: usize, count: usize, value: bool) {
        for bit in start..start + count {
            if let Some(word) = self.words.get_mut(bit / 64) {
                let mask = 1 << (bit % 64);
                *word = if value { *word | mask } else { *word & !mask };
            }
        }
    }

    /// Sets every bit of the run. False, and nothing is set, if one is set already.
    pub(crate) fn claim(&mut self, start: usize, count: usize) -> bool {
        let clear = (start..start + count).all(|bit| !self.get(bit));
        if clear {
            self.put(start, count, true);
        }
        clear
    }

    pub(crate) fn clear(&mut self, start: usize, count: usize) {
        self.put(start, count, false);
    }

    pub(crate) fn all_set(&self, start: usize, count: usize) -> bool {
        start.checked_add(count).is_some_and(|end| end <= self.bits && (start..end).all(|bit| self.get(bit)))
    }

    /// The first run of `count` clear bits, from `from` on, whose start plus `offset` is aligned.
    pub(crate) fn find_clear(&self, from: usize, count: usize, align: usize, offset: usize) -> Option<usize> {
        let align_up = |bit: usize| (bit + offset).next_multiple_of(align) - offset;
        let mut start = align_up(from);
        while start.checked_add(count)? <= self.bits {
            match (start..start + count).rev().find(|bit| self.get(*bit)) {
                None => return Some(start),
                Some(taken) => start = align_up(taken + 1),
            }
        }
        None
    }

    pub(crate) fn longest_clear(&self) -> usize {
        let (mut longest, mut run) = (0, 0);
        for bit in 0..self.bits {
            run = if self.get(bit) { 0 } else { run + 1 };
            longest = longest.max(run);
        }
        longest
    }

    pub(crate) fn count_set(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::Bitmap;

    #[test]
    fn clear_runs_are_found_around_set_bits() {
        let mut words = [u64::MAX; 2];
        let mut bitmap = Bitmap::new(&mut words, 100);
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
        let mut words = [0; 1];
        let mut bitmap = Bitmap::new(&mut words, 64);
        assert_eq!(bitmap.find_clear(0, 4, 16, 6), Some(10));
        assert!(bitmap.claim(12, 1));
        assert_eq!(bitmap.find_clear(0, 4, 16, 6), Some(26));
    }

    #[test]
    fn a_run_outside_is_not_set() {
        let mut words = [0; 1];
        let mut bitmap = Bitmap::new(&mut words, 10);
        assert!(bitmap.claim(0, 10));
        assert!(bitmap.all_set(0, 10) && !bitmap.all_set(0, 11) && !bitmap.all_set(usize::MAX, 2));
    }
}
