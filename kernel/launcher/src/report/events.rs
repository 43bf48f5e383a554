//! The last events before a failure, as lines.

use crate::guest::transcript::Event;

/// The number of events that are shown. JSON has all.
const SHOWN: usize = 40;

/// The last of these events, which are in the order of time, one line each.
pub(crate) fn lines(events: &[Event]) -> Vec<String> {
    let last = &events[events.len().saturating_sub(SHOWN)..];
    let line = |Event { cpu, at_us, text }: &Event| {
        format!("{}.{:06} cpu {cpu} {text}", at_us / 1_000_000, at_us % 1_000_000)
    };
    last.iter().map(line).collect()
}
