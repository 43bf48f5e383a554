//! The contents of the disk that the launcher makes, the kernel reads and writes, and the launcher
//! checks after the run.
//!
//! The disk consists of blocks. Every word of a block follows from the seed of the run, the number
//! of the block, and how often the kernel has written it: 0 for what the launcher made. So a block
//! that was lost, torn, or written to another place is noticed, by whoever reads it.

/// The size of a block in bytes.
pub const BLOCK_BYTES: usize = 4096;

/// The number of words of a block.
pub const BLOCK_WORDS: usize = BLOCK_BYTES / size_of::<u64>();

/// Odd, so that no word repeats within a block.
const STRIDE: u64 = 0x9e37_79b9_7f4a_7c15;

/// What determines the contents of a block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DiskBlock {
    /// The seed of the run.
    pub seed: u64,
    /// The number of the block.
    pub number: u64,
    /// How often the kernel has written it.
    pub writes: u64,
}

impl DiskBlock {
    /// The words of the block, in order. The first two are its number and its writes.
    pub fn words(self) -> impl Iterator<Item = u64> {
        let Self { seed, number, writes } = self;
        let key = [number, writes].iter().fold(seed, |key, part| mix(key ^ part));
        let rest = (1..).map(move |step: u64| key.wrapping_add(STRIDE.wrapping_mul(step)));
        [number, writes].into_iter().chain(rest).take(BLOCK_WORDS)
    }

    /// The block that these words are, if they are a block of a run with that seed.
    pub fn of(seed: u64, words: &[u64]) -> Option<Self> {
        let [number, writes, ..] = *words else { return None };
        let block = Self { seed, number, writes };
        block.words().eq(words.iter().copied()).then_some(block)
    }
}

/// The finaliser of SplitMix64: every input bit affects every output bit.
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(STRIDE);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    #[test]
    fn a_block_is_known_by_its_words_and_a_wrong_word_is_noticed() {
        let block = DiskBlock { seed: 7, number: 12, writes: 3 };
        let words: Vec<u64> = block.words().collect();
        assert_eq!(words.len(), BLOCK_WORDS);
        assert_eq!(DiskBlock::of(7, &words), Some(block));
        assert_eq!(DiskBlock::of(8, &words), None);
        for index in 0..BLOCK_WORDS {
            let mut wrong = words.clone();
            wrong[index] ^= 1 << (index % 64);
            assert_eq!(DiskBlock::of(7, &wrong), None, "word {index}");
        }
        assert_eq!(DiskBlock::of(7, &words[1..]), None);
        assert_eq!(DiskBlock::of(7, &[]), None);
    }

    #[test]
    fn a_block_that_is_made_of_two_is_noticed() {
        let block = |writes| DiskBlock { seed: 1, number: 5, writes }.words().collect::<Vec<u64>>();
        let torn: Vec<u64> = block(1)[..64].iter().chain(&block(2)[64..]).copied().collect();
        assert_eq!(DiskBlock::of(1, &torn), None);
    }
}
