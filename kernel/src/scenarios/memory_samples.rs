//! Samples of what memory looks like: the free blocks of each order, and a map of the pageblocks.

use core::fmt::Write as _;
use core::sync::atomic::{AtomicU64, Ordering};

use heapless::String;
use pageblock::{Geometry, Order, X86_64};
use pageblock_protocol::Sample;

use crate::memory::allocator;
use crate::report::samples;
use crate::scenarios::memory_map::{CELLS, each_cell};
use crate::time;

/// The time from one sample to the next.
const PERIOD_US: u64 = 100_000;
/// One in this many samples has a map, for which every frame is looked at.
const MAP_EVERY: u64 = 5;

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
        let mut text = String::new();
        each_cell(|kind, tenths| {
            // There is room for every cell.
            let _ = write!(text, "{}{tenths}", kind.letter());
        });
        text
    });
    samples::send("memory", Sample::Map(&cells));
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
