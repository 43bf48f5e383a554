//! Shorthands for the protocol lines that scenarios print.

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};

use pageblock_protocol::{Line, Text, Value};

use crate::report::console::line;
use crate::time;

/// Prints an explanation for the reader.
pub(crate) fn note(text: fmt::Arguments<'_>) {
    line(Line::Note(Text::new(text)));
}

/// Prints the progress of the scenario: each new number of steps, and twice a second the same one.
pub(crate) fn progress(done: u64, total: u64, label: fmt::Arguments<'_>) {
    static LAST: AtomicU64 = AtomicU64::new(u64::MAX);
    static NEXT_US: AtomicU64 = AtomicU64::new(0);
    let now = time::now_us();
    if LAST.swap(done, Ordering::Relaxed) != done || now >= NEXT_US.load(Ordering::Relaxed) {
        NEXT_US.store(now + 500_000, Ordering::Relaxed);
        line(Line::Progress { done, total, label: Text::new(label) });
    }
}

/// Prints measurements.
pub(crate) fn stats<const N: usize>(stats: [(&str, u64); N]) {
    for (key, value) in stats {
        line(Line::Stat { key, value: value.cast_signed() });
    }
}

/// Prints a row of the scenario's table.
pub(crate) fn row<const N: usize>(name: &str, cells: [(&str, Value<'_>); N]) {
    line(Line::Row(name));
    cells.into_iter().for_each(|(key, value)| line(Line::Cell { key, value }));
}
