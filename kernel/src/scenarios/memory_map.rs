//! The map of memory: what each pageblock is, and how much of it is in use.

use pageblock::{Geometry, MigrateType, PageblockInfo, X86_64};
use pageblock_protocol::map::{self, Kind};

use crate::memory::allocator;

/// The most cells of a map. On a large machine a cell has several pageblocks.
pub(super) const CELLS: usize = 1024;

/// Calls `look` with the kind of each cell and its pages in use, in tenths. Every frame is looked
/// at, under the zone's lock, one pageblock at a time.
pub(super) fn each_cell(mut look: impl FnMut(Kind, u8)) {
    let pageblocks = allocator().span().len().div_ceil(X86_64::PAGEBLOCK_ORDER.pages());
    let of_a_cell = pageblocks.div_ceil(CELLS);
    let mut cell = Cell::default();
    for pageblock in allocator().pageblocks() {
        cell.add(&pageblock);
        if cell.pageblocks == of_a_cell {
            core::mem::take(&mut cell).show(&mut look);
        }
    }
    cell.show(&mut look);
}

/// The pageblocks of one cell.
#[derive(Default)]
struct Cell {
    kind: Option<Kind>,
    used: usize,
    pages: usize,
    pageblocks: usize,
}

impl Cell {
    fn add(&mut self, pageblock: &PageblockInfo) {
        let pages = pageblock.free + pageblock.cached + pageblock.allocated;
        let kind = match pageblock.migratetype {
            _ if pages == 0 => Kind::Absent,
            _ if pageblock.isolated => Kind::Isolated,
            MigrateType::Unmovable => Kind::Unmovable,
            MigrateType::Movable | MigrateType::MovableOnly => Kind::Movable,
            MigrateType::Reclaimable => Kind::Reclaimable,
            MigrateType::Cma => Kind::Cma,
            MigrateType::HighAtomic => Kind::Atomic,
        };
        // Of several types the first one is shown, except that isolation is always seen.
        if self.kind.is_none() || kind == Kind::Isolated {
            self.kind = Some(kind);
        }
        self.pages += pages;
        self.used += pageblock.allocated;
        self.pageblocks += 1;
    }

    /// Shows the cell, if there is one.
    fn show(self, look: &mut impl FnMut(Kind, u8)) {
        if let Some(kind) = self.kind {
            look(kind, map::tenths(self.used, self.pages));
        }
    }
}
