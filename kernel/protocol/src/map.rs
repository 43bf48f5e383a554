//! The map of memory in a [`Sample`](crate::Sample): two characters for each cell.
//!
//! The same map is drawn on the display: [`screen`] says where.
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

    /// The colour of a cell whose pages are all in use: red, green, blue. From the palette of Okabe
    /// and Ito for colour-blind readers, and a red for what is isolated.
    pub const fn colour(self) -> [u8; 3] {
        match self {
            Self::Unmovable => [213, 94, 0],
            Self::Movable => [0, 114, 178],
            Self::Reclaimable => [230, 159, 0],
            Self::Cma => [0, 158, 115],
            Self::Atomic => [204, 121, 167],
            Self::Isolated => [220, 20, 60],
            Self::Absent => [110, 110, 110],
        }
    }

    /// The name for a legend.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unmovable => "unmovable",
            Self::Movable => "movable",
            Self::Reclaimable => "reclaimable",
            Self::Cma => "CMA",
            Self::Atomic => "atomic reserve",
            Self::Isolated => "isolated",
            Self::Absent => "offline or reserved",
        }
    }

    /// The kind with that letter.
    pub fn of_letter(letter: char) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.letter() == letter)
    }
}

/// The second character of a cell of `pages` pages, of which so many are in use, as a number.
pub fn tenths(used: usize, pages: usize) -> u8 {
    (used * 10).checked_div(pages).unwrap_or(0).min(9) as u8
}

/// The cells of a map. A pair of characters that is none is left out.
pub fn cells(map: &str) -> impl Iterator<Item = (Kind, u8)> {
    map.as_bytes().chunks_exact(2).filter_map(|cell| {
        let kind = Kind::of_letter(char::from(cell[0]))?;
        cell[1].is_ascii_digit().then(|| (kind, cell[1] - b'0'))
    })
}

/// The map on the display of the guest.
pub mod screen {
    use super::Kind;

    /// The width of the display in pixels.
    pub const WIDTH: u32 = 1024;
    /// The height of the display in pixels.
    pub const HEIGHT: u32 = 768;
    /// The cells in a row.
    pub const COLUMNS: u32 = 64;
    /// The distance from one cell to the next, in pixels. A line between them is left black.
    pub const CELL: u32 = 14;
    /// The left end of the map.
    pub const LEFT: u32 = 64;
    /// The upper end of the map.
    pub const TOP: u32 = 120;

    /// The upper left corner of a cell.
    pub const fn corner(cell: u32) -> (u32, u32) {
        (LEFT + cell % COLUMNS * CELL, TOP + cell / COLUMNS * CELL)
    }

    /// The colour of a cell, of whose pages so many tenths are in use: red, green, blue.
    pub fn shade(kind: Kind, tenths: u8) -> [u8; 3] {
        // From a quarter of the colour up to all of it, on black.
        let share = if kind == Kind::Absent { 9 } else { u32::from(tenths.min(9)) };
        kind.colour().map(|part| (u32::from(part) * (3 + share) / 12) as u8)
    }
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
    fn no_two_cells_of_the_screen_have_the_same_colour_and_all_are_on_it() {
        let kinds = Kind::ALL.into_iter().filter(|kind| *kind != Kind::Absent);
        let all: Vec<_> =
            kinds.flat_map(|kind| (0..10).map(move |tenths| screen::shade(kind, tenths))).collect();
        for (at, colour) in all.iter().enumerate() {
            assert!(!all[..at].contains(colour), "{colour:?}");
        }
        let (x, y) = screen::corner(1023);
        assert!(x + screen::CELL <= screen::WIDTH && y + screen::CELL <= screen::HEIGHT);
    }

    #[test]
    fn the_fill_is_in_tenths() {
        for (used, pages, expected) in [(0, 512, 0), (51, 512, 0), (256, 512, 5), (512, 512, 9), (0, 0, 0)] {
            assert_eq!(tenths(used, pages), expected, "{used} of {pages}");
        }
    }
}
