//! A census: the allocated pages by a property of their blocks, in a table of fixed size.
//!
//! There is no heap, so that the caller chooses how many rows the table has. Blocks for which there
//! is no row are added up as *others*: the sum of the table is always all blocks that were found.

use core::fmt;

use crate::inspect::allocated::AllocatedBlock;

/// The blocks of one key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct CensusRow<K> {
    /// The key.
    pub key: K,
    /// The number of blocks.
    pub blocks: usize,
    /// The pages of these blocks.
    pub pages: usize,
}

/// The allocated blocks by key, with room for `N` keys. `Display` prints a line for each key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Census<K, const N: usize> {
    rows: [Option<CensusRow<K>>; N],
    others: CensusRow<()>,
}

impl<K: Copy + PartialEq, const N: usize> Census<K, N> {
    /// Adds up `blocks`. The first `N` keys get a row.
    pub(crate) fn of(
        blocks: impl Iterator<Item = AllocatedBlock>,
        key: impl Fn(&AllocatedBlock) -> K,
    ) -> Self {
        let mut census = Self { rows: [None; N], others: CensusRow { key: (), blocks: 0, pages: 0 } };
        for block in blocks {
            census.add(key(&block), block.pages());
        }
        // The most pages first, empty rows last.
        census.rows.sort_unstable_by_key(|row| core::cmp::Reverse(row.map(|row| row.pages)));
        census
    }

    fn add(&mut self, key: K, pages: usize) {
        for row in &mut self.rows {
            match row {
                Some(row) if row.key == key => {
                    row.blocks += 1;
                    row.pages += pages;
                    return;
                }
                Some(_) => {}
                None => {
                    *row = Some(CensusRow { key, blocks: 1, pages });
                    return;
                }
            }
        }
        self.others.blocks += 1;
        self.others.pages += pages;
    }
}

impl<K, const N: usize> Census<K, N> {
    /// The rows, the one with the most pages first.
    pub fn rows(&self) -> impl Iterator<Item = &CensusRow<K>> {
        self.rows.iter().flatten()
    }

    /// The blocks whose keys have no row, because `N` other keys were found first.
    #[must_use]
    pub const fn others(&self) -> CensusRow<()> {
        self.others
    }

    /// The pages of all blocks, with and without a row.
    #[must_use]
    pub fn pages(&self) -> usize {
        self.rows().map(|row| row.pages).sum::<usize>() + self.others.pages
    }

    /// The number of all blocks, with and without a row.
    #[must_use]
    pub fn blocks(&self) -> usize {
        self.rows().map(|row| row.blocks).sum::<usize>() + self.others.blocks
    }
}

impl<K: Copy + PartialEq, const N: usize> Census<K, N> {
    /// The pages of this key; 0 if it has no row.
    #[must_use]
    pub fn pages_of(&self, key: K) -> usize {
        self.rows().find(|row| row.key == key).map_or(0, |row| row.pages)
    }
}

impl<K: fmt::Display, const N: usize> fmt::Display for Census<K, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:>10} {:>10}", "pages", "blocks")?;
        for CensusRow { key, blocks, pages } in self.rows() {
            writeln!(f, "{pages:>10} {blocks:>10}  {key}")?;
        }
        if self.others.blocks > 0 {
            writeln!(f, "{:>10} {:>10}  others", self.others.pages, self.others.blocks)?;
        }
        writeln!(f, "{:>10} {:>10}  in all", self.pages(), self.blocks())
    }
}
