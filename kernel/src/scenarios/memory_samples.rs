//! Samples of what memory looks like: the free blocks of each order, and a map of the pageblocks.

use core::fmt::Write as _;
use core::sync::atomic::{AtomicU64, Ordering};

use heapless::String;
use pageblock::{Geometry, MigrateType, Order, PageblockInfo, X86_64};
use pageblock_protocol::Sample;
use pageblock_protocol::map::{self, Kind};

use crate::memory::allocator;
use crate::report::samples;
use crate::time;

/// The time from one sample to the next.
const PERIOD_US: u64 = 100_000;
/// One in this many samples has a map, for which every frame is looked at.
const MAP_EVERY: u64 = 5;
/// The most cells of a map.
const CELLS: usize = 1024;

/// Sends a sample if one is due. The caller holds no lock.
pub(super) fn send_if_due() {
    static NEXT_US: AtomicU64 = AtomicU64::new(0);
    if !samples::are_on() {
        return;
    }
    let (now, next) = (time::now_us(), NEXT_US.load(Ordering::Relaxed));
    if now < next {
        return;
    }
    // Of the CPUs that find it due one sends it.
    if NEXT_US.compare_exchange(next, now + PERIOD_US, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
        static SENT: AtomicU64 = AtomicU64::new(0);
        send_orders();
        if SENT.fetch_add(1, Ordering::Relaxed).is_multiple_of(MAP_EVERY) {
            send_map();
        }
    }
}

fn send_map() {
    let cells: String<{ 2 * CELLS }> = samples::spend(|| {
        let pageblocks = allocator().span().len().div_ceil(X86_64::PAGEBLOCK_ORDER.pages());
        let of_a_cell = pageblocks.div_ceil(CELLS);
        let (mut text, mut cell) = (String::new(), Cell::default());
        for pageblock in allocator().pageblocks() {
            cell.add(&pageblock);
            if cell.pageblocks == of_a_cell {
                cell.print(&mut text);
            }
        }
        cell.print(&mut text);
        text
    });
    samples::send("memory", Sample::Map(&cells));
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
            MigrateType::Movable => Kind::Movable,
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

    /// Prints the cell, if there is one, and begins the next.
    fn print(&mut self, text: &mut String<{ 2 * CELLS }>) {
        if let Some(kind) = self.kind {
            // There is room for every cell.
            let _ = write!(text, "{}{}", kind.letter(), map::fill(self.used, self.pages));
        }
        *self = Self::default();
    }
}

fn send_orders() {
    let counts: String<256> = samples::spend(|| {
        let info = allocator().buddyinfo();
        let mut text = String::new();
        for order in (0..=X86_64::MAX_ORDER.get()).map(Order::new) {
            let blocks: usize = info.zones.iter().map(|zone| zone.all(order)).sum();
            let comma = if order == Order::ZERO { "" } else { "," };
            // There is room for eleven numbers of twenty digits.
            let _ = write!(text, "{comma}{blocks}");
        }
        text
    });
    samples::send("memory", Sample::Orders(&counts));
}
