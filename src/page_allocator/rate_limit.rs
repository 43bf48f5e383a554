//! How often an event is logged.
//!
//! Only slow paths log, and of each kind of event only the 1st, 2nd, 4th, 8th and so on, with its
//! number: a kernel that is out of memory a million times writes 20 lines. No lock of the allocator
//! is held then, so that the logger may allocate; it must be callable wherever the allocator is.

use crate::sync::{Ordering, PlainU64, PlainUsize};

#[derive(Debug, Default)]
pub(crate) struct RateLimit(PlainUsize);

impl RateLimit {
    /// Counts an event. Returns its number if it is to be logged.
    pub(crate) fn count(&self) -> Option<usize> {
        let number = self.0.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        number.is_power_of_two().then_some(number)
    }
}

/// The number of events of a kind up to which they have been logged.
#[derive(Debug, Default)]
pub(crate) struct LoggedUpTo(PlainU64);

impl LoggedUpTo {
    /// Whether there are events that have not been logged. From now on they count as logged.
    pub(crate) fn advance(&self, events: u64) -> bool {
        self.0.fetch_max(events, Ordering::Relaxed) < events
    }
}

#[derive(Debug, Default)]
pub(crate) struct Diagnostics {
    pub(crate) no_memory: RateLimit,
    pub(crate) writes_after_free: LoggedUpTo,
    /// Refused frees whose caller cannot return the error: these are logged.
    pub(crate) unreported_frees: RateLimit,
    /// All refused frees.
    pub(crate) refused_frees: PlainUsize,
}

#[cfg(test)]
mod tests {
    use super::RateLimit;

    #[test]
    fn a_million_events_make_twenty_lines() {
        let limit = RateLimit::default();
        let logged: Vec<_> = (0..1_000_000).filter_map(|_| limit.count()).collect();
        assert_eq!(logged.len(), 20);
        assert_eq!(logged[..4], [1, 2, 4, 8]);
    }
}
