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

/// The whole of a boot's work, as progress lines count it.
const WHOLE: u64 = 1000;
/// What is left for the end, when the load is over and all memory is checked.
const END: u64 = 50;
/// The time from one progress line to the next.
const PACE_US: u64 = 500_000;

static NEXT_US: AtomicU64 = AtomicU64::new(0);

/// Whether [`progress`] would print a line now.
pub(crate) fn is_progress_due() -> bool {
    time::now_us() >= NEXT_US.load(Ordering::Relaxed)
}

/// Prints the progress of a scenario that is over when each of these parts is, twice a second.
///
/// A part is the number of steps that are done and that of all of them. What is furthest behind
/// counts, so that no reader sees a full bar while something is waited for.
pub(crate) fn progress(parts: &[(u64, u64)], label: fmt::Arguments<'_>) {
    if is_progress_due() {
        NEXT_US.store(time::now_us() + PACE_US, Ordering::Relaxed);
        let share = |&(done, total): &(u64, u64)| done.min(total) * (WHOLE - END) / total.max(1);
        let done = parts.iter().map(share).min().unwrap_or(0);
        line(Line::Progress { done, total: WHOLE, label: Text::new(label) });
    }
}

/// Prints that the load is over and what is done at the end.
pub(crate) fn progress_at_end(label: fmt::Arguments<'_>) {
    line(Line::Progress { done: WHOLE - END, total: WHOLE, label: Text::new(label) });
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
