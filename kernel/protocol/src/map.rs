//! The map of memory in a [`Sample`](crate::Sample): two characters for each cell.
//!
//! A cell is a pageblock, or several adjacent ones on a large machine. The first character is its
//! [`Kind`], the second the share of its pages that are in use, from `0` to `9` tenths.

/// What a cell consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Unmovable.
    Unmovable,
    /// Movable.
    Movable,
    /// Reclaimable.
    Reclaimable,
    /// CMA.
    Cma,
    /// The atomic reserve.
    Atomic,
    /// Isolated, whatever its type.
    Isolated,
    /// No memory that the allocator manages: offline, or never there.
    Absent,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 7] = [
        Self::Unmovable,
        Self::Movable,
        Self::Reclaimable,
        Self::Cma,
        Self::Atomic,
        Self::Isolated,
        Self::Absent,
    ];

    /// The first character of a cell.
    pub const fn letter(self) -> char {
        match self {
            Self::Unmovable => 'U',
            Self::Movable => 'M',
            Self::Reclaimable => 'R',
            Self::Cma => 'C',
            Self::Atomic => 'A',
            Self::Isolated => 'I',
            Self::Absent => '-',
        }
    }

    /// The kind with that letter.
    pub fn of_letter(letter: char) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.letter() == letter)
    }
}

/// The second character of a cell of `pages` pages, of which so many are in use.
pub fn fill(used: usize, pages: usize) -> char {
    let tenths = (used * 10).checked_div(pages).unwrap_or(0).min(9);
    char::from(b'0' + tenths as u8)
}

/// The cells of a map. A pair of characters that is none is left out.
pub fn cells(map: &str) -> impl Iterator<Item = (Kind, u8)> {
    map.as_bytes().chunks_exact(2).filter_map(|cell| {
        let kind = Kind::of_letter(char::from(cell[0]))?;
        cell[1].is_ascii_digit().then(|| (kind, cell[1] - b'0'))
    })
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    #[test]
    fn cells_come_back() {
        let found: Vec<_> = cells("M0C9-0X1Mx").collect();
        assert_eq!(found, [(Kind::Movable, 0), (Kind::Cma, 9), (Kind::Absent, 0)]);
        for kind in Kind::ALL {
            assert_eq!(Kind::of_letter(kind.letter()), Some(kind));
        }
    }

    #[test]
    fn the_fill_is_in_tenths() {
        for (used, pages, tenths) in
            [(0, 512, '0'), (51, 512, '0'), (256, 512, '5'), (512, 512, '9'), (0, 0, '0')]
        {
            assert_eq!(fill(used, pages), tenths, "{used} of {pages}");
        }
    }
}
